"""Quality of clusterings: k-means beside scikit-learn's, and a deep self-organizing map beside plain ones on its codes.

    python benchmarks/clustering.py [--mnist=tfds:mnist] [--desom=runs/desom_mnist] [--seeds=5]

Digits are clustered whole, 10 clusters, 10 restarts; MNIST's training pixels from one start, and its test set is what
purity and NMI are of. `--desom` names a run of configs/desom_mnist.py; the plain maps are batch maps of its training
codes with the same neighbourhood and the same fall of its radius over 60 epochs, and all errors are of its test codes.
"""

import argparse
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from unsupjax import som
from unsupjax.cluster import kmeans, scores
from unsupjax.data import arrays, open_source
from unsupjax.numerics import nearest
from unsupjax.run.experiment import make_subject
from unsupjax.run.fit import load
from unsupjax.som.start import STARTS


def digits(seeds):
    """Rows: inertia and ARI of ours and scikit-learn's over seeds."""
    x, y = load_digits(return_X_y=True)
    x = x.astype(np.float32)
    runs = {"ours": [], "scikit-learn": []}
    for seed in range(seeds):
        fitted = kmeans.fit(jax.random.key(seed), x, 10, restarts=10)
        peer = KMeans(10, n_init=10, random_state=seed).fit(x)
        for name, inertia, labels in (
            ("ours", fitted.inertia, fitted.labels),
            ("scikit-learn", peer.inertia_, peer.labels_),
        ):
            runs[name].append((float(inertia), scores.adjusted_rand_index(y, np.asarray(labels))))
    for name, values in runs.items():
        inertia, ari = np.array(values).T
        yield (
            f"| digits, 10 clusters | {name} | {inertia.min():.7g}-{inertia.max():.7g} | "
            f"ARI {ari.min():.4f}-{ari.max():.4f} |"
        )


def mnist(source, seeds):
    """Rows: inertia of the training set, purity and NMI of the test set."""
    opened = open_source(source)
    (x, _), (x_test, y_test) = (arrays(split) for split in (opened.train, opened.test))
    x, x_test = (a.reshape(len(a), -1).astype(np.float32) / 255 for a in (x, x_test))
    for k in (10, 256):
        runs = {"ours": [], "scikit-learn": []}
        for seed in range(seeds):
            fitted = kmeans.fit(jax.random.key(seed), x, k, restarts=1)
            peer = KMeans(k, n_init=1, random_state=seed).fit(x)
            found = np.asarray(kmeans.predict(fitted.centers, x_test))
            for name, inertia, labels in (
                ("ours", float(fitted.inertia), found),
                ("scikit-learn", peer.inertia_, peer.predict(x_test)),
            ):
                nmi = scores.normalized_mutual_information(y_test, labels)
                runs[name].append((inertia, scores.purity(y_test, labels), nmi))
        for name, values in runs.items():
            inertia, purity, nmi = np.array(values).T
            yield (
                f"| MNIST, {k} clusters | {name} | {inertia.min():.5g}-{inertia.max():.5g} | purity "
                f"{purity.min():.4f}-{purity.max():.4f}, NMI {nmi.min():.3f}-{nmi.max():.3f} |"
            )


def desom(folder):
    """Rows: a deep map, plain maps on its codes, and k-means of the pixels with as many clusters."""
    experiment, state = load(folder)
    judged, method = make_subject(experiment, state), experiment.plan.record["method"]
    deep, _ = experiment.method.map(state, judged.x_test[:1])
    maps = {"deep": deep}
    for name, start, seed in [("the principal plane", "pca", 0)] + [
        (f"random codes, seed {i}", "samples", i) for i in range(3)
    ]:
        maps[f"plain on its codes, from {name}"] = plain(judged.z_train, deep.grid, method, start, seed)
    for name, map in maps.items():
        errors = [som.topographic_error(map, judged.z_test, n) for n in (8, 4)]
        purity = scores.purity(judged.y_test, np.asarray(som.bmu(map, judged.z_test)))
        error = som.quantization_error(map, judged.z_test)
        yield f"| {name} | {purity:.4f} | {error:.4f} | {errors[0]:.4f} | {errors[1]:.4f} |"
    flat = lambda x: np.asarray(x).reshape(len(x), -1)
    for seed in range(2):
        fitted = kmeans.fit(jax.random.key(seed), flat(judged.x_train), deep.grid.units, restarts=1)
        found = np.asarray(kmeans.predict(fitted.centers, flat(judged.x_test)))
        yield f"| k-means of the pixels, seed {seed} | {scores.purity(judged.y_test, found):.4f} | | | |"


def plain(z, grid, method, start, seed, epochs=60):
    """The batch map with the deep map's neighbourhood, exp(-d^2 / T^2), and the same fall of T."""
    z, w = jnp.asarray(z), STARTS[start](jax.random.key(seed), jnp.asarray(z), grid, False, None)
    apart = som.distances(grid, method["manhattan"])
    for epoch in range(epochs):
        radius = method["start_radius"] * (method["end_radius"] / method["start_radius"]) ** (
            epoch / (epochs - 1)
        )
        h = jnp.asarray(np.exp(-np.square(apart / radius)), jnp.float32)
        totals, _ = accumulate(z, w)
        mean = (h @ totals.sums) / (h @ totals.counts)[:, None]
        w = mean + nearest.prepare(w, "euclidean").shift[None]
    return som.Map(w, grid)


accumulate = jax.jit(nearest.accumulate)


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mnist", default="", help="where MNIST is, such as tfds:mnist")
    parser.add_argument("--desom", default="", type=pathlib.Path, help="the folder of a run")
    parser.add_argument("--seeds", default=5, type=int)
    arguments = parser.parse_args()
    print("| data | | inertia, over seeds | |\n|---|---|---|---|")
    print("\n".join(digits(arguments.seeds)), flush=True)
    if arguments.mnist:
        for row in mnist(arguments.mnist, min(arguments.seeds, 3)):
            print(row, flush=True)
    if arguments.desom != pathlib.Path():
        print("\n| map | purity | quantization error | topographic error, 8 | 4 |\n|---|---|---|---|---|")
        print("\n".join(desom(arguments.desom)), flush=True)


if __name__ == "__main__":
    main()
