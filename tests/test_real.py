"""Real data, minutes a test: `TFDS_DATA_DIR=... pytest -m slow`."""

import importlib.util
import os
import pathlib

import pytest

from unsupjax.data.tfds_dirs import prepared_sets
from unsupjax.fit import fit

ROOT = pathlib.Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
CONFIGS = pathlib.Path(__file__).parent.parent / "configs"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not any(name.startswith("mnist:") for name in prepared_sets(ROOT)), reason=f"no TFDS mnist in {ROOT}"
    ),
]


def reached(name, folder, **train):
    """What the config `name` reaches."""
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.train.update(train)
    config.evaluate.figures = ()
    return fit(config, folder)


def test_the_vae_after_ten_epochs(tmp_path):
    results = reached("vae_mnist", tmp_path / "run", epochs=10.0)
    assert -results["elbo"] <= 104
    assert results["importance_weighted_nll"] < -results["elbo"]


def test_k_sparse_codes_and_logistic_regression(tmp_path):
    assert reached("k_sparse_mnist", tmp_path / "run")["linear_probe_error"] <= 0.016


@pytest.mark.parametrize("name", ["denoising_mnist", "contractive_mnist"])
def test_a_fine_tuned_classifier(name, tmp_path):
    assert reached(name, tmp_path / "run")["fine_tune_error"] <= 0.015


def test_both_feeds_reach_the_same(tmp_path):
    """TFDS examples streamed are those that lie on the device: the same numbers, to the last digit."""
    import ml_collections

    results = []
    for feed in ("resident", "streaming"):
        spec = importlib.util.spec_from_file_location("vae_mnist", CONFIGS / "vae_mnist.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        config = ml_collections.ConfigDict(module.get_config())
        config.train.steps, config.data.feed = 400, feed
        config.evaluate.run, config.evaluate.figures = ("reconstruction",), ()
        results.append(fit(config, tmp_path / feed))
    assert results[0] == results[1]
