"""Methods of windows against numpy: nearest windows, least squares, and forecasts that learn."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unsupjax import methods, models

KEY = jax.random.key(0)
W, C = 6, 2


@pytest.fixture(scope="module")
def windows():
    """Of a noisy wave in two channels, at every step, `[55, 6, 2]`."""
    t = np.arange(60)
    x = np.stack([np.sin(t / 2), np.cos(t / 2)], axis=1) + np.random.default_rng(0).normal(0, 0.1, (60, C))
    return np.lib.stride_tricks.sliding_window_view(x, W, axis=0).transpose(0, 2, 1).astype(np.float32).copy()


def slow_nearest(x, memory, itself=None):
    """Distances `[B, C]` of squares to the nearest window but those that share half of the steps with `itself`."""
    squares = []
    for i, window in enumerate(x):
        d = np.square(window - memory).sum(axis=(1, 2))
        if itself is not None:
            d[np.abs(np.arange(len(memory)) - itself[i]) < W // 2] = np.inf
        squares.append(np.square(window - memory[d.argmin()]).sum(axis=0))
    return np.array(squares)


def test_nearest_windows_are_those_of_a_loop(windows):
    method = methods.nearest_windows(rows=windows, shape=(W, C), examples=len(windows), subspace=0.0)
    state = jax.jit(method.init)(KEY, windows[:4])
    fresh = windows[:7] + 0.05
    for x, itself in ((fresh, None), (windows[20:25], np.arange(20, 25))):
        squares = slow_nearest(x, windows, itself)
        d = np.sqrt(squares.sum(axis=1, keepdims=True))
        own = np.sqrt(slow_nearest(windows, windows, np.arange(len(windows))).sum(axis=1))
        expected = squares / d / np.quantile(own, 0.99)
        np.testing.assert_allclose(jax.jit(method.surprise)(state, x), expected, rtol=1e-3)
    _, metrics = method.step(state, windows[:4])
    assert metrics["converged"] == 1


def test_a_subspace_sees_channels_that_part():
    """Two channels that are equal in training: each is usual alone, and their difference is not."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(300, W, 1)).astype(np.float32)
    rows = np.concatenate([one, one + rng.normal(0, 0.05, one.shape)], axis=2).astype(np.float32)
    apart = rows[:5].copy()
    apart[..., 1] = rows[5:10, :, 0]
    scores = {}
    for share in (0.0, 0.9):
        method = methods.nearest_windows(rows=rows, shape=(W, C), examples=300, subspace=share)
        state = method.init(KEY, rows[:4])
        scores[share] = [np.asarray(method.surprise(state, x)).sum(axis=1).mean() for x in (rows[:50], apart)]
    assert scores[0.9][1] / scores[0.9][0] > 10 > 5 > scores[0.0][1] / scores[0.0][0]


def test_memory_is_bounded(windows):
    method = methods.nearest_windows(most=10, rows=windows, shape=(W, C), examples=len(windows))
    state = method.init(KEY, windows[:4])
    assert state.known.memory.shape == (10, W * C)
    np.testing.assert_array_equal(state.known.memory[1], windows[5].ravel())
    assert np.isfinite(method.surprise(state, windows)).all()
    blank = methods.nearest_windows(most=10, shape=(W, C), examples=len(windows)).init(KEY, windows[:4])
    assert jax.tree.map(jnp.shape, blank) == jax.tree.map(jnp.shape, state)


def test_a_linear_forecast_is_least_squares(windows):
    n = len(windows)
    method = methods.linear_forecast(ridge=0.01, shape=(W, C), examples=n)
    state, step = method.init(KEY, windows[:16]), jax.jit(method.step)
    for start in range(0, 64, 16):
        state, metrics = step(state, windows[np.arange(start, start + 16) % n])
    assert metrics["converged"] == 1
    a = np.concatenate([windows[:, :-1].reshape(n, -1), np.ones((n, 1))], axis=1).astype(np.float64)
    penalty = np.diag(np.r_[np.full(a.shape[1] - 1, 0.01 * n + 1e-3), 0])
    weights = np.linalg.solve(a.T @ a + penalty, a.T @ windows[:, -1])
    residual = windows[:, -1] - a @ weights
    np.testing.assert_allclose(method.encode(state, windows), a @ weights, atol=1e-4)
    spread = np.sqrt(np.square(residual).mean(axis=0))
    np.testing.assert_allclose(state.spread, spread, rtol=1e-3)
    expected = (np.abs(residual) / (spread + 1e-2))[:, None]
    np.testing.assert_allclose(method.surprise(state, windows), expected, rtol=1e-2, atol=1e-3)


def test_a_network_learns_to_forecast(windows):
    method = methods.forecast(models.MLPEncoder((16,), "tanh"), optax.adam(1e-2), shape=(W, C))
    state, step = method.init(KEY, windows), jax.jit(method.step)
    first = None
    for _ in range(150):
        state, metrics = step(state, windows)
        first = first or float(metrics["mse"])
    assert float(metrics["mse"]) < 0.3 * first  # of "nothing changes"
    odd = windows[:3].copy()
    odd[:, -1, 1] += 3
    strange = method.surprise(state, odd)
    assert strange.shape == (3, 1, C) and (strange[:, 0, 1] > 5 * strange[:, 0, 0]).all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: methods.nearest_windows(most=1, shape=(W, C), examples=9), "most=1 must be"),
        (lambda: methods.nearest_windows(shape=(8, 8, 1), examples=9), "takes windows of time"),
        (lambda: methods.linear_forecast(ridge=0.0, shape=(W, C), examples=9), "ridge=0.0"),
        (lambda: methods.linear_forecast(shape=(1, C), examples=9), "nothing to forecast from"),
        (lambda: methods.linear_forecast(shape=(500, 60), examples=9), "29940 inputs, above 8192"),
        (lambda: methods.forecast(models.MLPEncoder(), optax.sgd(1), delta=0.0, shape=(W, C)), "delta=0.0"),
    ],
)
def test_arguments_out_of_range_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
