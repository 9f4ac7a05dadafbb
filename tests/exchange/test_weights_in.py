"""Encoders that start from a file, an exported folder or another run."""

import pathlib
import re
import shutil
import struct
from typing import NamedTuple

import jax
import numpy as np
import pytest

pytest.importorskip("safetensors")
from safetensors.numpy import load_file, save_file

import unsupjax
from unsupjax import commands
from unsupjax.config import experiment
from unsupjax.errors import UserError
from unsupjax.exchange import files, weights
from unsupjax.exchange.encoder import module, nested
from unsupjax.run import experiment as experiments
from unsupjax.run import workdir
from unsupjax.run.fit import fit
from unsupjax.run.plan import resolve, resolve_record

CNN = {"name": "cnn", "features": (4, 8)}
GLYPHS = {"name": "glyphs", "area": (1.0, 1.0), "rotate": 0.0, "shear": 0.0, "shift": 0.0}
HEAD = {"name": "mlp", "features": (4,)}


def tiny(name="simclr", encoder=CNN, **changes):
    sections = {
        "method": {"name": name},
        "encoder": encoder,
        "data": {"source": "digits", "examples": 100},
        "projector": HEAD,
        "augment": GLYPHS,
        "train": {"batch_size": 16, "steps": 2, "steps_per_call": 1, "log_every": 2},
        "checkpoint": {"every": 2, "seconds": 0.0},
        "evaluate": {"run": ()},
    }
    return experiment(**sections | changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory, few_panels):
    folder = tmp_path_factory.mktemp("runs") / "first"
    fit(tiny(), folder)
    return folder


@pytest.fixture(scope="module")
def exported(run):
    commands.main(["export", str(run), str(run.parent / "out"), "--format=safetensors"])
    return run.parent / "out"


def begun(config):
    """The State that a run of a config begins with."""
    return experiments.prepare(resolve(config)).init()


def same(tree, other):
    return jax.tree.all(jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), tree, other))


def test_a_run_a_folder_and_a_file_are_the_same_start_of_student_and_teacher(run, exported, capsys):
    trained, networks = unsupjax.load(run).state, set()
    config = tiny("byol", CNN | {"weights": ""}, predictor=HEAD)
    random = begun(config)
    assert not same(random.params["encoder"], trained.params["encoder"])
    for place in (run, exported, exported / "model.safetensors"):
        config.encoder.weights = str(place)
        state = begun(config)
        assert f"encoder: 10 arrays from {place}\n" in capsys.readouterr().out
        for field in ("params", "teacher_params"):
            assert same(getattr(state, field)["encoder"], trained.params["encoder"]), field
            assert same(getattr(state, field)["projector"], getattr(random, field)["projector"])
        for field in ("stats", "teacher_stats"):
            assert same(getattr(state, field)["encoder"], trained.stats["encoder"]), field
        assert same(state.opt_state, random.opt_state)
        networks.add(state.params["encoder"]["Conv_0"]["kernel"].sharding)
    assert networks == {random.params["encoder"]["Conv_0"]["kernel"].sharding}


