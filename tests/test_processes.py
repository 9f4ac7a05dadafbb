"""Several processes on this machine: they train what one trains, share data and evaluation, end together."""

import json
import pathlib
import re
import signal

import numpy as np
import pytest
from launch import outputs, start_many, steps, train, wait_for

from unsupjax import processes
from unsupjax.errors import UserError

WORKER = pathlib.Path(__file__).with_name("worker.py")
FAMILIES = ["autoencoder", "gan", "som", "kmeans", "simclr-corrupted", "moco", "byol"]
CONFIG = '''
from unsupjax.config import experiment

def get_config():
    return experiment(
        data={"source": "digits", "feed": "streaming", "transform": "binarize"},
        method={"name": "vae", "latent_dim": 4},
        encoder={"name": "mlp", "features": (128,)},
        decoder={"name": "mlp", "features": (128,)},
        optimizer={"name": "sgd", "learning_rate": 1e-3, "momentum": 0.9},
        train={"batch_size": 32, "steps": 30, "steps_per_call": 5, "log_every": 10},
        checkpoint={"every": 10, "seconds": 0.0},
        evaluate={"run": ("reconstruction", "likelihood", "knn"), "likelihood": {"samples": 2},
                  "figures": ("reconstructions",)},
    )
'''


def trained(folder, count, devices, cases, *options):
    """All States that so many processes reach, by case, executor and feed."""
    folder.mkdir()
    quickly = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # compiling is most of what they do
    started = start_many(
        count, *options, str(folder), *cases, cwd=folder, devices=devices, script=WORKER, **quickly
    )
    texts = outputs(started, 1200)
    assert all(process.returncode == 0 for process in started), texts
    return {path.stem: dict(np.load(path)) for path in sorted(folder.glob("*.npz"))}


def assert_same(found, expected):
    """Equal to 1e-5 of the largest entry of each array; whole numbers exactly."""
    assert found.keys() == expected.keys()
    for name, states in expected.items():
        assert states.keys() == found[name].keys()
        for path, e in states.items():
            a, where = found[name][path], f"{name}{path}"
            if np.issubdtype(e.dtype, np.integer):
                np.testing.assert_array_equal(a, e, err_msg=where)
            else:
                atol = 1e-5 * max(np.abs(e).max(), 1e-3)
                np.testing.assert_allclose(a, e, rtol=1e-5, atol=atol, err_msg=where)


def test_two_processes_train_what_one_trains(tmp_path):
    found = trained(tmp_path / "two", 2, 2, FAMILIES)
    assert len(found) == len(FAMILIES)
    assert_same(found, trained(tmp_path / "one", 1, 1, FAMILIES))


@pytest.mark.slow
def test_every_case_both_executors_both_feeds_1_2_and_4_processes(tmp_path):
    from test_methods import CASES

    expected = trained(tmp_path / "one", 1, 1, CASES, "--all")
    for case in CASES:  # executors and feeds agree
        first, *others = (states for name, states in expected.items() if name.rsplit("-", 2)[0] == case)
        for other in others:
            assert_same({case: other}, {case: first})
    for count, devices in ((2, 2), (4, 1)):
        assert_same(trained(tmp_path / str(count), count, devices, CASES, "--all"), expected)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "vae.py"
    path.write_text(CONFIG)
    return path


def test_a_run_of_four_goes_on_with_one_and_with_two(config, tmp_path):
    """And with State divided over devices: one, two and four processes end with the same evaluation."""
    whole = train(f"--config={config}", "--workdir=whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    begun = start_many(
        4, f"--config={config}", "--workdir=cut", "--config.fsdp=2", "--config.train.steps=30",
        "--config.checkpoint.every=5", cwd=tmp_path, devices=1,
    )
    wait_for(lambda: steps(tmp_path / "cut"), begun[0])
    begun[3].send_signal(signal.SIGTERM)  # one is asked, all stop at the same step
    texts = outputs(begun)
    assert [process.returncode for process in begun] == [0] * 4, texts
    assert texts[1:] == [""] * 3, "one process speaks"
