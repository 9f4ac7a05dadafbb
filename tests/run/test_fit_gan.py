"""Whole runs of GANs on tiny data: the film, labels, and a run that goes wrong."""

import json
import re

import jax
import numpy as np
import pytest

from unsupjax.config import check, experiment
from unsupjax.data import open_source
from unsupjax.data.sources.toy import MIXTURES
from unsupjax.errors import UserError
from unsupjax.run import experiment as experiments
from unsupjax.run.checkpoint import Checkpoints
from unsupjax.run.fit import fit, load
from unsupjax.run.plan import resolve

ADAM = {"name": "adam", "learning_rate": 1e-3, "b1": 0.0}


def tiny(method=None, **changes):
    sections = {
        "data": {"source": "digits", "examples": 200},
        "method": {"name": "gan", "latent_dim": 4, "penalty": "r1"} | (method or {}),
        "generator": {"name": "mlp", "features": (8,), "output": "unit"},
        "discriminator": {"name": "mlp", "features": (8,)},
        "generator_optimizer": ADAM,
        "discriminator_optimizer": ADAM,
        "train": {"batch_size": 16, "steps": 20, "steps_per_call": 5, "log_every": 5},
        "checkpoint": {"every": 10, "seconds": 0.0, "best_metric": ""},
        "evaluate": {"run": (), "film": ("samples",), "samples": {"n": 9}},
    }
    return experiment(**sections | changes)


def judged(config, name, **arguments):
    """Has the config evaluate by `name` alone."""
    config.evaluate = {"run": (name,), name: arguments}


@pytest.mark.thorough
def test_a_film_is_drawn_while_it_trains_and_joined_at_the_end(tmp_path):
    from PIL import Image

    config = tiny(evaluate={"run": ("memorisation",), "figures": ("interpolations",), "film": ("samples",)})
    results = fit(config, tmp_path / "run")
    assert results
    frames = sorted((tmp_path / "run" / "film" / "samples").glob("*.png"))
    assert [frame.stem for frame in frames] == ["00000010", "00000020"]
    with Image.open(tmp_path / "run" / "figures" / "samples.gif") as film:
        assert film.n_frames == 2
    assert (tmp_path / "run" / "figures" / "interpolations.png").stat().st_size > 1000
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "generator_loss", "diversity", "discriminator_accuracy", "penalty"} <= set(lines[0])


@pytest.mark.thorough
def test_labels_reach_a_conditional_model_by_either_feed(tmp_path):
    states = []
    for feed in ("resident", "streaming"):
        config = tiny({"labels": 10}, data={"source": "digits", "examples": 200, "feed": feed})
        config.evaluate.film = ()
        fit(config, tmp_path / feed)
        states.append(load(tmp_path / feed)[1])
    first, second = (jax.tree.leaves((s.generator, s.discriminator)) for s in states)
    for a, b in zip(first, second, strict=True):  # two programs, rounded elsewhere
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    untrained = experiments.prepare(resolve(config)).init()
    for network in ("generator", "discriminator"):
        before, after = (embedding(getattr(state, network)) for state in (untrained, states[0]))
        assert (np.abs(after - before).max(axis=1) > 0).all()


def embedding(params):
    """The only array with a row for each class."""
    (found,) = (
        leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        if "embedding" in jax.tree_util.keystr(path)
    )
    assert len(found) == 10
    return found


@pytest.mark.thorough
def test_a_run_that_goes_wrong_says_so_and_keeps_the_last_good_checkpoint(tmp_path, capsys):
    """Wasserstein's loss without a bound on the critic's slope."""
    config = tiny({"loss": "wasserstein", "penalty": ""})
    config.discriminator_optimizer.learning_rate = 1.0
    config.train.steps, config.checkpoint.every, config.checkpoint.keep = 60, 5, 1
    fit(config, tmp_path / "run")
    said = capsys.readouterr().err
    (begin,) = (line for line in said.splitlines() if line.endswith("from before that, is kept"))
    assert "tells every sample" in begin and "at the end: the losses run away" in said
    bad, good = (int(n) for n in re.findall(r"step (\d+)", begin))
    assert good < bad and Checkpoints(tmp_path / "run" / "checkpoints", keep=1).steps() == [good, 60]


def test_a_protected_checkpoint_outlives_newer_ones_and_a_restart(tmp_path):
    from unsupjax.run.checkpoint import snapshot

    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
    copy = snapshot({"w": np.arange(3.0)})
    for step in (1, 2):
        checkpoints.save(step, copy, {}, {})
    assert checkpoints.protect(0) is None
    assert checkpoints.protect(2) == 2
    for step in (3, 4):
        checkpoints.save(step, copy, {}, {})
    checkpoints.close()
    again = Checkpoints(tmp_path / "checkpoints", keep=1)
    again.save(5, copy, {}, {})
    again.close()
    assert Checkpoints(tmp_path / "checkpoints", keep=1).steps() == [2, 5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c.method.update(labels=7),
            "config.method.labels=7, and digits has 10 classes; set it to 10",
        ),
        (lambda c: c.method.update(loss="hinged"), "loss='hinged'; one of"),
        (lambda c: c.method.update(n_critic=3), "n_critic=3 does not divide the"),
        (lambda c: c.generator.update(output="tanh"), "output"),
        (
            lambda c: c.discriminator_optimizer.update(clip_norm=-1.0),
            "config.discriminator_optimizer: clip_norm",
        ),
        (
            lambda c: c.evaluate.update(film=("sample",)),
            "config.evaluate.film='sample' is unknown; did you mean",
        ),
        (lambda c: c.data.update(source="toy:ring9"), "config.data.source='ring9' is unknown"),
        (
            lambda c: judged(c, "generation", encoder="digit"),
            "the encoder 'digit' is unknown; did you mean 'digits'",
        ),
        (lambda c: judged(c, "memorisation", encoder="mnist"), r"takes inputs of shape \(28, 28, 1\)"),
        (lambda c: judged(c, "fid"), "config.evaluate.fid.weights='' is no file"),
    ],
)
def test_bad_input_is_one_error(change, message, tmp_path):
    config = tiny()
    change(config)
    with pytest.raises(UserError, match=message):
        check(config)
        fit(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_toy_mixtures_are_what_they_say():
    for name, (centers, std) in MIXTURES.items():
        source = open_source(f"toy:{name}", standardise=False)
        x, y = source.train.gather(np.arange(len(source.train)))
        distances = np.linalg.norm(x[:, None] - centers[None], axis=2)
        assert (distances.argmin(axis=1) == y).all()
        assert abs((distances.min(axis=1) < 3 * std).mean() - 0.989) < 0.003
        assert np.allclose(np.bincount(y) / len(y), 1 / len(centers), atol=0.01)
