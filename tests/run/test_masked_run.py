"""Hidden patches from a config to files: what a run reports and draws of them, what its model fills in, refusals."""

import re

import numpy as np
import pytest
from PIL import Image

import unsupjax
from unsupjax.commands import main
from unsupjax.config import experiment
from unsupjax.data import open_source
from unsupjax.errors import UserError
from unsupjax.run.fit import fit

NETWORK = {"name": "patches", "patch_size": 2, "width": 8, "depth": 1, "heads": 1, "decoder_width": 4}


def config(network=NETWORK, data="digits", **evaluate):
    evaluate = {"run": (), "train_examples": 90, "test_examples": 40} | evaluate
    train = {"batch_size": 32, "steps": 2}
    method = {"name": "masked_patches", "normalised": False}
    return experiment(method=method, data={"source": data}, network=network, train=train, evaluate=evaluate)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, few_panels):
    folder = tmp_path_factory.mktemp("masked") / "run"
    tuned = {"fractions": (20,), "epochs": 1, "from_scratch": True}
    figures = ("completions", "label_efficiency")
    return folder, fit(config(run=("completion", "fine_tune"), fine_tune=tuned, figures=figures), folder)


def test_a_run_reports_and_draws_what_it_predicts_and_what_its_labels_are_worth(trained):
    folder, results = trained
    names = {f"masked_{name}" for name in ("mse", "visible_mean_mse", "train_mean_mse")}
    names |= {
        f"{start}_{score}{part}"
        for start in ("fine_tune", "from_scratch")
        for score in ("accuracy", "error", "epoch")
        for part in ("_20",)
    }
    assert results.keys() == names
    for name in ("completions", "label_efficiency"):
        assert np.asarray(Image.open(folder / "figures" / f"{name}.png").convert("L")).std() > 5


def test_a_model_fills_pictures_in_and_so_does_the_command(trained, tmp_path):
    model, x = unsupjax.load(trained[0]), open_source("digits").test.x[:40]
    assert {"encode", "fill", "score"} == set(model.abilities)
    filled = model.fill(x)
    assert filled.shape == x.shape and filled.dtype == np.uint8
    same = (filled == x).reshape(40, 4, 2, 4, 2).all((2, 4)).sum((1, 2))
    assert same.min() >= 4, "four of sixteen patches are what they were"
    assert (filled != x).any((1, 2, 3)).all()
    np.testing.assert_array_equal(model.fill(x[:3]), filled[:3])
    assert (model.fill(x, seed=1) != filled).any()
    np.save(tmp_path / "x.npy", x)
    main(["fill", str(trained[0]), str(tmp_path / "x.npy"), f"--out={tmp_path / 'filled.npy'}"])
    np.testing.assert_array_equal(np.load(tmp_path / "filled.npy"), filled)


def test_what_cannot_be_hidden_is_refused_with_its_mend(tmp_path):
    with pytest.raises(UserError, match=re.escape("patches of side 3 do not tile images of 8 x 8")):
        fit(config(NETWORK | {"patch_size": 3}), tmp_path / "run")
    x = np.random.default_rng(0).uniform(size=(60, 8, 8, 1)).astype(np.float32)
    x[3, 2, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(UserError, match=r"x.npy.*(nan|NaN|finite)"):
        fit(config(data=f"{tmp_path / 'x.npy'}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
