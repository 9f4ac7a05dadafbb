"""`unsupjax export`: folders with a file, its description and its card."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

pytest.importorskip("safetensors")

import unsupjax
from unsupjax import commands, exchange
from unsupjax.config import experiment
from unsupjax.errors import UserError
from unsupjax.exchange import program
from unsupjax.run import experiment as experiments
from unsupjax.run.fit import fit
from unsupjax.run.plan import resolve

X = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1)).astype(np.uint8)
MLP = {"name": "mlp", "features": (6,)}
COMMON = {
    "data": {"source": "digits", "examples": 100},
    "train": {"batch_size": 32, "steps": 2, "log_every": 2},
    "evaluate": {"run": ("knn",)},
}
CODER = {"encoder": MLP, "decoder": MLP}
RUNS = {
    "autoencoder": {"method": {"name": "autoencoder", "latent_dim": 3}, **CODER},
    "som": {"method": {"name": "som", "height": 3, "width": 3}},
    "kmeans": {
        "method": {"name": "kmeans", "clusters": 4},
        "train": {"batch_size": 32, "steps": 8, "log_every": 8},  # its first centers come with an epoch
    },
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, few_panels):
    """The folder of a tiny run of a method, made at the first call."""
    made, root = {}, tmp_path_factory.mktemp("runs")

    def run(name):
        if name not in made:
            made[name] = root / name
            fit(experiment(**COMMON | RUNS[name]), made[name])
        return made[name]

    return run


def refused(capsys, *argv):
    with pytest.raises(SystemExit) as told:
        commands.main(list(map(str, argv)))
    return str(told.value) + capsys.readouterr().err


def test_a_folder_of_weights(runs, tmp_path, capsys):
    run, out = runs("autoencoder"), tmp_path / "out"
    capsys.readouterr()
    commands.main(["export", str(run), str(out), "--format=safetensors"])
    assert capsys.readouterr().out == f"{out}: 2 arrays of the encoder 'mlp'\n"
    assert {p.name for p in out.iterdir()} == {"README.md", "config.json", "model.safetensors"}
    config = json.loads((out / "config.json").read_text())
    assert config["encoder"] == {"name": "mlp", "features": [6], "activation": "relu"}
    assert config["version"] == 1 and config["kind"]["kind"] == "images" and config["output"]["shape"] == [6]
    card = (out / "README.md").read_text()
    parts = (
        "# autoencoder on digits",
        "knn_accuracy",
        "2 of 2, 32 examples",
        "float32 `[N, 8, 8, 1]`",
        "0, 1, 2",
    )
    for told in (
        *parts,
        "in [0, 1]",
        "by layers that are not in here",
        "load('out')",
        f"jax {jax.__version__}",
    ):
        assert told in card, told
    assert "already: choose another folder, or add --overwrite" in refused(
        capsys, "export", run, out, "--format=safetensors"
    )
    (out / "mine.txt").write_text("kept")
    (out / "model.onnx").write_text("of another format")
    commands.main(["export", str(run), str(out), "--format=safetensors", "--overwrite"])
    assert (out / "mine.txt").read_text() == "kept" and not list(tmp_path.glob("*.partial"))
    assert not (out / "model.onnx").exists()


def test_what_cannot_be_is_one_line_and_leaves_nothing(runs, tmp_path, capsys):
    run, out = runs("autoencoder"), tmp_path / "out"
    for argv, message in {
        (run, out, "--format=torchvision"): "torchvision has no network such as 'mlp'",
        (run, out, "--format=tochvision"): "did you mean 'torchvision'?",
        (run, out, "--format=timm", "--function=score"): "is for programs",
        (run, out, "--format=stablehlo", "--function=assign"): "has no `assign`",
        (run, out, "--format=stablehlo", "--function=scores"): "did you mean 'score'",
        (run, out, "--format=reference", "--step=best"): "leave --step out",
        (runs("som"), out, "--format=safetensors"): "'som' has no encoder with weights of its own",
        (tmp_path / "none", out, "--format=safetensors"): "no run there",
    }.items():
        said = refused(capsys, "export", *argv)
        assert message in said and said.count("\n") < 2, said
    assert not list(tmp_path.iterdir())


ALONE = """
import sys
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("unsupjax", "flax", "optax"):
            raise ImportError(name)
