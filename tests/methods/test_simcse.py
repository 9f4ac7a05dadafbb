"""Two dropouts of a text against a loop over examples, and what needs dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unsupjax import methods, models

NETWORK = models.Transformer(9, 8, 16, 1, 2, zero_init=False, dropout=0.3)
ROWS = jnp.array([[1, 2, 3, 4, 5, 6, 0, 0], [1, 8, 8, 2, 0, 0, 0, 0], [1, 3, 4, 0, 0, 0, 0, 0]])


def test_the_loss_is_that_of_a_loop():
    method = methods.simcse(NETWORK, optax.sgd(0.1), temperature=0.5)
    state = jax.jit(method.init)(jax.random.key(0), ROWS)
    _, metrics = jax.jit(method.step)(state, ROWS)
    network, views = NETWORK.clone(causal=False), []
    for i, row in enumerate(np.asarray(ROWS)):
        keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(state.key, 0), i))
        real = row[row > 0][None]
        whole = jnp.asarray(row[None])
        parts = jnp.where(whole > 0, 1, -1)  # padded as it is trained on: dropout draws by shape
        for key in keys:
            hidden = network.apply({"params": state.params}, whole, parts, train=True, rngs={"dropout": key})
            z = np.asarray(hidden[0, : real.shape[1]], np.float64).mean(0)
            views.append(z / np.linalg.norm(z))
    z1, z2 = np.array(views[::2]), np.array(views[1::2])
    scores = z1 @ z2.T / 0.5
    expected = np.mean(np.log(np.exp(scores).sum(1)) - np.diag(scores))
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)
    assert np.abs(z1 - z2).max() > 1e-3
    codes = method.encode(state, ROWS)
    np.testing.assert_allclose(codes[2], method.encode(state, ROWS[2:, :3])[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(codes, method.encode(state, ROWS))


def test_it_needs_dropout():
    with pytest.raises(ValueError, match=r"set network.dropout, such as 0.1"):
        methods.simcse(NETWORK.clone(dropout=0.0), optax.sgd(0.1))
