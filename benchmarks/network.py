"""How many bytes cross the network in a step of each method, and what that leaves of the devices' speed.

    python benchmarks/network.py [--only kmeans gan] [--executor=pmap] [--per_device=512] [--share=0.4]
        [--chips v5p H100] [--full] [--largest]

Compiles the step of a config of each family for 4, 8 and 16 virtual CPU devices with the same batch on each device, and
counts the collectives in the optimised program (`hlo_bytes.py`); nothing runs, no data is read. The size of what each
kind of collective moves is fitted as a + c n to the first two meshes, and the third must agree within 1 %, or the row
is marked *. From it: bytes that a device sends at 8, 256 and 4,096 devices, and the efficiency of weak scaling on
chips with published rates. The program is the one that accelerators are given, as far as the package chooses (rows of
a tile, loops, kinds of convolution). What XLA makes of it there may differ; the partitioner that inserts collectives
under "jit" is the same.

The model of a step:
  compute     operations of the unoptimised program / (share x the chip's bfloat16 peak)
  bandwidth   bytes by the ring algorithm / the chip's link, one direction. Over 8 H100s: a reduce-scatter within a host
              over NVLink, an all-reduce of an eighth between hosts over each GPU's own InfiniBand link, an
              all-gather within the host
  latency     2 log2(n) hops for each all-reduce, log2(n) for other collectives, 1 for a permutation: what trees and
              hierarchical algorithms take, and a torus whose sides are the cube root of n as well. A ring's n - 1
              hops would be 4,095 for each message
Efficiency without overlap: compute / (work + network); with: compute / max(work, network). Work is compute where the
program divides all of it over the devices, and more where each of them repeats a part ("work at 256": how much more).
"""

import argparse
import contextlib
import math
import os
import pathlib
import platform
import runpy
import sys
from typing import NamedTuple
from unittest import mock

os.environ.setdefault("PJRT_NPROC", "64")  # threads for the virtual devices

import jax
import jax.numpy as jnp
import jaxlib
from hlo_bytes import collectives, sent, totals

from unsupjax.numerics import nearest
from unsupjax.parallel.mesh import compile_step, make_mesh
from unsupjax.run.build import build

MESHES = (4, 8, 16)
ROOT = pathlib.Path(__file__).resolve().parents[1]
TARGETS = (8, 256, 4096)
MNIST, CIFAR = ((28, 28, 1), 60_000), ((32, 32, 3), 50_000)
HOST = 8  # H100s in a host


class Case(NamedTuple):
    """A config, its executor if it is not the usual one, and which branch a usual step takes where it has several."""

    config: str
    data: tuple
    executor: str | None = None
    branch: str = "least"


CASES = (
    Case("autoencoder_mnist", MNIST),
    Case("vae_mnist", MNIST),
    Case("conv_mnist", MNIST),
    Case("gan_mnist", MNIST),
    Case("som_mnist", MNIST),  # but for the step that ends an epoch, which updates the map
    Case("som_mnist", MNIST, "pmap"),
    Case("kmeans_mnist", MNIST),
    Case("kmeans_mnist", MNIST, "pmap"),
    Case("dec_mnist", MNIST, branch="most"),  # a step that trains; steps that collect codes send less
    Case("desom_mnist", MNIST),
    Case("simclr_cifar10", CIFAR),
    Case("moco_cifar10", CIFAR),
    Case("byol_cifar10", CIFAR),
    Case("gan_cifar10", CIFAR),
)


class Chip(NamedTuple):
    """Published rates: bfloat16 operations a second, bytes a second that a chip sends, seconds a hop, most chips."""

    peak: float
    link: float
    hop: float
    largest: int
    between: float = 0.0  # bytes a second between hosts, where that is another link
    hop_between: float = 0.0


