"""The model card: what a folder holds, where it comes from, what it reached, and how it is loaded."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from unsupjax.data.kinds import Images, Table


class Card(NamedTuple):
    """What a card tells.

    Attributes:
        title: of the page.
        what: the file holds, in a sentence.
        facts: name -> text: method, data, steps.
        usage: Python that loads it.
        inputs: what goes in.
        outputs: what comes out.
        results: of the run's evaluation.
        class_names: of the data; no labels: ().
        versions: what it was made with.
    """

    title: str
    what: str
    facts: Mapping[str, str]
    usage: str
    inputs: str
    outputs: str
    results: Mapping[str, Any]
    class_names: tuple[str, ...]
    versions: Mapping[str, str]


def seen(kind: Any) -> str:
    """What an encoder's network takes, of that kind."""
    shape = "[N, " + ", ".join(map(str, kind.example().shape)) + "]"
    if isinstance(kind, Images):
        return (
            f"Pictures, float32 `{shape}` (rows, columns, channels) in [0, 1]: `(value - {kind.low:g}) / "
            f"({kind.high:g} - {kind.low:g})`. No mean is subtracted, and nothing is divided by a deviation."
        )
    if isinstance(kind, Table):
        return (
            f"Rows, float32 `{shape}`: of each number `(value - mean) / std`, of each category a one-hot. Means, "
            "deviations and categories stand in `config.json` under `kind`."
        )
    return f"Arrays, float32 `{shape}`, as they are."


def stored(kind: Any, example: Any) -> str:
    """What a program takes, of that kind: `example` is the shape and dtype of one."""
    if isinstance(kind, Images) and example.dtype == "uint8":
        shape = "[N, " + ", ".join(map(str, example.shape)) + "]"
        return f"Pictures as they are in files, uint8 `{shape}` (rows, columns, channels) from 0 to 255."
    return seen(kind)


def text(card: Card) -> str:
    """The card in Markdown."""
    lines = [
        "---",
        "library_name: unsupjax",
        "tags:",
        "- unsupervised-learning",
        "---",
        "",
        f"# {card.title}",
    ]
    lines += ["", card.what, "", "| | |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in card.facts.items()]
    if card.class_names:
        names = ", ".join(card.class_names[:100]) + (", ..." if len(card.class_names) > 100 else "")
        lines += [f"| classes of its data, which training did not see | {_cell(names)} |"]
    lines += [
        "",
        "## Use",
        "",
        "```python",
        card.usage,
        "```",
        "",
        f"In: {card.inputs}",
        "",
        f"Out: {card.outputs}",
    ]
    lines += ["", "## What the run reached at its end", ""]
    if card.results:
        lines += ["| | |", "|---|---|"]
        lines += [f"| {_cell(name)} | {_number(value)} |" for name, value in card.results.items()]
    else:
        lines += ["It was not evaluated."]
    lines += ["", "Made with " + ", ".join(f"{k} {v}" for k, v in card.versions.items()) + ".", ""]
    return "\n".join(lines)


def _cell(value: str) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _number(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, int | float) else _cell(value)
