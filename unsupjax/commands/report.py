"""A run as one page: `unsupjax report RUN --html=FILE`."""

import argparse
import html
import json
import pathlib
from typing import Any

from unsupjax.commands import compare, page
from unsupjax.errors import UserError
from unsupjax.run import workdir


def run(name: str, argv: list[str]) -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(
        prog="unsupjax report",
        description="A run as one page that needs no network: what it reached, its curves and figures, its config, and "
        "the versions that it was made with.",
        allow_abbrev=False,
    )
    parser.add_argument("run", help="the folder of a run")
    parser.add_argument("--html", required=True, metavar="FILE", help="where to write it")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    options = parser.parse_args(argv)
    compare.check("html", options.html, options.overwrite)
    folder = pathlib.Path(options.run)
    config, results = compare.read(options.run)
    model = workdir.read_model(folder) if (folder / workdir.MODEL).exists() else {}
    facts = model.get("facts", {})
    lead = f"{config['config.method.name']} on {config['config.data.source']}"
    if facts:
        lead += f": {facts['examples']:,} training examples, {facts['total_steps']:,} steps"
    sections = [("Results", page.pairs(results) if results else "<p>It was not evaluated yet.</p>")]
    if curves := _curves(folder / "metrics.jsonl"):
        sections.append(("Learning curves", page.cards(curves)))
    if figures := _figures(folder / "figures"):
        sections.append(("Figures", page.cards(figures)))
    sections.append(("Data", _details("what one example is", _described(model))))
    sections.append(("Config", _details("all fields", page.pairs(config))))
    if made := facts.get("made_with"):
        sections.append(("Versions", page.pairs(made)))
    compare.write_text(options.html, page.page(folder.resolve().name, lead, sections))
    print(f"{options.html}: {len(results)} results, {len(figures)} figures")


def _curves(path: pathlib.Path) -> list[str]:
    """A panel for each metric."""
    found: dict[str, tuple[list, list]] = {}
    if not path.exists():
        return []
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except ValueError:  # torn by a kill
            continue
        step = row.pop("step")
        for name, value in row.items():
            steps, values = found.setdefault(name, ([], []))
            steps.append(step)
            values.append(value)
    return [
        panel
        for name, (steps, values) in found.items()
        if len(steps) > 1 and (panel := page.curve(name, steps, values))
    ]


def _figures(folder: pathlib.Path) -> list[str]:
    found = sorted([*folder.glob("*.png"), *folder.glob("*.gif")])
    found = [path for path in found if path.stem != "learning_curves"]  # which the page draws itself
    try:
        return [page.picture(path) for path in found]
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read ({error.strerror})") from error


def _described(model: dict[str, Any]) -> str:
    told = {"kind": model.get("kind", {}), "classes": model.get("class_names")}
    text = json.dumps(told, indent=1)
    return f"<pre>{html.escape(text[:20_000])}</pre>"


def _details(head: str, content: str) -> str:
    return f"<details><summary>{html.escape(head)}</summary>{content}</details>"