# TPUs: docs.cloud.google.com/tpu/docs, pages v4, v5e, v5p, v6e: interconnect of one chip, all of its links together, in
# one direction (4,800 Gbit/s of a v5p are 600 GB/s; its page gives 1,200 GB/s for both directions; of a v6e now 800,
# formerly 3,584 Gbit/s in one). Collectives reach that only where they use all axes of the torus at once.
# H100 SXM: NVIDIA's data sheet, dense bfloat16, NVLink 900 GB/s in both directions; DGX H100: a 400 Gbit/s InfiniBand
# port for each GPU. Hops are assumptions: 1 µs within a torus or host, 5 µs over InfiniBand.
CHIPS = {
    "v4": Chip(275e12, 300e9, 1e-6, 4096),
    "v5e": Chip(197e12, 200e9, 1e-6, 256),
    "v5p": Chip(459e12, 600e9, 1e-6, 6144),
    "v6e": Chip(918e12, 400e9, 1e-6, 256),
    "H100": Chip(989e12, 450e9, 1e-6, 2**20, between=50e9, hop_between=5e-6),
}


class Counted(NamedTuple):
    """What the compiled programs of a case have in common.

    Attributes:
        name: of the config, with the executor where it is not "jit".
        flops: operations of one device's share of a step.
        batch: examples of one device.
        trained: bytes of the parameters.
        sizes: `{kind: (a, c)}`, bytes of the arrays of that kind on n devices: a + c n.
        messages: `{kind: collectives a step}`, on the largest mesh but one.
        misfit: how far the largest mesh is from the fit, relative; nan where a loop's trip count is unknown.
        most: bytes that a device sends in the costliest step on 8 devices.
        largest: the collectives on the largest mesh.
        work: (a, c), operations that XLA counts in the program of one of n devices: a + c n.
    """

    name: str
    flops: float
    batch: int
    trained: int
    sizes: dict
    messages: dict
    misfit: float
    most: float
    largest: list
    work: tuple


def load(case: Case, executor: str, n: int):
    """The config of a case for n devices."""
    config = runpy.run_path(str(ROOT / "configs" / f"{case.config}.py"))["get_config"]()
    config.parallel = executor
    if "key_groups" in config.method:
        config.method.key_groups = n  # one for each device, as it is with 8
    return config


def lowered(case: Case, executor: str, n: int, per_device: int):
    """The step of a case for n devices, lowered, the batch of one device, and the shapes of the state."""
    config, (shape, examples) = load(case, executor, n), case.data
    batch = per_device or config.train.batch_size // HOST
    method = build(config, shape, max(examples, batch * n), 10_000)
    alone = build(load(case, "jit", n), shape, max(examples, batch * n), 10_000)
    x = jax.ShapeDtypeStruct((batch * n, *shape), jnp.float32)
    state = jax.eval_shape(alone.init, jax.random.key(0), x)
    step = compile_step(method.step, make_mesh(jax.devices()[:n]), executor)
    if executor == "pmap":
        x = jax.ShapeDtypeStruct((n, batch, *shape), jnp.float32)
    return step.lower(state, x), batch, state


def trained(state) -> int:
    """Bytes of the parameters that gradients train."""
    fields = (getattr(state, name, None) for name in ("params", "generator", "discriminator"))
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(list(fields)))


@contextlib.contextmanager
def on_accelerator():
    """Makes the package choose tiles and kinds of operation as it does on accelerators; short loops stay unrolled."""
    rows = nearest.tile_rows

    def tile_rows(n, k):
        with mock.patch.object(jax, "default_backend", lambda: "tpu"):
            return rows(n, k)

    usual = lambda *args, default, **_: default(*args)
    with (
        mock.patch.object(nearest, "tile_rows", tile_rows),
        mock.patch.object(jax.lax, "platform_dependent", usual),
    ):
        yield


def units(case: Case) -> int:
    """Of a SOM or k-means; 0 of other methods."""
    method = load(case, "jit", HOST).method
    return {"som": lambda: method.height * method.width, "kmeans": lambda: method.clusters}.get(
        method.name, lambda: 0
    )()


