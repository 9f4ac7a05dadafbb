"""What the devices can do and how full they are; the cache of compiled programs."""

import contextlib
import functools
import importlib.metadata
import os
import pathlib
import platform
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

# Published dense peaks in TFLOP/s of one device as JAX names it, by compute dtype. At the default precision a TPU
# multiplies float32 as bfloat16, an NVIDIA GPU since Ampere as TensorFloat-32.
PEAKS = {  # (bfloat16, float32)
    "TPU v2": (22.5, 22.5),  # a core, half a chip
    "TPU v3": (61.5, 61.5),  # the same
    "TPU v4": (275, 275),
    "TPU v5 lite": (197, 197),
    "TPU v5e": (197, 197),
    "TPU v5": (459, 459),
    "TPU v5p": (459, 459),
    "TPU v6 lite": (918, 918),
    "TPU v6e": (918, 918),
    "Tesla V100": (15.7, 15.7),
    "Tesla T4": (8.1, 8.1),
    "NVIDIA A100": (312, 156),
    "NVIDIA L4": (121, 60),
    "NVIDIA H100 PCIe": (756, 378),
    "NVIDIA H100": (989, 495),
    "NVIDIA H200": (989, 495),
    "NVIDIA B200": (2250, 1125),
}
BANDWIDTHS = {  # published memory bandwidths in bytes/s, of the same devices
    "TPU v2": 3.0e11,  # a core's half, as above
    "TPU v3": 4.5e11,
    "TPU v4": 1.2e12,
    "TPU v5 lite": 8.2e11,
    "TPU v5e": 8.2e11,
    "TPU v5": 2.77e12,
    "TPU v5p": 2.77e12,
    "TPU v6 lite": 1.64e12,
    "TPU v6e": 1.64e12,
    "Tesla V100": 9.0e11,
    "Tesla T4": 3.2e11,
    "NVIDIA A100": 1.555e12,  # of 40 GB
    "NVIDIA A100 80GB": 2.0e12,
    "NVIDIA A100-SXM4-80GB": 2.0e12,
    "NVIDIA L4": 3.0e11,
    "NVIDIA H100 PCIe": 2.0e12,
    "NVIDIA H100": 3.35e12,
    "NVIDIA H200": 4.8e12,
    "NVIDIA B200": 8.0e12,
}
CPU_FLOPS = 3e10  # of a core: no promise, but of the right order, and the same at every start


def peak_flops(device: jax.Device, dtype: str) -> float | None:
    """Floating-point operations a second that a device can do in "float32" or "bfloat16", or None where unknown.

    Of a CPU it is what one large float32 matrix product reaches now, divided by the number of its virtual devices.
    """
    if device.platform == "cpu":
        return _matmul_rate() / jax.local_device_count()
    peaks = of_kind(PEAKS, device)
    return peaks and peaks[dtype == "float32"] * 1e12


def memory_bandwidth(device: jax.Device) -> float | None:
    """Bytes a second between a device and its memory, or None where unknown; of a CPU what a copy reaches now."""
    if device.platform == "cpu":
        return _copy_rate() / jax.local_device_count()
    return of_kind(BANDWIDTHS, device)


def of_kind(table: dict, device: jax.Device):
    """The entry of the longest name that the device's kind begins with, or None."""
    names = [name for name in table if device.device_kind.startswith(name)]
    return table[max(names, key=len)] if names else None


def nominal_flops(device: jax.Device) -> float:
    """The same in float32 without a measurement: a guess for CPUs and devices that are not known."""
    if device.platform == "cpu":
        return CPU_FLOPS * (os.cpu_count() or 1) / jax.local_device_count()
    return peak_flops(device, "float32") or 1e13


@functools.cache
def _matmul_rate(n: int = 1024) -> float:
    with jax.default_device(jax.local_devices()[0]):
        # A tenth of a second: in the first few, not all cores may be awake.
        return 2 * n**3 / _fastest(jax.jit(jnp.dot), 20, *(jnp.ones((n, n)),) * 2)


@functools.cache
def _copy_rate(n: int = 2**24) -> float:
    with jax.default_device(jax.local_devices()[0]):
        return 8 * n / _fastest(jax.jit(jnp.negative), 5, jnp.ones(n, jnp.float32))  # read and written


def _fastest(call: Callable, times: int, *arrays: jax.Array) -> float:
    """Seconds of the fastest of several calls, after one that compiles."""
    call(*arrays).block_until_ready()
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        call(*arrays).block_until_ready()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def memory() -> dict[str, float]:
    """GiB in use: `device_memory_gib`, the most at any time on the first local device, where it tells; and
    `host_memory_gib`, of this process now, where the system tells."""
    found = {}
    if stats := jax.local_devices()[0].memory_stats():
        found["device_memory_gib"] = stats["peak_bytes_in_use"] / 2**30
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
        found["host_memory_gib"] = pages * os.sysconf("SC_PAGE_SIZE") / 2**30
    except OSError:
        pass
    return found


def versions() -> dict[str, str]:
    """What a run is made with: Python, the packages that compute, and the devices."""
    packages = ("unsupjax", "jax", "jaxlib", "flax", "optax", "numpy")
    found = {"python": platform.python_version()}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # a checkout that is not installed
            found[package] = importlib.metadata.version(package)
    return found | {"devices": f"{jax.device_count()} {jax.devices()[0].device_kind}"}


def divide_cpu(devices: int, batch_size: int) -> None:
    """Divides the cores of a CPU into devices, if JAX has none yet and nobody said how many.

    Args:
        devices: at most so many, the largest number that divides the batch; 0: at most one a core.
        batch_size: examples a step.
    """
    most = devices or cores()
    n = max(d for d in range(1, most + 1) if batch_size % d == 0)
    if n == 1 or _said() or jax.distributed.is_initialized():
        return
    with contextlib.suppress(RuntimeError):  # devices are what they are
        jax.config.update("jax_num_cpu_devices", n)


def _said() -> bool:
    """Whether somebody said how many devices a CPU is."""
    return jax.config.jax_num_cpu_devices > 0 or "host_platform_device_count" in os.environ.get(
        "XLA_FLAGS", ""
    )


def cores() -> int:
    """That this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not everywhere
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keep_compiled() -> None:
    """Keeps compiled programs below the user's cache folder, unless JAX_COMPILATION_CACHE_DIR says where, or nowhere
    ("" in it): the next start of the same program need not compile it."""
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update(
            "jax_persistent_cache_min_compile_time_secs", 0.0
        )  # many small programs are seconds, too
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = pathlib.Path(home).expanduser() / "unsupjax" / "compiled"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
