"""What a corpus is about: `unsupjax topics RUN --words=10 --html=topics.html`."""

import argparse
import signal
from typing import Any, NamedTuple

import numpy as np

from unsupjax.commands import compare
from unsupjax.commands.topic_page import topic_page
from unsupjax.commands.topic_times import Times, periods
from unsupjax.data.stream import open_stream
from unsupjax.errors import UserError
from unsupjax.model import Model, load

_BLOCK = 4096  # documents at once
_LONGEST = 300  # characters of a document that are kept


class Found(NamedTuple):
    """The documents of a source.

    Attributes:
        topics: of each, -1: none, int `[N]`.
        proportions: float32 `[N, K]`.
        texts: how each begins.
        empty: how many have no word that the model knows.
        times: when they are of; None: nobody asked.
    """

    topics: np.ndarray
    proportions: np.ndarray
    texts: list[str]
    empty: int
    times: Times | None = None


def run(name: str, argv: list[str]) -> None:
    """Runs the command."""
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if options.words < 1 or options.documents < 0:
        raise UserError(
            f"--words={options.words} must be at least 1 and --documents={options.documents} at least 0"
        )
    if options.html:
        compare.check("html", options.html, options.overwrite)
    elif options.overwrite:
        raise UserError("--overwrite is for what --html names; leave it out")
    model = load(options.run, options.step)
    words = [[word for word, _ in row] for row in model.topics(options.words)]
    column = {"text_column": options.text_column} if options.text_column is not None else {}
    found = _read(model, options.source or model.source, column)
    if options.time_column:
        found = found._replace(times=_times(model, options.source or model.source, options.time_column))
    typical = [_typical(found, topic, options.documents) for topic in range(len(words))]
    sizes = np.bincount(found.topics[found.topics >= 0], minlength=len(words))
    _print(words, sizes, typical, found)
    if options.html:
        lead = f"{model.name} of {model.source}: {len(found.texts):,} documents, {len(words)} topics"
        shown = [[found.texts[i] for i in rows] for rows in typical]
        over = None if found.times is None else found.times.shares(found.topics, len(words))
        names = () if found.times is None else found.times.names
        page = topic_page(
            lead, words, sizes, shown, found.topics, found.proportions, found.texts, names, over
        )
        compare.write_text(options.html, page)
        print(f"{options.html}: {len(words)} topics of {len(found.texts)} documents")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unsupjax topics",
        description="The topics of a model of texts, the largest first: how many documents each has, its words, and "
        "those documents that are most of it.",
        allow_abbrev=False,
    )
    parser.add_argument("run", help="the folder of a trained run")
    parser.add_argument(
        "source", nargs="?", default="", help="texts, or a table of them; default: the data of the run"
    )
    parser.add_argument("--words", type=int, default=10, help="of each topic; default: 10")
    parser.add_argument("--documents", type=int, default=3, help="of each topic, most of it; default: 3")
    parser.add_argument("--html", default="", metavar="PAGE", help="a page with a map of the documents")
    parser.add_argument(
        "--text_column", help="of a table in SOURCE, the column of texts; default: as in training"
    )
    parser.add_argument(
        "--time_column", help="of a table in SOURCE: tell how the share of each topic changed over time"
    )
    parser.add_argument("--step", default="newest", help="the checkpoint: newest, best, or its number")
    parser.add_argument("--overwrite", action="store_true", help="replace what --html names")
    return parser


def _read(model: Model, source: str, settings: dict[str, Any]) -> Found:
    """All documents of a source, with what the model makes of them."""
    stream = open_stream(source, model.kind, {**model.options, **settings})
    topics, proportions, texts, empty = [], [], [], 0
    for block in stream.blocks(_BLOCK, 0, 1):
        rows = model.kind.rows(block.raw)
        topics.append(model.assign(rows))
        proportions.append(model.encode(rows))
        texts += [_beginning(raw) for raw in block.raw]
        empty += int((rows.lengths == 0).sum())
    if not texts:
        raise UserError(f"{stream.name} holds no documents")
    return Found(np.concatenate(topics), np.concatenate(proportions), texts, empty)


def _times(model: Model, source: str, column: str) -> Times:
    """When documents are of: a column of the same table, read as its texts are."""
    try:
        stream = open_stream(source, model.kind, {**model.options, "text_column": column})
        raw = [text for block in stream.blocks(_BLOCK, 0, 1) for text in block.raw]
    except UserError as error:
        raise UserError(str(error).replace("config.data.text_column=", "--time_column=")) from error
    if not all(isinstance(text, str) for text in raw):
        raise UserError(f"--time_column={column}: {stream.name} is no table of texts and times")
    return periods(f"{stream.name}, column {column}", raw)


def _beginning(raw: Any) -> str:
    """Of a text, or the words of what was counted."""
    text = " ".join((raw if isinstance(raw, str) else " ".join(raw)).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1].rsplit(" ", 1)[0] + "…"


def _typical(found: Found, topic: int, n: int) -> list[int]:
    """The numbers of the documents of a topic that are most of it, no two the same."""
    rows = np.flatnonzero(found.topics == topic)
    chosen: dict[str, int] = {}
    for i in rows[np.argsort(-found.proportions[rows, topic], kind="stable")]:
        if len(chosen) == n:
            break
        chosen.setdefault(found.texts[i], int(i))
    return list(chosen.values())


def _print(words: list[list[str]], sizes: np.ndarray, typical: list[list[int]], found: Found) -> None:
    total = len(found.texts)
    over = None if found.times is None else found.times.shares(found.topics, len(words))
    for topic in np.argsort(-sizes, kind="stable"):
        share = f"{sizes[topic]} documents, {sizes[topic] / total:.1%}"
        print(f"topic {topic} ({share}): {', '.join(words[topic])}")
        if over is not None:
            told = (
                f"{name} {share:.1%}" for name, share in zip(found.times.names, over[:, topic], strict=True)
            )
            print(f"    {', '.join(text for text in told if 'nan' not in text)}")
        for i in typical[topic]:
            text = found.texts[i]
            print(f"    {found.proportions[i, topic]:.2f}  {text if len(text) <= 100 else text[:99] + '…'}")
    if none := int((found.topics < 0).sum()):
        print(f"{none} documents have no topic")
    if found.empty:
        print(f"{found.empty} documents have no word that the model knows: their topic says nothing")
