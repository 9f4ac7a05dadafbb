"""Items that the same people take, in groups: `unsupjax groups RUN --groups=20 --names=items.csv`."""

import argparse

import jax
import numpy as np

from unsupjax.cluster import kmeans
from unsupjax.commands import output
from unsupjax.commands.titles import read_labels, read_titles
from unsupjax.errors import UserError
from unsupjax.model import load


def run(name: str, argv: list[str]) -> None:
    """Runs the command."""
    options = _parser().parse_args(argv)
    if options.top < 1 or options.restarts < 1:
        raise UserError(f"--top={options.top} and --restarts={options.restarts} must be at least 1")
    if options.labels and not options.names:
        raise UserError(f"--labels={options.labels} is a column of what --names names; add --names=FILE")
    writer = output.check(options.out, options.overwrite) if options.out else None
    if writer not in (None, output.Csv, output.Parquet):
        raise UserError(f"--out={options.out}: groups are a table: --out=NAME.csv or .parquet")
    titles, labels = read_titles(options.names), read_labels(options.names, options.labels)
    model = load(options.run, options.step)
    items, embedded = list(model.kind.names), model.embeddings
    if not 2 <= options.groups <= len(items):
        raise UserError(f"--groups={options.groups} must be between 2 and the {len(items)} items")
    found = kmeans.fit(
        jax.random.key(options.seed), embedded, options.groups, restarts=options.restarts, spherical=True
    )
    group, centers = np.asarray(found.labels), np.asarray(found.centers)
    cosine = np.sum(embedded * centers[group], axis=1)
    sizes = np.bincount(group, minlength=options.groups)
    number = np.empty(options.groups, int)
    number[np.argsort(-sizes, kind="stable")] = np.arange(options.groups)  # the largest is group 0
    group = number[group]
    taken = np.asarray(model.kind.frequency)
    for g in range(options.groups):
        own = np.flatnonzero(group == g)
        first = own[np.argsort(-taken[own], kind="stable")[: options.top]]
        named = ", ".join(titles.get(items[i], items[i]) for i in first)
        print(f"{g:>3}  {len(own):>5} items{_of(labels, items, own)}  {named}")
    if labels:
        _judge(labels, items, group)
    if writer:
        beside = {"title": [titles.get(item, "") for item in items]} if titles else {}
        with output.opened(options.out, writer) as file:
            file.write({"item": items, **beside, "group": group}, "cosine", cosine)
        print(f"{options.out}: {len(items)} items")


def _of(labels: dict[str, list[str]], items: list[str], own: np.ndarray) -> str:
    """The label that most items of a group have, and their share."""
    names, counts = np.unique([x for i in own for x in labels.get(items[i], ())], return_counts=True)
    return f"  {names[counts.argmax()]} {counts.max() / len(own):.0%}" if len(names) else ""


def _judge(labels: dict[str, list[str]], items: list[str], group: np.ndarray) -> None:
    """Prints the purity: the share of items that have the commonest label of their group, and that in one group."""

    def purity(group: np.ndarray) -> float:
        most = 0
        for g in np.unique(group):
            found = [x for i in np.flatnonzero(group == g) for x in labels.get(items[i], ())]
            most += np.unique(found, return_counts=True)[1].max(initial=0)
        return most / len(group)

    at_random = np.random.default_rng(0).permutation(group)
    print(f"purity {purity(group):.3f}; of groups as large drawn at random {purity(at_random):.3f}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unsupjax groups",
        description="The items of a recommender in groups that the same people take: k-means of the directions of "
        "their embeddings. A line a group, the largest first: how many items, and those that are taken most.",
        allow_abbrev=False,
    )
    parser.add_argument("run", help="the folder of a trained run")
    parser.add_argument("--groups", type=int, default=20, help="how many; default: 20")
    parser.add_argument("--top", type=int, default=6, help="items of each that are shown; default: 6")
    parser.add_argument("--names", default="", help="a table of items and their titles")
    parser.add_argument(
        "--labels",
        default="",
        help="its column of kinds, one or several an item, divided by | or spaces: purity",
    )
    parser.add_argument(
        "--out", default="", help="NAME.csv or .parquet: item, title, group, cosine to its centre"
    )
    parser.add_argument("--restarts", type=int, default=10, help="of k-means; default: 10")
    parser.add_argument("--seed", type=int, default=0, help="of its starts")
    parser.add_argument("--step", default="newest", help="the checkpoint: newest, best, or its number")
    parser.add_argument("--overwrite", action="store_true", help="replace what --out names")
    return parser
