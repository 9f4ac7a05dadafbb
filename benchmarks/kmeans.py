"""Lloyd's iterations beside scikit-learn's and faiss's: time, inertia, memory, and devices, all in one run.

    pip install -e '.[bench]' && python benchmarks/kmeans.py [--rounds=5] [--large]

Everyone starts from the same centres, runs the same 10 iterations and assigns the rows once more; faiss does not
subsample. Contestants alternate in rounds and the table holds medians, so that a noisy machine disturbs all alike. The
share of sgemm is that of the 2 N K D operations of the distances in the float32 matrix-multiply rate of the same
rounds. Memory is the most that a process of its own held beyond the data and the loaded libraries. `--large` adds a
million rows.
"""

import argparse
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import threading
import time

import numpy as np
from machine import sgemm_rate

ITERATIONS = 10
SIZES = [(100_000, d, k) for d in (32, 64, 128) for k in (10, 64, 256, 1024)]
LARGE = [(1_000_000, d, k) for d, k in ((32, 64), (64, 256), (128, 10), (128, 256), (128, 1024))]


def data(n, d, k):
    """Rows in 2 K overlapping clusters, and K of them to start from."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(2 * k, d)).astype(np.float32)
    x = means[rng.integers(2 * k, size=n)] + rng.normal(size=(n, d)).astype(np.float32)
    return x, x[rng.choice(n, k, replace=False)]


def ours(x, start):
    """Inertia."""
    import jax

    from unsupjax.cluster import kmeans

    fitted = kmeans.fit(jax.random.key(0), x, len(start), init=start, iterations=ITERATIONS, tolerance=0.0)
    return float(fitted.inertia)


def scikit_learn(x, start):
    """Inertia."""
    from sklearn.cluster import KMeans

    settings = {"n_init": 1, "max_iter": ITERATIONS, "tol": 0, "algorithm": "lloyd"}
    return float(KMeans(len(start), init=start, **settings).fit(x).inertia_)


def faiss(x, start):
    """Inertia: faiss's own is that before the last move of the centres, so rows are assigned once more."""
    import faiss

    settings = {"niter": ITERATIONS, "max_points_per_centroid": 10**9, "min_points_per_centroid": 1}
    kmeans = faiss.Kmeans(x.shape[1], len(start), **settings)
    kmeans.train(x, init_centroids=start)
    return float(kmeans.assign(x)[0].sum())


CONTESTANTS = {"ours": ours, "scikit-learn": scikit_learn, "faiss": faiss}


def compare(n, d, k, rounds):
    """A row of the table of times."""
    import jax

    x, start = data(n, d, k)
    on_device = jax.device_put(x)
    given = {"ours": on_device, "scikit-learn": x, "faiss": x}
    inertia = {name: run(given[name], start) for name, run in CONTESTANTS.items()}
    seconds = {name: [] for name in CONTESTANTS}
    rates = []
    for _ in range(rounds):
        rates.append(sgemm_rate())
        for name, run in CONTESTANTS.items():
            begin = time.perf_counter()
            run(given[name], start)
            seconds[name].append(time.perf_counter() - begin)
    per = {name: statistics.median(s) / ITERATIONS for name, s in seconds.items()}
    share = 2 * n * d * k * (1 + 1 / ITERATIONS) / per["ours"] / statistics.median(rates)
    against = lambda name: f"{per[name] / per['ours']:.2f}"
    off = abs(inertia["ours"] / inertia["scikit-learn"] - 1)
    return (
        f"| {n:,} | {d} | {k} | {1e3 * per['ours']:.1f} | {1e3 * per['scikit-learn']:.1f} | {1e3 * per['faiss']:.1f} | "
        f"{against('scikit-learn')} | {against('faiss')} | {share:.0%} | {off:.0e} |"
    )


def memory(name, n, d, k):
    """Peak MiB of one contestant in a process of its own, beyond what stood before the call."""
    x, start = data(n, d, k)
    if name == "ours":
        import jax

        x = jax.device_put(x)
        x.block_until_ready()
    CONTESTANTS[name](x[: 4 * k], start)  # loads libraries
    before, peak, done = resident(), [0], threading.Event()

    def watch():
        while not done.wait(1e-3):
            peak[0] = max(peak[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    CONTESTANTS[name](x, start)
    done.set()
    watcher.join()
    print((peak[0] - before) // 2**20)


def resident():
    """Bytes of this process in memory."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def devices(counts=(1, 2, 4, 8)):
    """Rows of the table of virtual devices: the same result, whatever their number."""
    import jax
    from jax.sharding import PartitionSpec

    from unsupjax.cluster import kmeans
    from unsupjax.parallel.mesh import AXIS, make_mesh

    x, start = data(96_000, 64, 256)
    rows, whole = PartitionSpec(AXIS), PartitionSpec()
    first = None
    for n in counts:
        fit = lambda x: kmeans.fit(
            jax.random.key(0), x, 256, init=start, iterations=ITERATIONS, tolerance=0.0, axis_name=AXIS
        )
        specs = {"in_specs": rows, "out_specs": kmeans.Fit(whole, rows, whole, whole)}
        fitted = jax.jit(jax.shard_map(fit, mesh=make_mesh(jax.devices()[:n]), **specs))(x)
        labels = np.asarray(fitted.labels)
        first = labels if first is None else first
        print(f"| {n} | {float(fitted.inertia):.7g} | {(labels != first).sum()} |", flush=True)


def _own_process(*arguments):
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def report(rounds, large):
    """Prints the tables."""
    import faiss as faiss_package
    import jax
    import sklearn

    print(
        f"jax {jax.__version__}, scikit-learn {sklearn.__version__}, faiss {faiss_package.__version__},",
        end=" ",
    )
    print(f"Python {platform.python_version()}, {jax.devices()[0].device_kind}, median of {rounds} rounds\n")
    print("| N | D | K | ours, ms an iteration | scikit-learn | faiss | x scikit-learn | x faiss |", end=" ")
    print("share of sgemm | inertia off by |\n" + "|---" * 10 + "|")
    for size in SIZES + LARGE * large:
        print(compare(*size, rounds), flush=True)
    print("\n| N | D | K | ours, MiB | scikit-learn | faiss |\n|---|---|---|---|---|---|")
    for size in ((100_000, 128, 1024), (1_000_000, 64, 256)):
        peaks = " | ".join(_own_process("--memory", name, *size) for name in CONTESTANTS)
        print(f"| {size[0]:,} | {size[1]} | {size[2]} | {peaks} |", flush=True)
    print("\n| devices | inertia | labels that differ |\n|---|---|---|")
    print(_own_process("--devices"))


def main():
    """Prints the tables, or what a process of its own is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--memory", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--devices", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        memory(arguments.memory[0], *map(int, arguments.memory[1:]))
    elif arguments.devices:
        import os

        os.environ["PJRT_NPROC"] = "64"
        import jax

        jax.config.update("jax_num_cpu_devices", 8)
        devices()
    else:
        report(arguments.rounds, arguments.large)


if __name__ == "__main__":
    main()