@pytest.mark.thorough
def test_a_run_trains_from_weights_and_goes_on_without_them(exported, tmp_path, capsys):
    shutil.copytree(exported, tmp_path / "out")
    config = tiny(encoder=CNN | {"weights": str(tmp_path / "out")})
    fit(config, tmp_path / "run")
    assert "encoder: 10 arrays" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "out")
    config.train.steps = 3
    fit(config, tmp_path / "run")
    assert "encoder:" not in (said := capsys.readouterr().out) and "3 steps from step 2" in said
    assert unsupjax.load(tmp_path / "run").step == 3
    with pytest.raises(UserError, match="is no file and no folder"):
        fit(config, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.thorough
def test_the_untrained_encoder_of_judges_stays_untrained(run):
    prepared = experiments.prepare(resolve(tiny(encoder=CNN | {"weights": str(run)})))
    random = experiments.prepare(resolve(tiny()))
    key = jax.random.key(0)
    assert same(
        prepared.method.init(key, prepared.batch).params, random.method.init(key, random.batch).params
    )


def test_codes_of_an_autoencoder_start_from_another_methods_encoder(tmp_path):
    mlp = {"name": "mlp", "features": (6,)}
    network = module(mlp)
    variables = network.init(jax.random.key(7), np.zeros((1, 8, 8, 1), np.float32))
    arrays = {
        "params/Dense_0/kernel": variables["params"]["Dense_0"]["kernel"],
        "params/Dense_0/bias": np.ones(6, np.float32),
    }
    save_file({k: np.asarray(v) for k, v in arrays.items()}, tmp_path / "x.safetensors")
    config = tiny(
        "dec",
        mlp | {"weights": str(tmp_path / "x.safetensors")},
        decoder=mlp,
        projector=None,
        augment=None,
        method={"name": "dec", "clusters": 3, "latent_dim": 2},
    )
    state = begun(config)
    for tree in (state.params, state.target):
        assert same(tree["encoder"], nested(arrays)["params"])


def test_optimizers_and_other_fields_stay_as_they_are():
    class State(NamedTuple):
        params: dict
        teacher_stats: dict
        opt: dict

    zero, tree = np.zeros(2, np.float32), {"encoder": {"a": np.zeros(2, np.float32)}}
    state = State({"encoder": {"b": zero}, "head": {"b": zero}}, tree, tree)
    arrays = {"params/b": np.ones(2), "batch_stats/a": np.full(2, 2.0)}
    assert weights.wanted(state) == {"params/b": (2,), "batch_stats/a": (2,)}
    made = weights.filled(state, arrays)
    assert same(
        made, State({"encoder": {"b": zero + 1}, "head": {"b": zero}}, {"encoder": {"a": zero + 2}}, tree)
    )


def test_a_config_from_before_has_no_weights(run):
    record = workdir.read_config(run)
    assert record["encoder"].pop("weights") == ""
    plan = resolve_record(record, run / "config.json")
    assert plan.weights == "" and plan.network == CNN | {"norm_momentum": 0.9}


def test_the_field_can_be_looked_up(capsys):
    commands.main(["fields", "cnn"])
    assert "--config.encoder.weights=''" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (CNN | {"features": (4, 4)}, r"shapes differ: .*BatchNorm_1/bias \(8,\) there, \(4,\) here"),
        (CNN | {"features": (4,)}, r"10 arrays there, 5 here\): the run has no batch_stats/BatchNorm_1"),
        (CNN | {"features": (4, 8, 8)}, "the file lacks .*BatchNorm_2.* and 2 more"),
        ({"name": "mlp", "features": ()}, "this run's encoder has no weights; leave it out"),
    ],
    ids=["shapes", "fewer", "more", "none"],
)
def test_another_encoder_is_one_error(encoder, message, exported):
    with pytest.raises(UserError, match=message) as told:
        experiments.prepare(resolve(tiny(encoder=encoder | {"weights": str(exported)})))
    assert "\n" not in str(told.value)


def damaged(how, path, exported):
    """A file that is no good, in one way."""
    whole = (exported / "model.safetensors").read_bytes()
    arrays = load_file(exported / "model.safetensors")
    name = "params/Conv_0/kernel"
    if how == "truncated":
        path.write_bytes(whole[:-20])
    elif how == "header":
        path.write_bytes(struct.pack("<Q", 2**40) + whole[8:])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("weights")
    elif how == "nan":
        save_file(arrays | {name: np.full_like(arrays[name], np.nan)}, path)
    elif how == "integers":
        save_file(arrays | {name: arrays[name].astype(np.int8)}, path)
    return path


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("truncated", "is damaged or no safetensors file"),
        ("header", "is damaged or no safetensors file"),
        ("empty", "is damaged or no safetensors file"),
        ("text", "is damaged or no safetensors file"),
        ("nan", "params/Conv_0/kernel has values that are not finite"),
        ("integers", "params/Conv_0/kernel is of I8, where weights are F32"),
        ("none", "is no file and no folder"),
    ],
)
def test_a_damaged_file_is_one_error(how, message, exported, tmp_path):
    path = damaged(how, tmp_path / "x.safetensors", exported)
    with pytest.raises(UserError, match=re.escape(message)) as told:
        experiments.prepare(resolve(tiny(encoder=CNN | {"weights": str(path)})))
    assert "\n" not in str(told.value) and str(path) in str(told.value)


@pytest.mark.parametrize("name", ["x.pth", "x.pt", "x.bin", "x.ckpt", "x.weights"])
def test_a_pickle_is_refused_with_the_line_that_converts_it(name, tmp_path):
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match=r"is a pickle, .*python -c .*save_file") as told:
        files.read(tmp_path / name)
    assert "x.safetensors" in str(told.value) and "\n" not in str(told.value)


