"""Rankings of MovieLens: held-out users, four fifths of whose items are told, beside popularity and EASE.

    python -m benchmarks.recommend ratings.csv --threshold=4 --held=150 --splits=0,1,2,3,4 --methods=ease,ease_vae

Of the users with at least five items `--held` are tested and as many stay out for validation (`--part=val` judges these
in place of the others: what hyper-parameters are chosen on); a split is a permutation by its number. Prints the mean
over splits, and of the difference to EASE on the same users its mean and standard error over splits.
"""

import argparse
import ast
import csv
import logging
import pathlib
import tempfile
import time

import numpy as np

from unsupjax.commands.configs import find, load
from unsupjax.commands.typed import changed
from unsupjax.data import open_source
from unsupjax.data.sources.ratings import open_users
from unsupjax.run.fit import fit

METRICS = ("ndcg_100", "recall_20", "recall_50")


def written(path: str, threshold: float, held: int, split: int, part: str, folder: pathlib.Path) -> str:
    """A table of the same ratings whose users have a split; the source string of it."""
    liked, _ = open_users(path, path, threshold=threshold)
    names = [row for row, n in zip(range(len(liked)), liked.rows.lengths, strict=True) if n >= 5]
    order = np.random.default_rng(split).permutation(len(names))
    of = np.full(len(names), "train", object)
    of[order[:held]], of[order[held : 2 * held]] = ("test", "none") if part == "test" else ("none", "test")
    out = folder / "ratings.csv"
    with out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("user", "item", "split"))
        for which, row in zip(of, names, strict=True):
            [items] = liked.named(np.array([row]))
            writer.writerows((liked.ids[row], item, which) for item in items)
    return f"ratings:{out}"


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ratings")
    parser.add_argument("--threshold", type=float, default=0.0)
    parser.add_argument("--held", type=int, default=150)
    parser.add_argument("--splits", default="0,1,2,3,4")
    parser.add_argument("--part", choices=("test", "val"), default="test")
    parser.add_argument("--methods", default="ease,mult_vae,ease_vae")
    options, flags = parser.parse_known_args()
    logging.disable(logging.WARNING)
    found: dict[str, list] = {}
    for split in ast.literal_eval(f"[{options.splits}]"):
        for method in options.methods.split(","):
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                source = written(
                    options.ratings, options.threshold, options.held, split, options.part, folder
                )
                mine = [
                    f"--config.data.source={source}",
                    "--config.data.split_column=split",
                    "--config.data.threshold=0.0",
                    "--config.data.min_items=1",
                    f"--config.seed={split}",
                    f"--config.method.name={method}",
                ]
                if method == "ease":
                    mine.append("--config.train.epochs=1.0")
                config = changed(load(find("recommend_ratings")), mine + (flags if method != "ease" else []))
                begun = time.perf_counter()
                results = fit(config, folder / "run")
                results["seconds"] = time.perf_counter() - begun
                results["items"] = open_source(source, split_column="split").kind.size
            found.setdefault(method, []).append(results)
            print(split, method, {k: round(float(v), 4) for k, v in results.items()}, flush=True)
    report(found)


def report(found: dict[str, list]) -> None:
    """Means over splits, and differences to EASE on the same users."""
    first = next(iter(found.values()))
    for name in ("popularity", "ease"):
        print(f"{name} (judge)", *(f"{np.mean([r[f'{m}_{name}'] for r in first]):.4f}" for m in METRICS))
    for method, runs in found.items():
        print(method, *(f"{np.mean([r[m] for r in runs]):.4f}" for m in METRICS), end="  over EASE: ")
        for m in METRICS:
            d = np.array([r[m] - r[f"{m}_ease"] for r in runs])
            print(
                f"{d.mean():+.4f} ± {d.std(ddof=1) / np.sqrt(len(d)) if len(d) > 1 else np.nan:.4f}", end="  "
            )
        print(f"{np.mean([r['seconds'] for r in runs]):.0f} s")


if __name__ == "__main__":
    main()
