"""A workdir of a stranger's: reading it runs nothing that lies in it."""

import ast
import json
import os
import pathlib
import pickle
import shutil
import subprocess
import sys

import pytest
from test_fit import tiny

import unsupjax
from unsupjax.errors import UserError
from unsupjax.run.fit import evaluate, fit

pytestmark = pytest.mark.thorough

ROOT = pathlib.Path(unsupjax.__file__).parent.parent
MODULES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
CALLS = {"eval", "exec", "compile", "__import__"}


class Bomb:
    """Its pickle makes a file when it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return pathlib.Path.touch, (self.marker,)


def bomb(folder):
    """A pickle that leaves a marker in `folder`."""
    return pickle.dumps(Bomb(folder / "marker_of_a_pickle"))


def expression(folder):
    """A string that leaves a marker in `folder` if anything evaluates it."""
    return f"__import__('pathlib').Path({str(folder / 'marker_of_a_string')!r}).touch()"


def markers(folder):
    return sorted(path.name for path in folder.rglob("marker_of_*"))


def faults(source):
    """What in a Python source could run code that it reads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            yield from (name for name in names if name and name.split(".")[0] in MODULES)
        elif isinstance(node, ast.Name) and node.id in CALLS:
            yield node.id
        elif (
            isinstance(node, ast.keyword)
            and node.arg == "allow_pickle"
            and ast.unparse(node.value) != "False"
        ):
            yield "allow_pickle"


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import os, yaml",
        "import joblib.numpy_pickle as j",
        "eval('1')",
        "f = exec",
        "__import__('os')",
        "np.load(p, allow_pickle=True)",
        "np.load(p, allow_pickle=trust)",
    ],
)
def test_the_scan_finds(source):
    assert list(faults(source))


def test_no_source_unpickles_or_evaluates():
    harmless = "jax.eval_shape(f); re.compile('eval('); np.load(p, allow_pickle=False); x.eval()  # pickle"
    assert not list(faults(harmless))
    paths = [*(ROOT / "unsupjax").rglob("*.py"), ROOT / "train.py"]
    assert len(paths) > 100
    assert {str(path): found for path in paths if (found := list(faults(path.read_text())))} == {}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with checkpoints of steps 5 and 10."""
    folder = tmp_path_factory.mktemp("untrusted") / "run"
    fit(tiny(10, evaluate={"run": ("reconstruction",)}), folder)
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of it to spoil."""
    return shutil.copytree(trained, tmp_path / "run")


def rewrite(folder, change):
    """Changes what `config.json` holds."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


# Runs train.py under an audit hook, and writes down what of it could be code of the folder's.
RUNNER = """
import json, os, runpy, sys

