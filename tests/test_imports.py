"""Imports point down the list of layers and never up."""

import ast
import pathlib
import sys

import pytest

import unsupjax
from unsupjax.augment import POLICIES
from unsupjax.data.kinds import KINDS
from unsupjax.data.source import SOURCES
from unsupjax.evaluate import FIGURES, JUDGES
from unsupjax.methods import METHODS, Method

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
    "topics": set(),
    "codec": {"errors"},
    "series": {"errors"},
    "data": {"errors", "series"},
    "methods": {
        "augment",
        "cluster",
        "codec",
        "losses",
        "models",
        "numerics",
        "optimizers",
        "parallel",
        "som",
        "topics",
    },
    "tables": {"arrays", "data", "errors", "evaluate", "methods", "parallel", "run"},
    "estimators": {
        "arrays",
        "augment",
        "cluster",
        "data",
        "errors",
        "methods",
        "models",
        "numerics",
        "optimizers",
        "som",
    },
    "evaluate": {
        "arrays",
        "augment",
        "cluster",
        "data",
        "errors",
        "generation",
        "losses",
        "methods",
        "models",
        "numerics",
        "parallel",
        "series",
        "som",
        "topics",
    },
    "config": {"augment", "data", "errors", "evaluate", "methods", "models", "optimizers", "parallel"},
    "exchange": {"data", "errors", "models"},
    "run": {
        "arrays",
        "config",
        "data",
        "errors",
        "evaluate",
        "exchange",
        "methods",
        "optimizers",
        "parallel",
    },
    "model": {"arrays", "data", "errors", "evaluate", "methods", "parallel", "run"},
    "commands": {
        "arrays",
        "cluster",
        "config",
        "data",
        "errors",
        "evaluate",
        "exchange",
        "methods",
        "model",
        "numerics",
        "optimizers",
        "parallel",
        "run",
        "series",
        "tables",
    },
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
    if path in (ROOT / "__init__.py", ROOT / "__main__.py"):
        return
    allowed = ALLOWED[room(path)] | {room(path)}
    assert set(imported(path)) <= allowed


def test_orbax_is_imported_in_one_place():
    users = [
        p for p in ROOT.rglob("*.py") if "import orbax" in p.read_text() or "from orbax" in p.read_text()
    ]
    assert users == [ROOT / "run" / "checkpoint.py"]


HEAVY = (
    "bm3d",
    "constriction",
    "grain",
    "jax2onnx",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "openTSNE",
    "orbax",
    "pandas",
    "safetensors",
    "scipy",
    "skimage",
    "sklearn",
    "tensorflow_datasets",
    "tensorboardX",
    "timm",
    "torch",
    "torchvision",
    "tqdm",
)
MAY = {
    "estimators",
    "tables",
    "run/checkpoint.py",
}  # scikit-learn's own faces; fitted on the host; the one orbax


def at_the_top(path):
    """Packages that a file imports when it is imported."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_what_is_slow_to_import_is_imported_where_it_is_used(path):
    if room(path) not in MAY and path.relative_to(ROOT).as_posix() not in MAY:
        assert not set(at_the_top(path)) & set(HEAVY)


NAMES = METHODS | SOURCES | KINDS | JUDGES | FIGURES | POLICIES | dict.fromkeys(["n_critic", "bernoulli"])
MAY_NAME = {  # what a config has that names none; an argument of the command
    "config.py": {"digits", "reconstruction"},
    "compare.py": {"csv", "parquet"},  # what it writes
    "sample.py": {"tokens"},  # how many are written
}


@pytest.mark.parametrize(
    "path",
    [
        ROOT / "config.py",
        *(p for room in ("run", "exchange", "commands") for p in (ROOT / room).glob("*.py")),
    ],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_the_machinery_names_no_method_source_kind_or_judge(path):
    """They are in literal dicts, and say themselves what they need."""
    strings = {
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not strings & NAMES.keys() - set(Method._fields) - MAY_NAME.get(path.name, set())


def test_no_benchmark_hides_a_module_of_pythons():
    """Beside a script that is run lies what it imports: jax asks for `compression`, which is Python's from 3.14 on."""
    names = {path.stem for path in (ROOT.parent / "benchmarks").glob("*.py")} - {"__init__"}
    assert not names & (sys.stdlib_module_names | {"compression"})
