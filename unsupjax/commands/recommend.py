"""Recommends: `unsupjax recommend RUN ratings.csv --top=20 --out=recs.csv`."""

import argparse
import signal
from typing import Any

import numpy as np

from unsupjax.commands import output
from unsupjax.commands.titles import read_titles
from unsupjax.data.stream import open_users
from unsupjax.errors import UserError
from unsupjax.model import Recommended, load

_BLOCK = 4096  # users at once


def run(name: str, argv: list[str]) -> None:
    """Runs the command."""
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is half written is removed
    if options.top < 1 or options.batch < 0:
        raise UserError(f"--top={options.top} and --batch={options.batch} must be at least 1")
    if not options.out:
        raise UserError("say where recommendations go: --out=NAME.csv or .parquet")
    writer = output.check_columns(options.out, options.overwrite, "recommendations are a table")
    titles = read_titles(options.names)
    model = load(options.run, options.step)
    recommend = model.recommend
    model.batch_size = options.batch or model.batch_size
    liked, taken = open_users(options.source or model.source, model.kind, model.options)
    strange, cold = set(taken.names) - set(model.kind.names), 0
    place = {name: i for i, name in enumerate(model.kind.names)}
    number = np.array([place.get(name, -1) for name in taken.names], np.int64)
    with output.opened(options.out, writer) as file:
        for start in range(0, len(taken), _BLOCK):
            users = np.arange(start, min(start + _BLOCK, len(taken)))
            told, seen = (split.rows.select(users).renumbered(number) for split in (liked, taken))
            found = recommend(told, options.top, seen)
            cold += int(found.cold.sum())
            file.write(_columns(taken.ids[users], found, titles), "score", found.scores.ravel())
    print(f"{options.out}: {len(taken)} users, {cold} of whom have nothing known: theirs is what is popular")
    if strange:
        first = ", ".join(map(repr, sorted(strange)[:3]))
        print(f"{len(strange)} items are unknown to the model and count for nothing: {first}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unsupjax recommend",
        description="What each user may like, best first, without what they have: a row for each of the best items.",
        allow_abbrev=False,
    )
    parser.add_argument("run", help="the folder of a trained run")
    parser.add_argument(
        "source", nargs="?", default="", help="a table of users and items; default: the data of the run"
    )
    parser.add_argument("--out", default="", help="NAME.csv or .parquet: user, rank, item, cold, score")
    parser.add_argument("--top", type=int, default=20, help="items for each user; default: 20")
    parser.add_argument(
        "--names", default="", help="a table of items and their titles, which are written beside"
    )
    parser.add_argument("--step", default="newest", help="the checkpoint: newest, best, or its number")
    parser.add_argument("--batch", type=int, default=0, help="users that go through at once")
    parser.add_argument("--overwrite", action="store_true", help="replace what --out names")
    return parser


def _columns(users: np.ndarray, found: Recommended, titles: dict[str, str]) -> dict[str, Any]:
    top = found.items.shape[1]
    items = found.items.ravel().tolist()
    beside = {"title": [titles.get(item, "") for item in items]} if titles else {}
    return {
        "user": np.repeat(users, top).tolist(),
        "rank": np.tile(np.arange(1, top + 1), len(users)),
        "item": items,
        **beside,
        "cold": np.repeat(found.cold, top),
    }
