"""The nearest items or texts: `unsupjax similar RUN ITEM --top=10`, `unsupjax similar RUN "a text" --among=FILE`."""

import argparse

import numpy as np

from unsupjax.commands.titles import read_titles
from unsupjax.data.kinds import Kind, Tokens
from unsupjax.data.stream import open_stream
from unsupjax.errors import UserError, closest
from unsupjax.model import Model, load

_BLOCK = 1024  # texts at once
_WIDE = 150  # characters of a text that are shown


def run(name: str, argv: list[str]) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="unsupjax similar",
        description="The items nearest to one, or the texts nearest to a text, by the cosine between their embeddings.",
        allow_abbrev=False,
    )
    parser.add_argument("run", help="the folder of a trained run")
    parser.add_argument(
        "item", help="its name, or with --names its title; of a model of texts a text, or one of its words"
    )
    parser.add_argument("--top", type=int, default=10, help="how many; default: 10")
    parser.add_argument("--names", default="", help="a table of items and their titles")
    parser.add_argument(
        "--among", default="", help="the source of texts to look among; default: the data of the run"
    )
    parser.add_argument("--text_column", help="of a table in --among; default: as in training")
    parser.add_argument("--step", default="newest", help="the checkpoint: newest, best, or its number")
    options = parser.parse_args(argv)
    if options.top < 1:
        raise UserError(f"--top={options.top} must be at least 1")
    titles = read_titles(options.names)
    model = load(options.run, options.step)
    if _asks_for_texts(model.kind, options):
        if titles:
            raise UserError("--names is for models of items, and this is one of texts; leave it out")
        _texts(model, options)
        return
    if options.among or options.text_column:
        raise UserError(
            f"--among and --text_column are for models of texts, and this takes {model.kind.name}"
        )
    similar = model.similar
    item = _item(options.item, titles, set(model.kind.names))
    for other, cosine in similar(item, options.top):
        print(f"{cosine:.3f}  {other}" + (f"  {titles[other]}" if other in titles else ""))


def _asks_for_texts(kind: Kind, options: argparse.Namespace) -> bool:
    """Of rows of words a word is an item, and anything else a text."""
    words = getattr(kind, "words", "")
    asked = options.among or options.text_column
    return isinstance(kind, Tokens) or bool(words and (asked or options.item not in kind.names))


def _texts(model: Model, options: argparse.Namespace) -> None:
    """Prints the nearest texts; all codes less their mean, which says nothing of any one of them."""
    settings = {"text_column": options.text_column} if options.text_column else {}
    stream = open_stream(options.among or model.source, model.kind, {**model.options, **settings})
    texts, codes = [], []
    for block in stream.blocks(_BLOCK, 0, 1):
        texts += [raw if isinstance(raw, str) else " ".join(raw) for raw in block.raw]
        codes.append(model.encode(block.raw))
    if not texts:
        raise UserError(f"{stream.name} holds no texts")
    found = np.concatenate([*codes, model.encode([options.item])])
    bare = getattr(model.kind, "words", "") and not model.kind.rows([options.item]).lengths[0]
    if bare or not found[-1].any():
        raise UserError(
            f"{options.item!r} has no word that the model knows; {closest(options.item, model.kind.names)}"
        )
    found = found - found.mean(0, keepdims=True)
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    cosines = found[:-1] @ found[-1]
    for i in np.argsort(-cosines, kind="stable")[: options.top]:
        text = " ".join(texts[i].split())
        print(f"{cosines[i]:.3f}  {text[:_WIDE]}" + ("..." if len(text) > _WIDE else ""))


def _item(text: str, titles: dict[str, str], known: set[str]) -> str:
    """The item of a name, or of the one title that is, or else holds, what was typed."""
    if text in known or not titles:
        return text
    low = text.lower()
    mine = {item: title.lower() for item, title in titles.items() if item in known}
    found = [i for i, title in mine.items() if title == low] or [i for i, t in mine.items() if low in t]
    if len(found) == 1:
        return found[0]
    raise UserError(
        f"{len(found) or 'no'} items are called {text!r}; {closest(text, [titles[i] for i in mine])}"
    )
