"""What a run keeps of its data beside the checkpoints, and what methods are given of it."""

import json
import shutil

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from unsupjax.config import experiment
from unsupjax.data import kinds
from unsupjax.errors import UserError
from unsupjax.run import workdir
from unsupjax.run.checkpoint import Checkpoints
from unsupjax.run.fit import _finish, evaluate, fit, load
from unsupjax.run.inputs import seen_batch


def tiny(source, **changes):
    sections = {
        "data": {"source": source},
        "method": {"name": "autoencoder", "latent_dim": 2, "likelihood": "squared_error"},
        "encoder": {"name": "mlp", "features": (8,)},
        "decoder": {"name": "mlp", "features": (8,)},
        "train": {"batch_size": 32, "steps": 10, "steps_per_call": 5, "log_every": 10},
        "evaluate": {"run": ("reconstruction", "knn"), "test_examples": 100},
    }
    return experiment(**sections | changes)


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits") / "run"
    return folder, fit(tiny("digits"), folder)


@pytest.fixture(scope="module")
def table_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(0)
    np.savez(folder / "table.npz", x=rng.normal(5, 2, (100, 3)), y=np.arange(100) % 2)
    return folder / "run", fit(tiny(f"npz:{folder / 'table.npz'}"), folder / "run")


def test_the_kind_and_the_names_lie_beside_the_checkpoints(digits_run):
    model = workdir.read_model(digits_run[0])
    assert kinds.from_json(model["kind"]) == kinds.Images((8, 8, 1))
    assert model["class_names"] == list("0123456789")
    facts = {"examples": 1438, "total_steps": 10, "members": model["facts"]["members"]}
    assert model["facts"].pop("made_with")["jax"] == jax.__version__
    assert model["facts"] == facts and model["format"] == 1
    assert (workdir.read_members(digits_run[0], facts["members"]).parts == 0).sum() == 1438
    with pytest.raises(UserError, match=r"members.npz is not the one .* put that one back"):
        workdir.read_members(digits_run[0], "another")


def test_evaluation_again_compiles_nothing(digits_run):
    folder, results = digits_run
    judged = load(folder)
    compiled = []

    def listen(name, seconds, **_):
        if "backend_compile" in name:
            compiled.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    first = _finish(*judged, folder)
    once = len(compiled)
    assert _finish(*judged, folder) == first == results
    jax.monitoring.unregister_event_duration_listener(listen)
    assert len(compiled) == once > 0


def test_stored_pictures_are_encoded_as_those_that_were_trained_on(digits_run):
    judged, state = load(digits_run[0])
    stored, _ = judged.source.test.gather(np.arange(5))
    assert stored.dtype == np.uint8
    seen = stored.astype(np.float32) / 255
    np.testing.assert_allclose(
        judged.method.encode(state, stored), judged.method.encode(state, seen), atol=1e-6
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "model.json is missing"),
        (lambda path: path.write_text("{"), "is no description of a model"),
        (lambda path: path.write_text("[]"), "is no description of a model"),
        (
            lambda path: path.write_text(path.read_text().replace("2", "3")),
            "is not the one that the checkpoints",
        ),
        (
            lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2})),
            "later version",
        ),
    ],
    ids=["missing", "torn", "another", "changed", "later"],
)
def test_a_spoilt_description_is_refused(table_run, tmp_path, spoil, message):
    folder = tmp_path / "run"
    shutil.copytree(table_run[0], folder)
    spoil(folder / "model.json")
    for run in (evaluate, lambda folder: fit(ConfigDict(workdir.read_config(folder)), folder)):
        with pytest.raises(UserError, match=message):
            run(folder)


def test_a_run_of_the_version_before_is_judged_as_it_was(table_run, tmp_path, monkeypatch):
    """Its manifests hold the statistics, its config lacks what came later."""
    folder = tmp_path / "run"
    shutil.copytree(table_run[0], folder)
    kind = kinds.from_json(workdir.read_model(folder)["kind"])
    statistics = {name: [getattr(c, name) for c in kind.columns] for name in ("mean", "std")}
    (folder / "model.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    config["evaluate"]["test_examples"] = 0
    full = dict(config, evaluate=dict(config["evaluate"]))
    del config["evaluate"]["test_examples"]
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(Checkpoints, "newest_manifest", lambda self: {"statistics": statistics})
    assert evaluate(folder) == table_run[1]
    assert fit(experiment(**workdir.tuples(full)), folder) == table_run[1]


def test_kinds_of_one_shape_are_not_taken_for_each_other():
    """As tuples they are equal, and what is compiled for one must not serve the other."""
    key = jax.random.key(0)
    stored = np.full((2, 3, 3, 1), 51, np.uint8)
    for kind, value in ((kinds.Arrays((3, 3, 1)), 51), (kinds.Images((3, 3, 1)), 0.2)):
        np.testing.assert_allclose(seen_batch(kind.see, None, key, stored), value, rtol=1e-6)


def test_few_test_examples_are_judged(tmp_path):
    some = fit(tiny("digits", evaluate={"run": ("reconstruction",), "test_examples": 10}), tmp_path / "some")
    more = fit(tiny("digits", evaluate={"run": ("reconstruction",)}), tmp_path / "all")
    assert some["reconstruction_mse"] != more["reconstruction_mse"]


def test_a_table_of_all_types_is_trained_on_and_comes_back(tmp_path):
    """By a method that knows of no types: one-hots and dates are numbers to it."""
    rng = np.random.default_rng(0)
    rows = [
        f"{x:.3f},{'ab'[int(x > 0)]},2024-0{i % 9 + 1}-1{i % 10}" for i, x in enumerate(rng.normal(size=80))
    ]
    (tmp_path / "a.csv").write_text("x,c,day\n" + "\n".join(rows) + "\n")
    config = tiny(
        f"csv:{tmp_path / 'a.csv'}",
        data={"source": f"csv:{tmp_path / 'a.csv'}", "columns": "mixed"},
        method={"name": "vae", "latent_dim": 2, "likelihood": "gaussian"},
        evaluate={"run": ("reconstruction", "synthetic_table")},
    )
    results = fit(config, tmp_path / "run")
    assert 0 < results["column_shapes"] <= 1 and "detection_boosting" in results
    kind = kinds.from_json(workdir.read_model(tmp_path / "run")["kind"])
    assert [column.type for column in kind.columns] == ["number", "category", "date"]
    judged, state = load(tmp_path / "run")
    assert judged.source.kind == kind
    new = kind.restore(np.asarray(judged.method.sample(state, jax.random.key(0), 20)))
    assert set(new["c"]) <= {"a", "b"} and all(len(day) == 10 for day in new["day"])
    with pytest.raises(UserError, match="'synthetic_table' needs data of the kind table, and this is images"):
        fit(
            tiny("digits", evaluate={"run": ("synthetic_table",)}, method=config.method.to_dict()),
            tmp_path / "no",
        )
