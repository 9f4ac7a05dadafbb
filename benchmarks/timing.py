"""A step timed on a device, beside the device's nominal limits: what every row of `accelerator` is made of.

Seconds are those of a step: of several repeats, each of as many calls as fill half a second, with the state donated.
`flops` and `bytes` are of a step: from the mathematics where the work lies in loops, whose bodies the compiler counts
once; else its counts. Of operations it is the larger one of before and after optimisation: calls of cuDNN and cuBLAS
may be opaque to the latter. Nominal limits are published ones (`unsupjax.parallel.hardware`), of a CPU measured ones.
"""

import contextlib
import math
import statistics
import time
from typing import NamedTuple

import jax

from unsupjax.parallel import hardware

LATENCY = 0.15  # below this share of both limits a step waits for neither
EXACT = {  # FLOP/s in float32 without TensorFloat-32, which precision "highest" asks for
    "NVIDIA A100": 19.5e12,
    "NVIDIA L4": 30.3e12,
    "NVIDIA H100 PCIe": 51e12,
    "NVIDIA H100": 67e12,
    "NVIDIA H200": 67e12,
    "NVIDIA B200": 75e12,
}
PASSES = 6  # products of bfloat16 parts that make one such of a TPU


class Run(NamedTuple):
    """What rows know: "full" or "toy", the device, the path of CIFAR-10, and when (`time.monotonic`) to end."""

    size: str
    device: jax.Device
    cifar: str = ""
    deadline: float = math.inf


def bottleneck(flops_share, bytes_share):
    """ "compute", "memory" or "latency" by the shares of the nominal limits that a step reaches; None: not known."""
    if flops_share is None or bytes_share is None:
        return None
    if max(flops_share, bytes_share) < LATENCY:
        return "latency"
    return "compute" if flops_share >= bytes_share else "memory"


def nominal_flops(device, dtype):
    """FLOP/s of "bfloat16", "float32" (at the default precision) or "highest" (float32 as such); None: not known."""
    if dtype != "highest":
        return hardware.peak_flops(device, dtype)
    if device.platform == "tpu":
        peak = hardware.peak_flops(device, "bfloat16")
        return peak and peak / PASSES
    return hardware.of_kind(EXACT, device) or hardware.peak_flops(device, "float32")


def compiled(step, state, *arrays):
    """The program of a step that takes over its state, and the compiler's counts of its operations and bytes."""
    lowered = jax.jit(step, donate_argnums=0).lower(state, *arrays)
    program = lowered.compile()
    counts = {"flops_lowered": None, "flops_compiled": None, "bytes_compiled": None}
    with contextlib.suppress(NotImplementedError, jax.errors.JaxRuntimeError):  # no such analysis there
        before, after = lowered.cost_analysis() or {}, program.cost_analysis() or {}
        counts |= {"flops_lowered": before.get("flops"), "flops_compiled": after.get("flops")}
        counts |= {"bytes_compiled": after.get("bytes accessed")}
    with contextlib.suppress(NotImplementedError, AttributeError, jax.errors.JaxRuntimeError):
        counts["temporary_bytes"] = program.memory_analysis().temp_size_in_bytes
    return program, counts


def timed(run, call, state):
    """Seconds of a `call(state) -> (state, rest)`, one for each repeat."""
    wait = run.device.platform == "cpu"  # where independent calls would run side by side

    def several(calls):
        nonlocal state
        begin = time.perf_counter()
        for _ in range(calls):
            state, rest = call(state)
            if wait:
                jax.block_until_ready(rest)
        jax.block_until_ready((state, rest))
        return (time.perf_counter() - begin) / calls

    several(1)
    once = several(1)
    calls, repeats = (1, 2) if run.size == "toy" else (min(max(math.ceil(0.5 / once), 1), 1000), 10)
    return [several(calls) for _ in range(repeats)]


def figures(run, seconds, examples, dtype, counts, flops=None, traffic=None):
    """The numbers of every row, of the seconds of a step of `examples` and its counts; see the module."""
    median = statistics.median(seconds)
    flops = flops or max(counts.get("flops_lowered") or 0, counts.get("flops_compiled") or 0) or None
    traffic = traffic or counts.get("bytes_compiled")
    limits = nominal_flops(run.device, dtype), hardware.memory_bandwidth(run.device)
    rates = [count and count / median for count in (flops, traffic)]
    shares = [rate / limit if rate and limit else None for rate, limit in zip(rates, limits, strict=True)]
    return counts | {
        "repeats": len(seconds),
        "seconds_mean": statistics.mean(seconds),
        "seconds_median": median,
        "seconds_std": statistics.stdev(seconds) if len(seconds) > 1 else 0.0,
        "examples": examples,
        "examples_per_s": examples / median,
        "dtype": dtype,
        "flops": flops,
        "bytes": traffic,
        "flops_per_s": rates[0],
        "bytes_per_s": rates[1],
        "nominal_flops_per_s": limits[0],
        "nominal_bytes_per_s": limits[1],
        "flops_share": shares[0],
        "bytes_share": shares[1],
        "bottleneck": bottleneck(*shares),
    }


def timed_step(run, step, state, arrays, examples, dtype="float32", **known):
    """The figures of `step(state, *arrays) -> (state, rest)`."""
    program, counts = compiled(step, state, *arrays)
    seconds = timed(run, lambda state: program(state, *arrays), state)
    return figures(run, seconds, examples, dtype, counts, **known)
