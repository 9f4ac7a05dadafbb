"""The batch map beside XPySom, somoclu, MiniSom and 25 lines of NumPy: time and codebooks, all in one run.

    pip install -e '.[bench]' && python benchmarks/som.py [--rounds=3]

Everyone starts from the same codebook on the same rows (digits with noise, tiled or cut to D features), with a Gaussian
whose standard deviation falls linearly from half the grid's side to 1. (XPySom's and somoclu's sigma is half their
radius.) MiniSom has no batch map; its online rule takes a thousandth of the rows and its time is scaled up. somoclu
and XPySom run 2 of the 10 epochs on the larger problems, and their times are scaled up too. "share of sgemm" is that
of the 2 N K D operations of the distances in the float32 matrix-multiply rate of the same rounds. Who is not
installed is left out.
"""

import argparse
import platform
import statistics
import time

import numpy as np
from machine import sgemm_rate

EPOCHS = 10
SIZES = [(10_000, 64, 32), (100_000, 64, 32), (10_000, 64, 64), (100_000, 64, 64), (10_000, 784, 32)]
SMALL = 2e10  # N K D below which everyone runs all epochs


def data(n, d, side):
    """Rows made of digits, and a codebook of rows to start from."""
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(0)
    digits = (load_digits().data / 16).astype(np.float32)
    wide = np.tile(digits, (1, -(-d // 64)))[:, :d]
    x = wide[rng.integers(len(wide), size=n)] + rng.normal(0, 0.05, (n, d)).astype(np.float32)
    return x, x[rng.choice(n, side * side, replace=False)]


def ours(x, start, side, epochs):
    """The codebook after `epochs` of EPOCHS epochs."""
    import jax

    from unsupjax import som

    fitted = som.fit(
        jax.random.key(0), x, som.Grid(side, side), epochs=epochs, init=start, end_radius=end(side, epochs)
    )
    return fitted.map.codebook.block_until_ready()


def end(side, epochs):
    """The standard deviation of the last of `epochs` epochs; that of the tenth is 1."""
    return side / 2 + (1 - side / 2) * (epochs - 1) / (EPOCHS - 1)


def numpy_batch_map(x, start, side, epochs):
    """The batch map by Voronoi cells: sums over the rows of each unit first, then the neighbourhood over units."""
    w, n = start.copy(), len(x)
    rows, columns = np.divmod(np.arange(side * side), side)
    squared = np.square(rows[:, None] - rows) + np.square(columns[:, None] - columns)
    for t in range(epochs):
        sigma = np.float32(end(side, t + 1))
        h = np.exp(-squared / (2 * sigma**2)).astype(np.float32)
        half_norms, best = np.square(w).sum(axis=1) / 2, np.empty(n, np.int64)
        for i in range(0, n, 1024):
            best[i : i + 1024] = (half_norms - x[i : i + 1024] @ w.T).argmin(axis=1)
        order = np.argsort(best, kind="stable")
        units, first = np.unique(best[order], return_index=True)
        sums, counts = np.zeros_like(w), np.zeros(len(w), np.float32)
        sums[units] = np.add.reduceat(x[order], first, axis=0)
        counts[units] = np.diff(np.append(first, n))
        w = (h @ sums) / (h @ counts)[:, None]
    return w


def xpysom(x, start, side, epochs):
    """XPySom's codebook; its linear decay divides by the number of epochs, and so is given the end after it."""
    from xpysom import XPySom

    beyond = end(side, epochs + 1)
    som = XPySom(side, side, x.shape[1], sigma=side, sigmaN=2 * beyond, decay_function="linear", xp=np)
    som._weights = start.reshape(side, side, -1).copy()
    som.train(x, epochs)
    return som._weights.reshape(side * side, -1)


def somoclu(x, start, side, epochs):
    """somoclu's codebook; its linear cooling reaches the end in the last epoch, and knows no single epoch."""
    from somoclu import Somoclu

    som = Somoclu(side, side, initialcodebook=start.copy(), compactsupport=False)
    cooling = "linear" if epochs > 1 else "exponential"
    som.train(
        x,
        epochs,
        radius0=side,
        radiusN=2 * end(side, epochs),
        radiuscooling=cooling,
        scalecooling=cooling,
    )
    return som.codebook.reshape(side * side, -1)


def minisom(x, start, side, epochs):
    """MiniSom's codebook after as many single rows as a thousandth of the epochs has."""
    from minisom import MiniSom

    som = MiniSom(side, side, x.shape[1], sigma=side / 2)
    som._weights = start.reshape(side, side, -1).copy()
    som.train(x, len(x) * epochs // 1000)
    return som._weights.reshape(side * side, -1)


PEERS = {"numpy": numpy_batch_map, "XPySom": xpysom, "somoclu": somoclu, "MiniSom": minisom}


def contestants():
    """Those that are installed."""
    import importlib.util

    def there(name):
        module = {"numpy": "numpy", "XPySom": "xpysom", "somoclu": "_somoclu_wrap", "MiniSom": "minisom"}[
            name
        ]
        return importlib.util.find_spec(module) is not None

    return {"ours": ours} | {name: run for name, run in PEERS.items() if there(name)}


def compare(n, d, side, rounds):
    """A row of the table of times."""
    import jax

    x, start = data(n, d, side)
    on_device = jax.device_put(x)
    large = n * d * side**2 > SMALL
    epochs = lambda name: 2 if large and name in ("XPySom", "somoclu") else EPOCHS
    seconds = {name: [] for name in contestants()}
    rates = []
    ours(on_device, start, side, EPOCHS)
    for _ in range(rounds):
        rates.append(sgemm_rate())
        for name, run in contestants().items():
            begin = time.perf_counter()
            run(on_device if name == "ours" else x, start, side, epochs(name))
            scale = 1000 if name == "MiniSom" else EPOCHS / epochs(name)
            seconds[name].append((time.perf_counter() - begin) * scale)
    median = {name: statistics.median(s) for name, s in seconds.items()}
    share = 2 * n * d * side**2 * EPOCHS / median["ours"] / statistics.median(rates)
    ratios = " | ".join(
        f"{median[name] / median['ours']:.1f}" if name in median else "not installed" for name in PEERS
    )
    return f"| {n:,} | {d} | {side} x {side} | {median['ours']:.2f} | {ratios} | {share:.0%} |"


def differences(side=16):
    """The largest difference of codebooks from ours after one epoch, relative to the largest entry."""
    x, start = data(5000, 64, side)
    expected = np.asarray(ours(x, start, side, 1))
    for name, run in contestants().items():
        if name not in ("ours", "MiniSom"):
            other = np.asarray(run(x, start, side, 1))
            yield f"| {name} | {np.abs(other - expected).max() / np.abs(expected).max():.0e} |"


def quality(seeds=3):
    """Digits tiled to 100,000 rows, 32 x 32, 10 epochs: both errors, by our functions, of our maps and XPySom's."""
    import jax
    from sklearn.datasets import load_digits

    from unsupjax import som

    digits = (load_digits().data / 16).astype(np.float32)
    x = np.tile(digits, (56, 1))[:100_000]
    grid = som.Grid(32, 32)
    for seed in range(seeds):
        key = jax.random.key(seed)
        maps = {"ours": som.fit(key, x, grid, start_radius=8.0, end_radius=0.65, decay="exponential").map}
        if "XPySom" in contestants():
            from xpysom import XPySom

            peer = XPySom(32, 32, 64, sigma=16, sigmaN=1, random_seed=seed, xp=np)
            peer.train(x, EPOCHS)
            maps["XPySom"] = som.Map(jax.numpy.asarray(peer._weights.reshape(1024, 64)), grid)
        for name, map in maps.items():
            errors = som.quantization_error(map, digits), som.topographic_error(map, digits)
            yield f"| {name} | {seed} | {errors[0]:.3f} | {errors[1]:.3f} |"


def main():
    """Prints the tables."""
    import jax

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(f"jax {jax.__version__}, numpy {np.__version__}, Python {platform.python_version()},", end=" ")
    print(f"{jax.devices()[0].device_kind}, median of {rounds} rounds\n")
    print("| | one epoch, relative difference from ours |\n|---|---|")
    print("\n".join(differences()), flush=True)
    print("\n| | seed | quantization error | topographic error (8) |\n|---|---|---|---|")
    print("\n".join(quality()), flush=True)
    names = " | ".join(f"x {name}" for name in PEERS)
    print(f"\n| N | D | grid | ours, s for 10 epochs | {names} | share of sgemm |\n" + "|---" * 9 + "|")
    for size in SIZES:
        print(compare(*size, rounds), flush=True)


if __name__ == "__main__":
    main()
