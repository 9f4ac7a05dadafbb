"""What the site adds to the pages: the benchmarks' results, the changes, and the reference."""

import ast
import pathlib
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parent.parent
BESIDE = {
    "benchmarks/RESULTS.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
ROOMS = (
    *("losses", "methods", "models", "augment", "cluster", "som", "topics", "tables", "generation"),
    *("estimators", "exchange", "model", "data.kinds", "optimizers", "evaluate", "run.fit"),
)


def on_files(files, config):
    """Adds files from beside the folder, and a page of reference for each room."""
    for path, name in BESIDE.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text()))
    for room in ROOMS:
        files.append(File.generated(config, f"api/{room}.md", content=_reference(room)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links to what lies beside the folder lead to its page."""
    up = "../" * page.file.src_uri.count("/")
    for path, name in BESIDE.items():
        markdown = re.sub(rf"\]\((?:\.\./)*{re.escape(path)}", f"]({up}{name}", markdown)
    return re.sub(r"\]\((?:\.\./)?docs/", f"]({up}", markdown)


def _reference(room: str) -> str:
    """A room's docstring, and those of what it exports, each under its name."""
    module = ROOT / "unsupjax" / room.replace(".", "/")
    init = module / "__init__.py"
    if not init.exists():
        return f"# unsupjax.{room}\n\n::: unsupjax.{room}\n"
    tree = ast.parse(init.read_text())
    exports = {
        alias.asname: f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name and not alias.name.isupper()
    }
    made = [f"# unsupjax.{room}", ast.get_docstring(tree) or ""]
    made += [f"## {name}\n\n::: {path}" for name, path in exports.items()]
    return "\n\n".join(made) + "\n"
