"""Imports point down the list of layers and never up."""

import ast
import pathlib

import pytest

import unsupjax

ROOT = pathlib.Path(unsupjax.__file__).parent
ALLOWED = {  # room -> the rooms that it may import
    "errors": set(),
    "numerics": {"errors", "parallel"},
    "parallel": {"errors"},
    "arrays": {"errors"},
    "augment": {"errors"},
    "optimizers": set(),
    "losses": {"parallel"},
    "models": {"numerics"},
    "generation": {"numerics"},
    "cluster": {"errors", "numerics", "parallel"},
    "som": {"numerics", "parallel"},
    "data": {"errors"},
    "methods": {"augment", "cluster", "losses", "numerics", "optimizers", "parallel", "som"},
    "tables": {"arrays", "data", "errors", "generation", "losses", "numerics"},
    "estimators": {"arrays", "cluster", "errors", "numerics", "som"},
    "evaluate": {
        "arrays",
        "augment",
        "cluster",
        "errors",
        "generation",
        "methods",
        "models",
        "numerics",
        "parallel",
        "som",
    },
    "config": {"augment", "data", "errors", "evaluate", "methods", "models", "optimizers", "parallel"},
    "run": {"config", "data", "errors", "evaluate", "methods", "parallel"},
    "commands": {"errors", "evaluate", "run"},
}


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path):
    """Rooms of ours that a file imports, from whatever depth."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "unsupjax":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from [a.name.split(".")[1] for a in node.names if a.name.startswith("unsupjax.")]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    if path == ROOT / "__init__.py":
        return
    allowed = ALLOWED[room(path)] | {room(path)}
    assert set(imported(path)) <= allowed


def test_orbax_is_imported_in_one_place():
    users = [
        p for p in ROOT.rglob("*.py") if "import orbax" in p.read_text() or "from orbax" in p.read_text()
    ]
    assert users == [ROOT / "run" / "checkpoint.py"]
