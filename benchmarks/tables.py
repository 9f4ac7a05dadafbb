"""Synthetic tables: the GAN of `unsupjax.tables` beside a Gaussian copula and independent columns.

    python benchmarks/tables.py [--seeds 0 1 2] [--samples=2] [--steps=N] [--files TABLE.csv ADBENCH.npz ...]

Tables are scikit-learn's wine and breast cancer, CSV files whose last column is the target, and ADBench's files of X
and y (https://github.com/Minqi824/ADBench). Each seed holds out another third of the rows, on which everything is
judged (`tables.report`); each model makes `samples` tables of as many rows as it learnt from. Numbers are means over
seeds and samples, with the standard deviation over seeds.
"""

import argparse
import pathlib
import time

import jax
import numpy as np
from sklearn.datasets import load_breast_cancer, load_wine

from unsupjax import tables


def bundled(load):
    """One of scikit-learn's tables, with names of classes as target."""
    data = load()
    columns = dict(zip(map(str, data.feature_names), data.data.T, strict=True))
    return tables.from_columns(columns | {"class": data.target_names[data.target]})


def opened(path):
    """The table in a file."""
    if not path.endswith(".npz"):
        return tables.read(path)
    with np.load(path, allow_pickle=False) as file:
        columns = {f"x{i}": column for i, column in enumerate(file["X"].T)}
        return tables.from_columns(columns | {"outlier": file["y"].astype(int)})


def measure(table, seed, samples, settings):
    """Of one split, each model's measures, averaged over its samples."""
    target = table.names[-1]
    order = np.random.default_rng(seed).permutation(table.rows)
    test, train = table.take(order[: table.rows // 3]), table.take(order[table.rows // 3 :])
    begin = time.process_time()
    model = tables.fit(jax.random.key(seed), train, **settings)
    seconds, found = time.process_time() - begin, []
    for i in range(samples):
        new = tables.sample(model, jax.random.key(1000 * (seed + 1) + i), train.rows)
        found.append(tables.compare(train, test, new, target=target, seed=100 * seed + i))
    mean = {m: {k: np.mean([f[m][k] for f in found]) for k in found[0][m]} for m in found[0]}
    mean["synthetic"]["seconds"] = seconds
    return mean


def show(name, table, found):
    """A Markdown table of the means over seeds."""
    names = {"synthetic": "GAN", "copula": "Gaussian copula", "marginals": "independent columns"}
    rows = f"{table.rows} rows, {len(table.columns)} columns, {len(found)} splits"
    print(
        f"\n{name}: {rows}, {np.mean([f['synthetic'].pop('seconds') for f in found]):.0f} s of CPU for a fit\n"
    )
    print(f"| measure | {' | '.join(names.values())} |\n|---|{'---|' * len(names)}")
    for key in found[0]["synthetic"]:
        values = [[f[m][key] for f in found] for m in names]
        print(f"| {key} | {' | '.join(f'{np.mean(v):.3f} ± {np.std(v):.3f}' for v in values)} |", flush=True)


def main():
    """Runs what the arguments say."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--steps", type=int, default=tables.Settings().steps)
    parser.add_argument("--files", nargs="*", default=[])
    chosen = parser.parse_args()
    data = {"wine": bundled(load_wine), "breast cancer": bundled(load_breast_cancer)}
    data |= {pathlib.Path(path).stem: opened(path) for path in chosen.files}
    for name, table in data.items():
        show(
            name,
            table,
            [measure(table, seed, chosen.samples, {"steps": chosen.steps}) for seed in chosen.seeds],
        )


if __name__ == "__main__":
    main()
