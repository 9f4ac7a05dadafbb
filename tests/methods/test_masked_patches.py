"""Hidden patches: how many, others each step, the loss of these alone, and an encoder that never sees them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unsupjax import methods, models
from unsupjax.models.layers import joined, patched

X = jax.random.uniform(jax.random.key(0), (6, 8, 12, 3))


def test_patches_are_those_of_a_loop():
    patches = patched(X, 4)
    assert patches.shape == (6, 6, 48)
    for b, row, column in ((0, 0, 0), (2, 1, 2), (5, 0, 1)):
        expected = X[b, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        np.testing.assert_array_equal(patches[b, 3 * row + column].reshape(4, 4, 3), expected)
    windows = X[:, :, 0]  # of 8 steps, 3 channels
    assert patched(windows, 3).shape == (6, 3, 9)
    np.testing.assert_array_equal(patched(windows, 3)[2, 0].reshape(3, 3), windows[2][np.array([0, 0, 1])])
    np.testing.assert_array_equal(patched(windows, 3)[2, 2].reshape(3, 3), windows[2, 5:])
    for size in (1, 3, 4, 8):
        np.testing.assert_array_equal(joined(patched(windows, size), size, (8, 3)), windows)
    for x, size, message in (
        (X, 5, "do not tile"),
        (X[0, 0], 4, "are of pictures"),
        (X, 0, "do not tile"),
        (windows, 9, "none of windows of 8"),
    ):
        with pytest.raises(ValueError, match=message):
            patched(x, size)


class Spy:
    """A network that keeps what it was shown and predicts w everywhere."""

    patch_size = 2

    def __init__(self):
        self.shown = None

    def init(self, key, patches, index):
        return {"params": {"w": jnp.zeros(())}}

    def apply(self, variables, patches, index, method=None):
        self.shown = patches, index
        return jnp.broadcast_to(variables["params"]["w"], (len(patches), 24, 12))


@pytest.mark.parametrize(
    ("share", "normalised", "count"), [(0.75, True, 6), (0.5, False, 12), (0.999, True, 1)]
)
def test_the_loss_is_of_hidden_patches_alone(share, normalised, count):
    spy = Spy()
    method = methods.masked_patches(spy, optax.sgd(1.0), share=share, normalised=normalised)
    state = method.init(jax.random.key(1), X)
    _, metrics = method.step(state, X)
    shown, index = map(np.asarray, spy.shown)
    patches = np.asarray(patched(X, 2), np.float64)
    assert shown.shape == (6, count, 12) and all(len(set(row)) == count for row in index.tolist())
    assert len({tuple(row) for row in index.tolist()}) > 1, "others of every picture"
    errors = []
    for b in range(6):
        np.testing.assert_array_equal(shown[b], patches[b, index[b]].astype(np.float32))
        for p in set(range(24)) - set(index[b].tolist()):
            patch = patches[b, p]
            target = (patch - patch.mean()) / np.sqrt(patch.var() + 1e-6) if normalised else patch
            errors.append((target**2).mean())
    assert metrics["loss"] == pytest.approx(np.mean(errors), rel=1e-5)
    method.step(state._replace(step=state.step + 1), X)
    assert (np.asarray(spy.shown[1]) != index).any(), "others at every step"


def test_what_is_hidden_reaches_no_prediction_of_the_others():
    network = models.PatchAutoencoder((8, 12, 3), 4, 16, 1, 2, 2.0, 8, 1)
    patches, index = patched(X, 4), jnp.tile(jnp.array([[1, 4]]), (6, 1))
    some = jnp.take_along_axis(patches, index[..., None], axis=1)
    params = jax.jit(network.init)(jax.random.key(0), some, index)
    apply = jax.jit(lambda some, index: network.apply(params, some, index))
    predicted = apply(some, index)
    assert predicted.shape == patches.shape and predicted.dtype == jnp.float32
    # The order in which patches are shown says nothing; where they stand does.
    np.testing.assert_allclose(apply(some[:, ::-1], index[:, ::-1]), predicted, rtol=1e-4, atol=1e-5)
    assert np.abs(apply(some, index + 1) - predicted).max() > 1e-3


def test_bad_shares():
    for share in (0.0, 1.0, -0.5):
        with pytest.raises(ValueError, match="must be between 0 and 1"):
            methods.masked_patches(Spy(), optax.sgd(0.1), share=share)


class Exact(Spy):
    """A network that predicts 2 in every place, and says what it was shown."""

    def apply(self, variables, patches, index, method=None):
        super().apply(variables, patches, index)
        return jnp.full((len(patches), 24, 12), 2.0)


@pytest.mark.parametrize("normalised", [True, False])
def test_what_was_visible_stays_and_what_was_hidden_is_predicted(normalised):
    spy = Exact()
    method = methods.masked_patches(spy, optax.sgd(1.0), normalised=normalised)
    state = method.init(jax.random.key(1), X)
    hidden, filled, told = method.fill(state, jax.random.key(7), X)
    assert hidden.shape == filled.shape == X.shape and hidden.dtype == bool
    index = np.asarray(spy.shown[1])
    assert len({tuple(row) for row in index.tolist()}) > 1, "another mask of every picture"
    for b in range(6):
        for p in range(24):
            row, column = divmod(p, 6)
            at = np.s_[b, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            patch = np.asarray(X[at], np.float64)
            assert np.unique(hidden[at]) == (p not in index[b])
            if p in index[b]:
                np.testing.assert_array_equal(filled[at], X[at])
            else:
                expected = 2 * np.sqrt(patch.var() + 1e-6) + patch.mean() if normalised else 2.0
                np.testing.assert_allclose(filled[at], np.full((2, 2, 3), expected), rtol=1e-5)
            if normalised:
                np.testing.assert_allclose(told[at], np.full((2, 2, 3), patch.mean()), rtol=1e-5)
    assert normalised or told is None
    again, _, _ = method.fill(state, jax.random.key(7), X[:4])
    np.testing.assert_array_equal(again, hidden[:4], "the mask of example i follows from the key and i")
    assert (method.fill(state, jax.random.key(8), X).hidden != hidden).any()


def test_filling_is_what_training_minimises():
    """With raw targets, the error of hidden pixels under the masks of a step is its loss."""
    network = models.PatchAutoencoder((8, 12, 3), 4, 16, 1, 2, 2.0, 8, 1)
    method = methods.masked_patches(network, optax.sgd(0.0), normalised=False)
    state = jax.jit(method.init)(jax.random.key(0), X)
    _, metrics = jax.jit(method.step)(state, X)
    hidden, filled, _ = jax.jit(method.fill)(state, jax.random.fold_in(state.key, 0), X)
    assert metrics["loss"] == pytest.approx(float(jnp.square(X - filled).sum() / hidden.sum()), rel=1e-4)


class Filling:
    """A network that predicts of every patch the sum of those shown, and keeps where these stand."""

    patch_size = 3

    def __init__(self):
        self.shown = []

    def init(self, key, patches, index):
        return {"params": {"w": jnp.zeros(())}}

    def apply(self, variables, patches, index):
        self.shown.append(np.asarray(index[0]))
        return jnp.broadcast_to(patches.sum(axis=1, keepdims=True), (len(patches), 3, 9))


@pytest.mark.parametrize("share, passes", [(0.4, 3), (0.9, 2)])
def test_a_step_is_as_strange_as_its_patch_when_hidden(share, passes):
    windows, spy = np.asarray(X[:, :, 0]), Filling()
    method = methods.masked_patches(spy, optax.sgd(1.0), share=share, normalised=False)
    state = method.init(jax.random.key(1), jnp.asarray(windows))
    found = np.asarray(method.surprise(state, jnp.asarray(windows)))
    assert found.shape == windows.shape and len(spy.shown) == passes
    patches = np.concatenate([windows[:, :1], windows], axis=1).reshape(6, 3, 9)
    expected, times = np.zeros_like(patches), np.zeros(3, int)
    for shown in spy.shown:
        for p in set(range(3)) - set(shown.tolist()):
            expected[:, p] = (patches[:, shown].sum(axis=1) - patches[:, p]) ** 2
            times[p] += 1
    np.testing.assert_array_equal(times, 1, "each is hidden once")
    np.testing.assert_allclose(found, expected.reshape(6, 9, 3)[:, 1:], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="an example is one patch"):
        method.surprise(state, jnp.asarray(windows[:, :3]))


def test_patches_joined_are_the_picture():
    for size in (1, 2, 4):
        np.testing.assert_array_equal(joined(patched(X, size), size, (8, 12, 3)), X)


def test_layers_start_as_xavier_has_them():
    """Of a narrow network a standard deviation of 0.02 mixes tokens so little that nothing is learnt for long."""
    network = models.PatchAutoencoder((8, 12, 3), 4, 32, 1, 2, 2.0, 16, 1)
    patches, index = patched(X, 4), jnp.tile(jnp.arange(6)[None], (6, 1))
    params = network.init(jax.random.key(0), patches, index)["params"]
    for block, width in (("block0", 32), ("decoder_block0", 16)):
        for layer, fan in (("qkv", 2 * width), ("attended", 2 * width), ("hidden", 3 * width)):
            largest = float(jnp.abs(params[block][layer]["kernel"]).max())
            assert largest == pytest.approx((6 / fan) ** 0.5, rel=0.05), (block, layer)
