import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from unsupjax.errors import UserError
from unsupjax.evaluate import JUDGES, fid
from unsupjax.evaluate.subject import Subject
from unsupjax.evaluate.synthesis.generation import drawn
from unsupjax.methods.base import Method
from unsupjax.models import inception

MODULE = fid.__globals__
NAME, SHAPE = "Conv2d_1a_3x3.bn.running_mean", (32,)  # the first entry that is looked for


def images(seed, n=40, shape=(4, 4, 1)):
    return np.random.default_rng(seed).uniform(size=(n, *shape)).astype(np.float32)


def subject(sample, x_train, x_test):
    method = Method(None, None, None, sample=sample)
    key, state = jax.random.key(0), jnp.asarray(x_test)
    return Subject(method, state, key, x_train, None, x_test, None, x_train, x_test, None)


def brighter(state, key, n):
    return jax.random.uniform(key, (n, *state.shape[1:]), minval=0.3)


def copies(state, key, n):
    return state[:n]


@pytest.fixture
def without_network(monkeypatch):
    """The corners of an image, times a weight, in place of Inception's features."""

    class Corners:
        def apply(self, weight, x):
            return weight * x[:, ::3, ::3].reshape(len(x), -1)

    monkeypatch.setattr(inception, "InceptionV3", Corners)
    monkeypatch.setitem(MODULE, "load", lambda path: np.float32(path))


def corners(x):
    """What the stand-in gives for grey images, with the weight 2."""
    return 2 * np.round(255 * x[:, ::3, ::3].repeat(3, axis=-1).reshape(len(x), -1).astype(float)) / 255


def textbook(x, y):
    a, b = np.cov(x.T), np.cov(y.T)
    root = scipy.linalg.sqrtm(a @ b + 1e-12 * np.eye(len(a))).real
    return np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a + b - 2 * root)


def test_it_is_registered():
    assert JUDGES["fid"].run is fid and JUDGES["fid"].needs == ("sample",)


@pytest.mark.parametrize("batch_size", [16, 64])
def test_samples_and_training_images_are_compared_with_test_images(without_network, batch_size):
    judged = subject(brighter, images(0), images(1))
    results = fid(judged, weights="2", batch_size=batch_size)
    fake, real, target = map(corners, (drawn(judged, 40, "fid"), judged.x_train, judged.x_test))
    expected = {"fid": textbook(fake, target), "fid_real": textbook(real, target), "fid_examples": 40}
    assert results == pytest.approx(expected, abs=1e-4)
    assert results["fid"] > 2 * results["fid_real"] > 0


def test_copies_of_the_test_images_have_no_distance(without_network):
    results = fid(subject(copies, images(0, 60), images(1)), weights="1")
    assert results["fid"] == pytest.approx(0, abs=1e-9) and results["fid_real"] > 0.01
    assert results["fid_examples"] == 40


def test_all_three_sets_have_n_images(without_network, monkeypatch):
    sizes = []
    monkeypatch.setitem(
        MODULE,
        "measures",
        types.SimpleNamespace(frechet_distance=lambda x, y: sizes.append((len(x), len(y))) or 0.0),
    )
    assert fid(subject(brighter, images(0), images(1)), weights="1", n=7)["fid_examples"] == 7
    assert sizes == [(7, 7), (7, 7)]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_network_sees_eight_bits_of_three_channels(monkeypatch, channels):
    network = types.SimpleNamespace(apply=lambda variables, x: x)
    monkeypatch.setattr(inception, "InceptionV3", lambda: network)
    x = images(0, 5, (4, 6, channels)) * 1.4 - 0.2
    seen = np.asarray(MODULE["features"]({}, x))
    assert seen.shape == (5, 4, 6, 3) and seen.min() == 0 and seen.max() == 1
    np.testing.assert_allclose(
        seen, np.clip(np.round(255 * x), 0, 255).repeat(3 // channels, -1) / 255, atol=1e-7
    )


def test_without_weights_it_says_where_they_are_and_how_to_convert_them():
    with pytest.raises(UserError) as error:
        fid(subject(brighter, images(0), images(1)))
    for part in (
        "config.evaluate.fid.weights",
        "pt_inception-2015-12-05-6726825d.pth",
        "torch.load",
        "'generation'",
    ):
        assert part in str(error.value)


def test_the_lines_that_convert_the_weights_do(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.steps": torch.tensor(3)}
    torch.save(state, "pt_inception-2015-12-05-6726825d.pth")
    lines = re.findall(r"^  ((?:state|numpy).*)$", MODULE["HOW"], re.MULTILINE)
    exec("\n".join(lines), {"torch": torch, "numpy": np})
    with np.load("inception.npz") as file:
        assert {name: file[name].tolist() for name in file.files} == {k: v.tolist() for k, v in state.items()}
    with pytest.raises(UserError, match=r"pth' does not hold the weights .*lack 'Conv2d_1a_3x3"):
        MODULE["load"]("pt_inception-2015-12-05-6726825d.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "does not hold the weights"),
        (b"\x80\x02pickle", "pickle"),
        (b"PK\x03\x04 cut off", "zip"),
        (np.zeros(3), "does not hold the weights"),
        ({"x_train": np.zeros(3)}, f"lack '{NAME}'"),
        ({NAME: np.zeros(31)}, rf"'{NAME}' .*\(31,\).*\(32,\)"),
        ({NAME: np.array([None] * 32)}, "allow_pickle"),
    ],
)
def test_another_file_is_refused_with_the_reason(tmp_path, content, message):
    path = tmp_path / "weights.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        with path.open("wb") as file:
            np.savez(file, **content) if isinstance(content, dict) else np.save(file, content)
    with pytest.raises(UserError, match=rf"(?s)config\.evaluate\.fid\.weights=.*{message}.*torch\.load"):
        MODULE["load"](str(path))


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"x_test": images(1, 40, (16,))}, {}, "'fid' needs images of 1 or 3 channels"),
        ({"x_test": images(1, 40, (4, 4, 2))}, {}, "'fid' needs images of 1 or 3 channels"),
        ({"x_test": 2 * images(1)}, {}, r"'fid' needs images in \[0, 1\]"),
        ({"x_train": -images(1)}, {}, r"'fid' needs images in \[0, 1\]"),
        ({"method": Method(None, None, None)}, {}, "'fid' needs a method with `sample`"),
        ({}, {"n": 1}, "n=1"),
        ({}, {"batch_size": 0}, "batch_size=0"),
    ],
)
def test_what_it_cannot_judge_is_refused(without_network, changes, arguments, message):
    judged = subject(brighter, images(0), images(1))._replace(**changes)
    with pytest.raises(UserError, match=message):
        fid(judged, **({"weights": "1"} | arguments))
