"""Whole runs of methods that learn from views, on tiny data."""

import json

import numpy as np
import pytest

from unsupjax.config import check, experiment
from unsupjax.errors import UserError
from unsupjax.run import build as builds
from unsupjax.run import experiment as experiments
from unsupjax.run.fit import fit
from unsupjax.run.plan import resolve

VECTOR = {"name": "mlp", "features": (16,)}


def tiny(name="moco", steps=20, **changes):
    sections = {
        "data": {"source": "digits", "examples": 200},
        "method": {"name": name} | ({"queue_size": 128} if name == "moco" else {}),
        "encoder": VECTOR,
        "projector": {"name": "mlp", "features": (16, 8)},
        "augment": {
            "name": "glyphs",
            "area": (1.0, 1.0),
            "rotate": 0.0,
            "shear": 0.0,
            "shift": 0.0,
            "scale": (1.0, 1.0),
        },
        "train": {
            "batch_size": 32,
            "steps": steps,
            "steps_per_call": 5,
            "log_every": 5,
            "evaluate_every": 10,
        },
        "checkpoint": {"every": 10, "seconds": 0.0},
        "evaluate": {"run": ("knn_baselines", "rank_me"), "periodic": ("knn",), "figures": ("views",)},
    }
    if name in ("byol", "moco_v3"):
        sections["predictor"] = {"name": "mlp", "features": (8,)}
    return experiment(**sections | changes)


@pytest.mark.thorough
def test_a_run_is_judged_beside_inputs_and_an_untrained_encoder(tmp_path, capsys):
    config = tiny()
    prepared = experiments.prepare(resolve(config))
    assert len(prepared.source.train) == 200 and len(prepared.source.test) == 359
    results = fit(config, tmp_path / "run")
    names = {f"knn_accuracy_k10_{what}" for what in ("codes", "inputs", "random_encoder")}
    assert names | {"rank_me"} <= set(results)
    assert (tmp_path / "run" / "figures" / "views.png").stat().st_size > 1000
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    periodic = [line for line in lines if "knn_accuracy_k10" in line]
    assert [line["step"] for line in periodic] == [10, 20]
    assert not any("rank_me" in line for line in lines)
    assert {"loss", "contrastive_accuracy", "embedding_std", "uniformity"} <= set(lines[0])
    assert "collapsed" not in capsys.readouterr().err


@pytest.mark.thorough
def test_a_collapsed_run_says_so(tmp_path, capsys):
    """A teacher that is the student itself, and nothing that keeps embeddings apart."""
    config = tiny(
        "byol",
        steps=60,
        method={"name": "byol", "momentum": 0.0},
        projector={"name": "mlp", "features": (8,), "batch_norm": False},
        predictor={"name": "mlp", "features": (8,), "batch_norm": False},
        optimizer={"name": "sgd", "learning_rate": 1.0, "momentum": 0.9},
    )
    config.train.evaluate_every = 0
    fit(config, tmp_path / "run")
    said = capsys.readouterr().err
    assert said.count("at the end: the encoder has collapsed") == 1
    assert "embedding_std" in said and "learning rate" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": None}, "config.augment is missing, and the method 'moco' needs one"),
        ({"augment": {"name": "simclrr"}}, "did you mean 'simclr'"),
        ({"predictor": VECTOR}, "config.predictor: the method 'moco' takes none"),
        ({"optimizer": {"name": "sgd", "clipnorm": 1.0}}, "did you mean 'clip_norm'"),
        (
            {"data": {"source": "digits", "examples": -1}},
            r"config.data.examples=-1 must be 0 \(all\) or more",
        ),
        (
            {"evaluate": {"periodic": ("knnn",)}},
            "config.evaluate.periodic='knnn' is unknown; did you mean 'knn'",
        ),
        ({"augment": {"name": "simclr"}}, "config.augment.name='simclr': .*saturation"),
        ({"method": {"name": "moco", "queue_size": 100}}, "queue_size=100 is no multiple of the 64 keys"),
        ({"optimizer": {"name": "adam", "accumulate": 0}}, "accumulate=0"),
        (
            {"method": {"name": "moco", "queue_size": 128, "key_groups": 4}, "parallel": "pmap"},
            "key_groups=4 is no multiple of the 8 devices",
        ),
        ({"data": {"source": "digits"}, "encoder": {"name": "vit", "patch_size": 3}}, "patch"),
    ],
)
def test_what_does_not_fit_is_one_error(changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        fit(tiny(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_every_policy_and_head_can_be_named():
    for policy in ("simclr", "moco_v2", "byol", "glyphs", "scarf"):
        config = tiny("byol", augment={"name": policy})
        check(config)
        builds.build(config, (16, 16, 3), 100, 10)


def test_schedules_count_updates():
    """With gradients accumulated over 4 steps a run of 40 steps has 10 updates, and the rate ends after those."""
    from unsupjax.run.build import optimizer

    config = tiny(
        optimizer={"name": "sgd", "learning_rate": 1.0, "accumulate": 4}, schedule={"name": "cosine"}
    )
    tx = optimizer(config, 40)
    w = {"w": np.ones(2, np.float32)}
    state, moves = tx.init(w), []
    for _ in range(40):
        updates, state = tx.update(w, state)
        moves.append(-float(updates["w"][0]))
    assert np.flatnonzero(moves).tolist() == list(range(3, 40, 4))
    np.testing.assert_allclose(moves[3::4], [(1 + np.cos(np.pi * k / 10)) / 2 for k in range(10)], rtol=1e-5)
