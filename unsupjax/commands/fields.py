"""What can be set: `unsupjax fields METHOD`, or a network, an evaluator, a section."""

import argparse
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from unsupjax import config as configs
from unsupjax.config import SLOTS, Checkpoint, Data, Evaluate, Start, Train, defaults
from unsupjax.data import open_source
from unsupjax.errors import UserError, nearest
from unsupjax.evaluate import FIGURES, JUDGES
from unsupjax.methods import METHODS
from unsupjax.optimizers import wrap

SECTIONS = {"train": Train, "checkpoint": Checkpoint, "data": Data, "evaluate": Evaluate}


def run(name: str, argv: list[str]) -> None:
    """Prints the fields of what is named."""
    parser = argparse.ArgumentParser(
        prog="unsupjax fields",
        description="Every field of a method with its default and its meaning, and the sections that its config has; "
        "or of a network, an optimizer, a schedule, a policy of augmentation, an evaluator, a figure, or of one of the "
        f"sections {', '.join(SECTIONS)}.",
        allow_abbrev=False,
    )
    parser.add_argument("name", nargs="?", help="of the method or part; default: lists all names")
    options = parser.parse_args(argv)
    if options.name is None:
        print("\n".join(f"{title}: {', '.join(table)}" for title, table in _tables().items()))
        return
    found = [(title, table[options.name]) for title, table in _tables().items() if options.name in table]
    if not found:
        known = [name for table in _tables().values() for name in table]
        raise UserError(f"nothing is named {options.name!r}; {nearest(options.name, set(known))}")
    print("\n\n".join(_told(title, options.name, made) for title, made in found))


def _tables() -> dict[str, Mapping[str, Any]]:
    """What there is, by what it is."""
    slots = {name: slot.factories for name, slot in SLOTS.items()}
    slots["optimizer"] = slots.pop("optimizer")
    for same in ("generator_optimizer", "discriminator_optimizer", "predictor"):
        slots.pop(same)
    return {"method": METHODS, **slots, "evaluator": JUDGES, "figure": FIGURES, "section": SECTIONS}


def _told(title: str, name: str, made: Any) -> str:
    factory = getattr(made, "run", made) if title in ("evaluator", "figure") else made
    known = defaults(factory, skip=("name", "parent", "classes"))
    texts = documented(factory)
    if factory is Data:
        known, texts = known | defaults(open_source), documented(open_source) | texts
    if title in ("encoder", "network"):
        known, texts = known | defaults(Start), texts | documented(Start)
    if title == "optimizer":
        known = {"learning_rate": 1e-3} | known | defaults(wrap)
        texts = documented(wrap) | texts
    lead = {"evaluator": f"evaluate.{name}.", "figure": f"evaluate.{name}.", "section": f"{name}."}
    lines = [f"{title} {name}: {(inspect.getdoc(factory) or '').splitlines()[0]}"]
    for field, value in known.items():
        lines.append(f"  --config.{lead.get(title, title + '.')}{field}={value!r}")
        if text := texts.get(field, ""):
            lines.append(textwrap.indent(textwrap.fill(text, 100), "      "))
    if title == "method":
        taken = ", ".join(
            f"{section} (may be left out)" if configs.optional(section, name) else section
            for section in configs.sections_of(name)
        )
        lines.append(
            f"  sections: {taken}; see `unsupjax fields mlp` and the like, and {', '.join(SECTIONS)}"
        )
    return "\n".join(lines)


def documented(factory: Callable) -> dict[str, str]:
    """What the docstring of a factory or a module says of each of its arguments, up to the first full stop."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in (inspect.getdoc(factory) or "").splitlines():
        if match := re.fullmatch(r" {4}(\w[\w, ]*): (.*)", line):
            names = [name.strip() for name in match[1].split(",")]
            found |= dict.fromkeys(names, match[2])
        elif line.startswith(" " * 8) and names:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        else:
            names = []
    return {name: _sentence(text) for name, text in found.items()}


def _sentence(text: str) -> str:
    return re.split(r"(?<=[a-z)\]\"'`0-9])\.\s", text)[0].rstrip(".").strip()