sys.meta_path.insert(0, Forbidden())
import numpy as np
x = np.load("x.npy")
{usage}
np.save("y.npy", y)
"""


def alone(out, usage, x):
    """What a fresh Python makes of `x` with the lines of a card, where this package cannot be imported."""
    np.save(out.parent / "x.npy", x)
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "XLA_FLAGS")} | {
        "JAX_PLATFORMS": "cpu"
    }
    code = ALONE.format(usage=usage)
    subprocess.run([sys.executable, "-c", code], cwd=out.parent, env=env, check=True, capture_output=True)
    return np.load(out.parent / "y.npy")


def usage_of(out):
    return (out / "README.md").read_text().partition("```python\n")[2].partition("\n```")[0]


@pytest.mark.thorough
def test_a_program_runs_without_this_package_on_any_number_of_examples(runs, tmp_path, capsys):
    pytest.importorskip("flatbuffers")
    run, out = runs("autoencoder"), tmp_path / "out"
    commands.main(["export", str(run), str(out), "--format=stablehlo"])
    assert "`encode`, uint8 `[N, 8, 8, 1]` to float32 `[N, 3]`" in capsys.readouterr().out
    model = unsupjax.load(run)
    np.testing.assert_allclose(alone(out, usage_of(out), X), model.encode(X), atol=1e-5)
    called = jax.export.deserialize(bytearray((out / "model.stablehlo").read_bytes()))
    assert called.platforms == ("cpu", "cuda", "tpu") and called.nr_devices == 1
    for n in (1, 3):
        np.testing.assert_allclose(called.call(X[:n]), model.encode(X[:n]), atol=1e-5)


FUNCTIONS = [
    ("autoencoder", "decode"),
    ("autoencoder", "reconstruct"),
    ("autoencoder", "score"),
    ("som", "assign"),
    ("som", "score"),
    ("kmeans", "encode"),
    ("kmeans", "assign"),
]


@pytest.mark.thorough
@pytest.mark.parametrize(("method", "function"), FUNCTIONS)
def test_every_function_is_a_program(method, function, runs, tmp_path):
    pytest.importorskip("flatbuffers")
    run, out = runs(method), tmp_path / "out"
    commands.main(["export", str(run), str(out), "--format=stablehlo", f"--function={function}"])
    model = unsupjax.load(run)
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32) if function == "decode" else X
    made = np.asarray(jax.export.deserialize(bytearray((out / "model.stablehlo").read_bytes())).call(x))
    codes = model.encode(X) if function == "reconstruct" else x
    wanted = {
        "decode": lambda: model.functions.decode(model.state, x),
        "reconstruct": lambda: model.functions.decode(model.state, codes),
    }.get(function, lambda: getattr(model, function)(x))()
    assert made.dtype == wanted.dtype
    np.testing.assert_allclose(made, wanted, atol=1e-4, rtol=1e-5)


def test_a_function_that_asks_how_many_there_are_is_one_of_each_example(tmp_path):
    pytest.importorskip("flatbuffers")
    example = jax.ShapeDtypeStruct((3,), np.float32)
    program.stablehlo(lambda x: x * (2 if len(range(len(x))) else 1), example, tmp_path / "p")
    called = jax.export.deserialize(bytearray((tmp_path / "p").read_bytes()))
    np.testing.assert_array_equal(called.call(np.ones((4, 3), np.float32)), np.full((4, 3), 2.0))
    with pytest.raises(UserError, match="has no form as a StableHLO program") as told:
        program.stablehlo(lambda x: np.asarray(x), example, tmp_path / "q")
    assert "\n" not in str(told.value)


@pytest.mark.filterwarnings("ignore")  # of the converter
@pytest.mark.parametrize("function", ["encode", "reconstruct"])
def test_an_onnx_model_gives_the_same(function, runs, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("jax2onnx")
    run, out = runs("autoencoder"), tmp_path / "out"
    commands.main(["export", str(run), str(out), "--format=onnx", f"--function={function}"])
    session = runtime.InferenceSession(str(out / "model.onnx"))
    model = unsupjax.load(run)
    [made] = session.run(None, {session.get_inputs()[0].name: X})
    codes = model.encode(X)
    wanted = codes if function == "encode" else model.functions.decode(model.state, codes)
    np.testing.assert_allclose(made, wanted, atol=1e-4)


NETWORKS = [
    {"name": "conv", "features": (8, 16)},
    {"name": "cnn", "features": (8, 16)},
    {"name": "resnet", "stage_sizes": (1, 1), "width": 8},
    {"name": "vit", "width": 8, "depth": 1, "heads": 2},
    {"name": "vit", "width": 8, "depth": 1, "heads": 2, "pool": "mean", "positions": "learned"},
]


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("section", NETWORKS, ids=["conv", "cnn", "resnet", "vit", "vit_mean"])
def test_every_network_has_a_form_in_onnx(section, tmp_path):
    from unsupjax.exchange.encoder import module

    pytest.importorskip("onnxruntime")
    pytest.importorskip("jax2onnx")
    network = module(section)
    variables = network.init(jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))
    fn = lambda x: network.apply(variables, x.astype(np.float32) / 255, train=False)
    with jax.numpy_rank_promotion("allow"):  # which the converter's own operations need
        assert program.onnx(fn, jax.ShapeDtypeStruct((8, 8, 1), np.uint8), tmp_path / "x.onnx") < 1e-4


@pytest.mark.filterwarnings("ignore")
def test_what_has_no_form_in_onnx_is_one_line(runs, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("jax2onnx")
    said = refused(capsys, "export", runs("kmeans"), tmp_path / "out", "--format=onnx")
    assert "`encode` of 'kmeans': it has no form in ONNX" in said and "take --format=stablehlo" in said
    assert not list(pathlib.Path(tmp_path).iterdir())


def test_a_package_that_is_missing_is_named(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    said = refused(capsys, "export", runs("autoencoder"), tmp_path / "out", "--format=onnx")
    assert "pip install jax2onnx" in said


@pytest.mark.filterwarnings("ignore")  # of those libraries
def test_a_masked_autoencoder_is_a_vision_transformer_elsewhere(tmp_path, few_panels, capsys):
    small = {"name": "patches", "width": 16, "depth": 2, "heads": 2, "decoder_width": 8, "patch_size": 2}
    run = tmp_path / "run"
    sections = {"method": {"name": "masked_patches"}, "network": small, "evaluate": {"run": ()}}
    fit(experiment(**COMMON | sections), run)
    model = unsupjax.load(run)
    commands.main(["export", str(run), str(tmp_path / "ours"), "--format=safetensors"])
    assert "28 arrays of the encoder 'vit'" in capsys.readouterr().out
    network, variables = exchange.load(tmp_path / "ours")
    x = X.astype(np.float32) / 255
    np.testing.assert_allclose(network.apply(variables, x), model.encode(X), atol=1e-5)
    # An encoder starts from it, as from any other run.
    vit = {"name": "vit", "width": 16, "depth": 2, "heads": 2, "patch_size": 2, "pool": "mean", "mlp": "gelu"}
    sections = {"method": {"name": "simclr"}, "encoder": vit | {"weights": str(run)}, "evaluate": {"run": ()}}
    sections |= {"projector": {"name": "mlp", "features": (4,)}, "augment": {"name": "glyphs"}}
    started = experiments.prepare(resolve(experiment(**COMMON | sections))).init().params["encoder"]
    np.testing.assert_array_equal(started["LayerNorm_0"]["scale"], model.state.params["last"]["scale"])
    torch = pytest.importorskip("torch")
    pytest.importorskip("timm")
    commands.main(["export", str(run), str(tmp_path / "timm"), "--format=timm"])
    usage = (tmp_path / "timm" / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    here = {"x": torch.tensor(x.transpose(0, 3, 1, 2).copy())}
    with torch.no_grad():
        exec(usage.replace("'timm/model", f"'{tmp_path}/timm/model"), here)
    np.testing.assert_allclose(here["codes"], model.encode(X), atol=1e-5)
