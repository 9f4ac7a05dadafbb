"""What is written of a vector: against a loop over texts; nothing passes by the vector."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unsupjax import methods, models

NETWORK = models.Transformer(9, 8, 16, 1, 2, zero_init=False)
ROWS = jnp.array([[1, 2, 3, 4, 5, 6, 0, 0], [1, 8, 8, 2, 0, 0, 0, 0], [1, 3, 0, 0, 0, 0, 0, 0]])


def test_the_loss_is_that_of_a_loop():
    method = methods.tsdae(NETWORK, optax.sgd(0.1), deleted=0.6)
    state = jax.jit(method.init)(jax.random.key(0), ROWS)
    _, metrics = jax.jit(method.step)(state, ROWS)
    run = lambda causal, *args, **kw: NETWORK.clone(causal=causal).apply(
        {"params": state.params}, *args, **kw
    )
    total, n = 0.0, 0
    for i, row in enumerate(np.asarray(ROWS)):
        key = jax.random.fold_in(jax.random.fold_in(state.key, 0), i)
        u, text = np.asarray(jax.random.uniform(key, (8,))), row[row > 0]
        drawn = u[: len(text)]
        kept = [1] + [t for t, v in zip(text[1:], drawn[1:], strict=True) if v >= 0.6 or v == drawn[1:].max()]
        z = np.asarray(run(False, jnp.array([kept])))[0].mean(0)
        logits = run(True, jnp.asarray(text[None, :-1]), first=jnp.asarray(z[None]), method="both")
        log_p = np.asarray(jax.nn.log_softmax(logits))[0]
        total -= log_p[np.arange(len(text) - 1), text[1:]].sum()
        n += len(text) - 1
    np.testing.assert_allclose(metrics["loss"], total / n, rtol=1e-5)
    np.testing.assert_allclose(
        method.encode(state, ROWS)[1], np.asarray(run(False, ROWS[1:2, :4]))[0].mean(0), rtol=1e-4, atol=1e-6
    )


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"deleted=1.0 must be at least 0"):
        methods.tsdae(NETWORK, optax.sgd(0.1), deleted=1.0)
    with pytest.raises(ValueError, match="no network over tokens"):
        methods.tsdae(models.MLPEncoder((4,)), optax.sgd(0.1))
