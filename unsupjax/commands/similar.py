"""The nearest items: `unsupjax similar RUN ITEM --top=10 --names=items.csv`."""

import argparse

from unsupjax.commands.titles import read_titles
from unsupjax.errors import UserError, closest
from unsupjax.model import load


def run(name: str, argv: list[str]) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="unsupjax similar",
        description="The items nearest to one, by the cosine between their embeddings.",
        allow_abbrev=False,
    )
    parser.add_argument("run", help="the folder of a trained run")
    parser.add_argument("item", help="its name, or with --names its title")
    parser.add_argument("--top", type=int, default=10, help="how many; default: 10")
    parser.add_argument("--names", default="", help="a table of items and their titles")
    parser.add_argument("--step", default="newest", help="the checkpoint: newest, best, or its number")
    options = parser.parse_args(argv)
    if options.top < 1:
        raise UserError(f"--top={options.top} must be at least 1")
    titles = read_titles(options.names)
    model = load(options.run, options.step)
    similar = model.similar
    item = _item(options.item, titles, set(model.kind.names))
    for other, cosine in similar(item, options.top):
        print(f"{cosine:.3f}  {other}" + (f"  {titles[other]}" if other in titles else ""))


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
