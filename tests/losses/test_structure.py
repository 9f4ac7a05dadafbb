"""Structural similarity against loops and libraries, and as a loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import losses

RNG = np.random.default_rng(0)
X = RNG.uniform(size=(2, 24, 26, 2))
Y = np.clip(X + RNG.normal(0, 0.2, X.shape), 0, 1)


def means(x, y):
    """Luminance and contrast at every place of a plane, by loops over windows."""
    g = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    w = np.outer(g, g) / g.sum() ** 2
    found = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            ma, mb = (w * a).sum(), (w * b).sum()
            va, vb, ab = (w * (a - ma) ** 2).sum(), (w * (b - mb) ** 2).sum(), (w * (a - ma) * (b - mb)).sum()
            contrast = (2 * ab + 9e-4) / (va + vb + 9e-4)
            found.append(((2 * ma * mb + 1e-4) / (ma * ma + mb * mb + 1e-4) * contrast, contrast))
    return np.mean(found, axis=0)


def test_two_scales_are_those_of_a_loop():
    expected, whole = [], []
    for x, y in zip(X, Y, strict=True):
        planes = []
        for c in range(2):
            a, b = x[..., c], y[..., c]
            halves = [p.reshape(12, 2, 13, 2).mean(axis=(1, 3)) for p in (a, b)]
            fine, coarse = means(a, b)[1], means(*halves)[0]
            planes.append(fine ** (0.0448 / 0.3304) * coarse ** (0.2856 / 0.3304))
        expected.append(np.mean(planes))
        whole.append(np.mean([means(x[..., c], y[..., c])[0] for c in range(2)]))
    np.testing.assert_allclose(losses.ms_ssim(X, Y), expected, rtol=1e-9)
    np.testing.assert_allclose(losses.ssim(X, Y), whole, rtol=1e-9)
    x, y = jnp.asarray(X * 255, jnp.float32), jnp.asarray(Y * 255, jnp.float32)
    np.testing.assert_allclose(jax.jit(losses.ms_ssim)(x, y, 255.0), expected, rtol=1e-4)


def test_it_can_be_learnt_by():
    x, y = (jnp.asarray(p[:, :22, :22], jnp.float32) for p in (X, Y))
    value = jax.jit(jax.value_and_grad(lambda y: losses.ms_ssim(x, y).sum()))
    towards, step = jnp.asarray(RNG.normal(size=x.shape), jnp.float32), 1e-2
    difference = (value(y + step * towards)[0] - value(y - step * towards)[0]) / (2 * step)
    np.testing.assert_allclose((value(y)[1] * towards).sum(), difference, rtol=1e-2)
    for other in (x, 1 - x, jnp.zeros_like(x), jnp.full_like(x, 0.5)):  # equal, opposed, without structure
        assert np.isfinite(value(other)[1]).all()
    assert np.abs(value(x)[1]).max() < 1e-4 < np.abs(value(y)[1]).max()


def test_limits_and_errors():
    assert losses.ms_ssim(X, X) == pytest.approx([1, 1])
    assert (losses.ms_ssim(X, 1 - X) == 0).all()
    np.testing.assert_allclose(losses.ms_ssim(X, Y), losses.ms_ssim(Y, X))
    with pytest.raises(ValueError, match="no room"):
        losses.ms_ssim(X[:, :10], Y[:, :10])
    with pytest.raises(ValueError, match="are compared"):
        losses.ssim(X, Y[:, 1:])