def test_the_line_that_converts_a_pickle_does(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "it's here.pth"
    torch.save({"state_dict": {"a": torch.ones(3, 2).T, "b": torch.zeros(2, dtype=torch.bfloat16)}}, path)
    with pytest.raises(UserError) as told:
        files.read(path)
    import shlex

    exec(shlex.split(str(told.value).partition("python -c ")[2])[0], {})
    arrays, said = files.read(path.with_suffix(".safetensors"))
    assert said == {} and arrays["a"].shape == (2, 3) and arrays["b"].dtype == np.float32


def test_half_precision_is_read_as_float32(exported, tmp_path):
    arrays = load_file(exported / "model.safetensors")
    save_file({k: v.astype(np.float16) for k, v in arrays.items()}, tmp_path / "half.safetensors")
    read, _ = files.read(tmp_path / "half.safetensors")
    assert {v.dtype for v in read.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(read["params/Conv_0/kernel"], arrays["params/Conv_0/kernel"], rtol=1e-3)


def test_an_exported_encoder_encodes_as_its_run_does(run, exported):
    network, variables = weights.load(exported)
    x = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8)
    codes = network.apply(variables, x.astype(np.float32) / 255, train=False)
    np.testing.assert_allclose(codes, unsupjax.load(run).encode(x), atol=1e-6)
    with pytest.raises(UserError, match="does not say which network"):
        save_file({"a": np.ones(2, np.float32)}, exported.parent / "a.safetensors")
        weights.load(exported.parent / "a.safetensors")


@pytest.mark.thorough
def test_a_run_begins_with_the_weights_of_a_resnet_of_torchvisions(tmp_path):
    names = pathlib.Path(__file__).parent / "torchvision_resnet18.txt"
    rng, arrays = np.random.default_rng(0), {"fc.weight": np.ones((10, 512), np.float32)}
    for line in names.read_text().splitlines():
        name, _, shape = line.partition(" ")
        if not name.endswith("_tracked"):
            arrays[name] = rng.uniform(size=tuple(map(int, shape.split(",")))).astype(np.float32)
    save_file(arrays, tmp_path / "resnet18.safetensors")
    rgb = rng.integers(0, 256, (40, 32, 32, 3)).astype(np.uint8)
    np.savez(tmp_path / "x.npz", x=rgb)
    encoder = {"name": "resnet18", "stem": "imagenet", "weights": str(tmp_path / "resnet18.safetensors")}
    state = begun(tiny(encoder=encoder, data={"source": f"npz:{tmp_path / 'x.npz'}"}))
    kernel = state.params["encoder"]["stage1_block0"]["Conv_2"]["kernel"]
    np.testing.assert_array_equal(kernel[0, 0], arrays["layer2.0.downsample.0.weight"][:, :, 0, 0].T)
    mean = state.stats["encoder"]["stage3_block1"]["BatchNorm_0"]["mean"]
    np.testing.assert_array_equal(mean, arrays["layer4.1.bn1.running_mean"])


@pytest.mark.thorough
@pytest.mark.parametrize("how", [{"parallel": "pmap"}, {"fsdp": 2}], ids=["pmap", "fsdp"])
def test_weights_lie_where_the_executor_wants_them(how, run, tmp_path):
    wide = {"name": "mlp", "features": (128,)}
    network = module(wide)
    variables = network.init(jax.random.key(7), np.zeros((1, 8, 8, 1), np.float32))["params"]["Dense_0"]
    save_file(
        {f"params/Dense_0/{k}": np.asarray(v) for k, v in variables.items()}, tmp_path / "x.safetensors"
    )
    config = tiny(encoder=wide | {"weights": str(tmp_path / "x.safetensors")}, **how)
    config.optimizer.learning_rate = 0.0
    fit(config, tmp_path / "run")
    assert same(unsupjax.load(tmp_path / "run").params["encoder"]["Dense_0"], variables)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "has format version 2; this package reads up to 1"),
        ({"encoder": {"name": "cmm"}}, "'cmm' is unknown"),
        ({"encoder": {"name": "cnn", "features": [4, 8], "depth": 3}}, "is no network"),
        ({"encoder": [1]}, "is no network"),
        ({"input": {"shape": [4]}}, "is no network"),
    ],
    ids=["version", "name", "argument", "list", "shape"],
)
def test_what_a_file_says_of_its_network_is_looked_at(change, message, exported, tmp_path):
    arrays, said = files.read(exported / "model.safetensors")
    files.write(tmp_path / "x.safetensors", arrays, said | change)
    with pytest.raises(UserError, match=message):
        weights.load(tmp_path / "x.safetensors")