def operations(case: Case, batch: int, per_device: int) -> float:
    """Operations of one device's share of a step.

    XLA counts what a loop does once, and both the step's rows and those after an epoch's end: of SOM and k-means only
    the products of rows and units are counted, 2 B D K. The programs of other methods
    have no loop over examples as they are made for CPUs.
    """
    if k := units(case):
        return 2.0 * batch * math.prod(case.data[0]) * k
    with on_accelerator():
        program, _, _ = lowered(case, "jit", HOST, per_device)
    return program.cost_analysis()["flops"] / HOST


def count(case: Case, executor: str, per_device: int) -> Counted:
    """Compiles a case for all meshes and counts."""
    executor = case.executor or executor
    found, work, most = {}, {}, 0.0
    for n in MESHES:
        with on_accelerator():
            program, batch, state = lowered(case, executor, n, per_device)
        program = program.compile()
        text, work[n] = program.as_text(), {"work": program.cost_analysis()["flops"]}
        found[n] = collectives(text, case.branch)
        if n == HOST:
            most = sum(c.sent for c in collectives(text, "most"))
    sizes, misfit = fit({n: by_kind(found[n], n) for n in MESHES})
    misfit = misfit if all(c.known for n in MESHES for c in found[n]) else math.nan
    messages = {}
    for c in found[HOST]:
        messages[c.kind] = messages.get(c.kind, 0) + c.times
    return Counted(
        name=case.config + (f" ({executor})" if executor != "jit" else ""),
        flops=operations(case, batch, per_device),
        batch=batch,
        trained=trained(state),
        sizes=sizes,
        messages=messages,
        misfit=misfit,
        most=most,
        largest=found[MESHES[-1]],
        work=fit(work)[0]["work"],
    )


def by_kind(found: list, n: int) -> dict:
    """Bytes of arrays by kind; collectives of part of the devices are taken to be of all where those are n of them."""
    sizes = {}
    for (kind, group), size in totals(found).items():
        # A permutation names no groups. One over fewer devices than all sends less: counted by its own size.
        share = 1 if group in (1, n) else sent(kind, 1, group) / sent(kind, 1, n)
        sizes[kind] = sizes.get(kind, 0) + share * size * (group > 1)
    return sizes


def fit(points: dict[int, dict]) -> tuple[dict, float]:
    """`{kind: (a, c)}` through the first two meshes, and by what fraction of all bytes the third is off."""
    (m, first), (n, second), (last, third) = points.items()
    sizes = {}
    for kind in {*first, *second, *third}:
        slope = (second.get(kind, 0) - first.get(kind, 0)) / (n - m)
        sizes[kind] = (first.get(kind, 0) - slope * m, slope)
    off = sum(abs(a + c * last - third.get(kind, 0)) for kind, (a, c) in sizes.items())
    return sizes, off / max(sum(third.values()), 1)


def sizes_at(counted: Counted, n: int) -> dict[str, float]:
    """Bytes of the arrays that each kind of collective moves on n devices."""
    return {kind: max(a + c * n, 0) for kind, (a, c) in counted.sizes.items()}


def sends(counted: Counted, n: int) -> float:
    """Bytes that a device sends in a step on n devices."""
    return sum(sent(kind, size, n) for kind, size in sizes_at(counted, n).items())


def growth(counted: Counted, n: int) -> float:
    """What one of n devices computes, as a multiple of its share: above 1 where devices repeat each other's work.

    By the programs' operations, since the unoptimised one does not say what is divided; a hundredth is noise. Of loops
    XLA counts one turn: where the meshes' numbers of tiles differ (SOM and k-means with many rows) this says nothing,
    and work that seems to shrink counts as divided.
    """
    a, c = counted.work
    multiple = (a + c * n) / (a + c)
    return max(multiple, 1.0) if abs(c) * MESHES[-1] > 0.01 * a else 1.0


