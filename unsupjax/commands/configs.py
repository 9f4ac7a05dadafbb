"""The configs that come with the package: `unsupjax configs`."""

import argparse
import ast
import pathlib
import re
import runpy
import textwrap

from unsupjax.errors import UserError, nearest

_PACKAGE = pathlib.Path(__file__).parents[1]
# In a wheel they lie in the package, in a checkout beside it.
FOLDER = next(
    (p for p in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if p.is_dir()), _PACKAGE / "configs"
)


def find(name: str) -> pathlib.Path:
    """The file of a config: one that is there, or one that comes with the package, by its name.

    Raises:
        UserError: there is none.
    """
    path = pathlib.Path(name)
    if path.is_file():
        return path
    shipped = {p.stem: p for p in FOLDER.glob("*.py")}
    short = path.stem if path.suffix in ("", ".py") and path.parent.name in ("", "configs") else name
    if short in shipped:
        return shipped[short]
    raise UserError(f"--config={name}: there is no such file or config; {nearest(name, shipped)}")


def load(path: pathlib.Path):
    """What `get_config` of a Python file returns."""
    try:
        found = runpy.run_path(str(path))
    except SyntaxError as error:
        raise UserError(f"--config={path}: {error}") from error
    if "get_config" not in found:
        raise UserError(f"--config={path}: it has no function get_config()")
    return found["get_config"]()


def run(name: str, argv: list[str]) -> None:
    """Prints the table, or all that one of them says of itself."""
    parser = argparse.ArgumentParser(
        prog="unsupjax configs",
        description="The configs that come with the package: what they train, how long it took, what was reached.",
        allow_abbrev=False,
    )
    parser.add_argument("name", nargs="?", help="one of them: all that is known of it")
    options = parser.parse_args(argv)
    if options.name:
        path = find(options.name)
        print(ast.get_docstring(ast.parse(path.read_text())))
        print(f"\n{path}")
        return
    for path in sorted(FOLDER.glob("*.py")):
        config = load(path)
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        print(f"{path.stem}: {config.method.name} on {config.data.source}")
        print(textwrap.indent(textwrap.fill(_reached(text), 100), "    "))


def _reached(text: str) -> str:
    """Of what a config says of itself, the paragraph that tells of a run; else the first."""
    paragraphs = [" ".join(p.split()) for p in text.split("\n\n")]
    told = [
        p
        for p in paragraphs
        if re.search(r"\bCPU|\bseconds\b|\bminutes?\b", p) and "python train.py" not in p
    ]
    told = [p for p in told if re.search(r"\d", p)]
    return told[0] if told else paragraphs[0]
