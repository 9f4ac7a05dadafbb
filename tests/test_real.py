"""Real data by the real command, minutes a test: `TFDS_DATA_DIR=... pytest -m slow`."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from unsupjax.data.sources.tfds_dirs import prepared_sets

TFDS = pathlib.Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
ROOT = pathlib.Path(__file__).parent.parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not any(name.startswith("mnist:") for name in prepared_sets(TFDS)), reason=f"no TFDS mnist in {TFDS}"
    ),
]


def reached(config, folder, *changes):
    """What `train.py --config=configs/{config}.py` reaches, in a process with the machine's own devices."""
    arguments = [
        f"--config={ROOT}/configs/{config}.py",
        f"--workdir={folder}",
        "--config.evaluate.figures=()",
    ]
    subprocess.run([sys.executable, ROOT / "train.py", *arguments, *changes], check=True)
    return json.loads((folder / "evaluation.json").read_text())


def test_the_vae_after_ten_epochs(tmp_path):
    results = reached("vae_mnist", tmp_path / "run", "--config.train.epochs=10")
    assert -results["elbo"] <= 104
    assert results["importance_weighted_nll"] < -results["elbo"]


def test_k_sparse_codes_and_logistic_regression(tmp_path):
    assert reached("k_sparse_mnist", tmp_path / "run")["linear_probe_error"] <= 0.016


@pytest.mark.parametrize("config", ["denoising_mnist", "contractive_mnist"])
def test_a_fine_tuned_classifier(config, tmp_path):
    assert reached(config, tmp_path / "run")["fine_tune_error"] <= 0.015


def test_both_feeds_reach_the_same(tmp_path):
    """TFDS examples streamed are those that lie on the device: the same numbers, to the last digit."""
    short = ["--config.train.steps=400", "--config.evaluate.run=('reconstruction',)"]
    resident, streamed = (
        reached("vae_mnist", tmp_path / feed, f"--config.data.feed={feed}", *short)
        for feed in ("resident", "streaming")
    )
    assert resident == streamed


def test_many_clusters_of_pixels_are_pure(tmp_path):
    assert reached("kmeans_mnist", tmp_path / "run")["clusters_purity"] > 0.85


def test_a_deep_map_is_purer_than_clusters_of_pixels(tmp_path):
    """64 clusters of pixels: about 0.84 by k-means."""
    deep = reached("desom_mnist", tmp_path / "deep")
    plain = reached("kmeans_mnist", tmp_path / "plain", "--config.method.clusters=64")
    assert deep["clusters_purity"] > plain["clusters_purity"] + 0.03


def test_contrastive_codes_beat_pixels_and_an_untrained_encoder(tmp_path):
    results = reached("simclr_digits", tmp_path / "run")
    codes = results["knn_accuracy_k10_codes"]
    assert codes > results["knn_accuracy_k10_inputs"]
    assert codes > results["knn_accuracy_k10_random_encoder"] + 0.01