report, folder, script, *arguments = sys.argv[1:]
seen = []
CODE = ("import", "compile", "exec", "ctypes.dlopen", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn")

def hook(event, given):
    if event in ("pickle.find_class", "os.system"):
        seen.append([event, str(given)])
    elif event in CODE and folder in f"{given} {getattr(given[0], 'co_filename', '')}":
        seen.append([event, str(given)])
    elif event == "open" and folder in str(given[0]) and str(given[0]).endswith((".py", ".pyc", ".so", ".pkl")):
        seen.append([event, str(given)])

sys.addaudithook(hook)
sys.argv = [script, *arguments]
sys.path[0] = os.path.dirname(script)
try:
    runpy.run_path(script, run_name="__main__")
finally:
    with open(report, "w") as file:
        json.dump(seen, file)
"""


def start(*arguments, cwd):
    """Runs Python without the paths of this process."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def plant(folder):
    """Puts code and pickles wherever something might look for them."""
    for name in ("sitecustomize", "usercustomize", "unsupjax", "conftest", "config", "jax", "train"):
        (folder / f"{name}.py").write_text(f"open({str(folder / f'marker_of_{name}')!r}, 'w').close()")
    newest = folder / "checkpoints" / "10"
    places = (folder, folder / "checkpoints", newest, newest / "state", newest / "sealed")
    for place in places:
        for name in ("state.pkl", "custom.pkl", "metrics.pkl", "state.npy", "__init__.py"):
            (place / name).write_bytes(bomb(folder))


def test_evaluation_runs_nothing_that_was_planted(folder, tmp_path):
    plant(folder)

    def change(config):
        config["checkpoint"]["best_metric"] = expression(folder)

    rewrite(folder, change)
    (tmp_path / "runner.py").write_text(RUNNER)
    script = (ROOT / "train.py", f"--workdir={folder}", "--evaluate_only")
    done = start(tmp_path / "runner.py", tmp_path / "seen.json", folder, *script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "reconstruction_mse" in done.stdout
    assert json.loads((tmp_path / "seen.json").read_text()) == []
    assert markers(folder) == []


def test_the_hook_and_the_bombs_go_off(folder, tmp_path):
    """What the test above relies on."""
    plant(folder)
    script = f"""
import pickle, sys
pickle.load(open({str(folder / "state.pkl")!r}, "rb"))
eval({expression(folder)!r})
sys.path.insert(0, {str(folder)!r})
import conftest
"""
    (tmp_path / "naive.py").write_text(script)
    (tmp_path / "runner.py").write_text(RUNNER)
    done = start(tmp_path / "runner.py", tmp_path / "seen.json", folder, tmp_path / "naive.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert markers(folder) == ["marker_of_a_pickle", "marker_of_a_string", "marker_of_conftest"]
    events = {event for event, _ in json.loads((tmp_path / "seen.json").read_text())}
    assert events >= {"pickle.find_class", "open", "compile", "exec"}, done.stderr


def strings(tree, path=()):
    """The paths of all strings in a config."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from strings(value, (*path, name))
        elif isinstance(value, str):
            yield (*path, name)


@pytest.mark.parametrize("text", ["expression", "unsupjax.os"])
def test_names_in_a_config_are_looked_up_and_not_evaluated(text, folder):
    original = json.loads((folder / "config.json").read_text())
    paths = list(strings({k: v for k, v in original.items() if k not in ("checkpoint", "evaluate")}))
    assert len(paths) > 10
    refused = 0
    for path in paths:

        def change(config, path=path):
            for name in path[:-1]:
                config = config[name]
            config[path[-1]] = expression(folder) if text == "expression" else text

        (folder / "config.json").write_text(json.dumps(original))
        rewrite(folder, change)
        try:
            evaluate(folder)
        except UserError:
            refused += 1
    assert markers(folder) == [] and refused > len(paths) // 2


@pytest.mark.parametrize(
    "pattern", ["state/params*/*", "state/_METADATA", "state/**/.zarray", "sealed/metadata"]
)
def test_a_pickle_in_place_of_a_part_of_a_checkpoint(pattern, folder):
    def spoil(step):
        parts = list((folder / "checkpoints" / step).glob(pattern))
        assert parts
        for part in parts:
            part.write_bytes(bomb(folder))

    spoil("10")
    with pytest.warns(UserWarning, match="checkpoint 10 is damaged .* goes on from checkpoint 5"):
        evaluate(folder)
    spoil("5")
    with pytest.raises(UserError, match=r"none of the checkpoints \[5, 10\]"):
        evaluate(folder)
    assert markers(folder) == []


def nested(depth):
    return '{"method": ' * depth + "1" + "}" * depth


@pytest.mark.parametrize(
    "text, message",
    [
        ("no JSON", "config.json is damaged"),
        (b"\xff\xfe{", "config.json is damaged"),
        ("", "config.json is damaged"),
        ("[1, 2]", "config.json is damaged .it holds no sections"),
        ("3", "config.json is damaged .it holds no sections"),
        ("null", "config.json is damaged .it holds no sections"),
        ("{}", "config.json is damaged .it holds no sections"),
        ('{"method": {"name": "vae"}}', "config.json is damaged .it holds no sections"),
        ("9" * 5000, "config.json is damaged"),
        (nested(50), "config.json is damaged .it holds no sections"),
        (nested(100_000), "config.json is damaged"),
        ("[" * 100_000, "config.json is damaged"),
    ],
)
def test_a_config_that_is_none(text, message, folder):
    (folder / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message) as caught:
        evaluate(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "section, value, message",
    [
        ("method", {"name": "no_such"}, "config.method.name='no_such' is unknown"),
        ("method", {"name": 3}, "holds no sections"),
        ("method", {}, "holds no sections"),
        ("method", "vae", "holds no sections"),
        ("encoder", ["mlp"], "holds no sections"),
        ("seed", {"a": 1}, "config.seed=.* must be of type int"),
        ("dtype", [], "holds no sections"),
        ("data", {"__class__": 1, "source": "digits"}, "config.json is damaged|__class__ is unknown"),
        ("data", {"a.b": 1, "source": "digits"}, "config.json is damaged|a.b is unknown"),
        ("train", json.loads(nested(400)), "config.json is damaged|config.train.method is unknown"),
    ],
)
def test_a_config_of_another_shape(section, value, message, folder):
    rewrite(folder, lambda config: config.update({section: value}))
    with pytest.raises(UserError, match=message) as caught:
        evaluate(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ['{"method": {"name": "no_such"}, "data": {}}', nested(100_000)])
def test_the_command_line_says_it_in_one_line(text, folder):
    (folder / "config.json").write_text(text)
    done = start(ROOT / "train.py", f"--workdir={folder}", "--evaluate_only", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
