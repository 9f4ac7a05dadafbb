"""Hidden patches: how many, others each step, the loss of these alone, and an encoder that never sees them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unsupjax import methods, models
from unsupjax.models.layers import patched

X = jax.random.uniform(jax.random.key(0), (6, 8, 12, 3))


def test_patches_are_those_of_a_loop():
    patches = patched(X, 4)
    assert patches.shape == (6, 6, 48)
    for b, row, column in ((0, 0, 0), (2, 1, 2), (5, 0, 1)):
        expected = X[b, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        np.testing.assert_array_equal(patches[b, 3 * row + column].reshape(4, 4, 3), expected)
    for x, size, message in ((X, 5, "do not tile"), (X[0], 4, "are of pictures"), (X, 0, "do not tile")):
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