def transfer(kind: str, size: float, n: int, chip: Chip) -> float:
    """Seconds that the bytes of a collective take."""
    if not chip.between or n <= HOST:
        return sent(kind, size, n) / chip.link
    if kind in ("all-to-all", "collective-permute", "collective-broadcast"):
        return sent(kind, size, n) / chip.between  # hardly a pair of devices shares a host
    return sent(kind, size, HOST) / chip.link + sent(kind, size / HOST, n // HOST) / chip.between


def hops(kind: str, n: int) -> float:
    """Hops of one message, one after the other."""
    return {"all-reduce": 2 * math.log2(n), "collective-permute": 1}.get(kind, math.log2(n))


def latency(counted: Counted, n: int, chip: Chip) -> float:
    """Seconds that messages of no length would take."""
    inside, outside = (HOST, n // HOST) if chip.between and n > HOST else (n, 1)
    return sum(
        times * (hops(kind, inside) * chip.hop + (outside > 1) * hops(kind, outside) * chip.hop_between)
        for kind, times in counted.messages.items()
    )


def efficiency(counted: Counted, n: int, chip: Chip, share: float) -> tuple[float, float]:
    """Of weak scaling: without any overlap of compute and network, and with all of it."""
    compute = counted.flops / (share * chip.peak)
    network = latency(counted, n, chip)
    network += sum(transfer(kind, size, n, chip) for kind, size in sizes_at(counted, n).items())
    work = compute * growth(counted, n)
    return compute / (work + network), compute / max(work, network)


def batch_for(counted: Counted, n: int, chip: Chip, share: float, goal: float = 0.9) -> str:
    """Examples a device for an efficiency of `goal` without overlap, where the network's share has no part in them."""
    if sizes_at(counted, n).get("all-reduce", 0) < 0.99 * sum(sizes_at(counted, n).values()):
        return "-"
    low, _ = efficiency(counted, n, chip, share)
    if growth(counted, n) != 1:
        return "-"
    return f"{counted.batch * goal / (1 - goal) * (1 - low) / low:,.0f}"


def mark(counted: Counted) -> str:
    """What the third mesh said of the fit."""
    return " ?" if math.isnan(counted.misfit) else " *" if counted.misfit > 0.01 else ""


def amount(size: float) -> str:
    """A number of bytes, in kB, MB or GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"


def line(size: tuple[float, float]) -> str:
    """a + c n in words."""
    a, c = size
    parts = [amount(a)] if a >= 1 else []
    return " + ".join(parts + ([f"{amount(c)} n"] if c >= 1 else [])) or "0"


def print_bytes(rows: list[Counted]) -> None:
    """The first table."""
    others = ("all-to-all", "collective-permute", "reduce-scatter", "collective-broadcast")
    print(
        "| config | batch a device | GFLOP | parameters | collectives | all-reduce | all-gather | others |",
        end="",
    )
    print("".join(f" sent at {n:,} |" for n in TARGETS), "costliest step at 8 |")
    print("|---" * (9 + len(TARGETS)) + "|")
    for row in rows:
        rest = [f"{kind} {line(row.sizes[kind])}" for kind in others if any(row.sizes.get(kind, ()))]
        cells = [line(row.sizes.get(kind, (0, 0))) for kind in ("all-reduce", "all-gather")]
        cells += ["; ".join(rest)]
        cells += [amount(sends(row, n)) for n in TARGETS] + [amount(row.most)]
        head = [
            row.name + mark(row),
            str(row.batch),
            f"{row.flops / 1e9:.3g}",
            amount(row.trained),
            str(sum(row.messages.values())),
        ]
        print("|", " | ".join(head + cells), "|")


def print_efficiency(rows: list[Counted], chips: list[str], share: float) -> None:
    """The second table."""
    columns = [f"{chip}, {n:,}" for chip in chips for n in TARGETS]
    print("\n| config | batch a device |", " | ".join(f"{chip}, compute" for chip in chips), end=" | ")
    print(" | ".join(columns), end=" | ")
    print(
        f"latency, {chips[0]}, {TARGETS[-1]:,} | batch a device for 90 %, {chips[0]}, {TARGETS[-1]:,} | work at 256 |"
    )
    print("|---" * (5 + len(chips) + len(columns)) + "|")
    for row in rows:
        cells = [f"{row.flops / share / CHIPS[chip].peak * 1e6:,.1f} µs" for chip in chips]
        for chip in chips:
            for n in TARGETS:
                low, high = efficiency(row, n, CHIPS[chip], share)
                cells.append("-" if n > CHIPS[chip].largest else f"{low:.0%} - {high:.0%}")
        last = (TARGETS[-1], CHIPS[chips[0]])
        cells += [f"{latency(row, *last) * 1e6:,.0f} µs", batch_for(row, *last, share)]
        cells.append(f"x {growth(row, 256):.3g}")
        print("|", " | ".join([row.name + mark(row), str(row.batch), *cells]), "|")


def print_largest(rows: list[Counted], most: int = 6) -> None:
    """The largest collectives of each program, with the lines they come from."""
    for row in rows:
        print(f"\n{row.name}, {MESHES[-1]} devices:")
        for c in sorted(row.largest, key=lambda c: -c.sent)[:most]:
            often = f"{c.times} times" if c.known else "in a loop of unknown length"
            print(f"  {c.kind} {amount(c.size)}, {often}, {c.shape[:120]}\n    {c.op[:200]}")
            print("    " + " < ".join(_short(place) for place in c.source[:3]))


def _short(place: str) -> str:
    return place.removeprefix(f"{ROOT}/")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", default=[""], help="configs whose names contain one of these")
    parser.add_argument("--executor", default="jit", choices=("jit", "pmap"))
    parser.add_argument(
        "--per_device", type=int, default=0, help="examples a device; 0: an eighth of the config's"
    )
    parser.add_argument("--share", type=float, default=0.4, help="of the chip's peak, that compute reaches")
    parser.add_argument("--hop", type=float, default=1.0, help="microseconds a hop, within a torus or host")
    parser.add_argument("--hop_between", type=float, default=5.0, help="and between hosts")
    parser.add_argument("--chips", nargs="+", default=["v5p", "H100"], choices=list(CHIPS))
    parser.add_argument(
        "--full", action="store_true", help="compile with all optimisations: slow, the same bytes"
    )
    parser.add_argument("--largest", action="store_true", help="list the largest collectives")
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", max(MESHES))
    for name, chip in CHIPS.items():
        between = options.hop_between * 1e-6 if chip.between else 0.0
        CHIPS[name] = chip._replace(hop=options.hop * 1e-6, hop_between=between)
    # Leaves the partitioner and its collectives as they are, and compiles gradients of convolutions many times faster.
    jax.config.update("jax_disable_most_optimizations", not options.full)
    rows = []
    cases = dict.fromkeys(case._replace(executor=case.executor or options.executor) for case in CASES)
    for case in cases:
        if any(part in case.config for part in options.only):
            print(case.config, file=sys.stderr, flush=True)
            rows.append(count(case, options.executor, options.per_device))
    print(f"jax {jax.__version__}, jaxlib {jaxlib.__version__}, Python {platform.python_version()}, ", end="")
    print(f'executor "{options.executor}", share of peak {options.share}\n')
    print_bytes(rows)
    print_efficiency(rows, options.chips, options.share)
    for row in rows:
        if mark(row):
            print(f"\n{row.name}{mark(row)}: {MESHES[-1]} devices are off the fit by {row.misfit:.1%}")
    if options.largest:
        print_largest(rows)


if __name__ == "__main__":
    main()
