import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from unsupjax import losses

RNG = np.random.default_rng(0)
A, B, C, D = RNG.normal(size=(4, 6, 5)).astype(np.float32)


def cosines(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.array([x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)])


def test_rows_get_unit_length_whatever_their_scale():
    scales = np.array([1e-9, 1e-3, 1, 1e3, 1e9, 1e15], np.float32)[:, None]
    np.testing.assert_allclose(np.linalg.norm(losses.normalize(A * scales), axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(losses.normalize(A * scales), losses.normalize(A), atol=1e-6)
    np.testing.assert_allclose(losses.normalize(A.T, axis=0), losses.normalize(A).T, rtol=1e-6)
    assert losses.normalize(A.astype(jnp.bfloat16)).dtype == jnp.float32
    check_grads(jax.jit(losses.normalize), (A,), order=1, modes=["rev"], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("length", [0.0, 1e-30, 1e-13, 1.0001e-12, 1e-9])
def test_the_gradient_is_finite_at_zero_and_near_it(length):
    x = jnp.array([[length, 0.0, 0.0]])
    value, grad = jax.value_and_grad(lambda x: (losses.normalize(x) * jnp.array([[1.0, 2.0, 3.0]])).sum())(x)
    assert np.isfinite(value) and np.isfinite(grad).all()
    assert length or value == 0


def test_negative_cosine_is_that_of_a_loop_and_holds_the_target():
    np.testing.assert_allclose(losses.negative_cosine(A, B), -cosines(A, B), rtol=1e-5, atol=1e-6)
    d_a, d_b = jax.grad(lambda a, b: losses.negative_cosine(a, b).sum(), (0, 1))(A, B)
    np.testing.assert_array_equal(d_b, 0)
    check_grads(jax.jit(lambda a: losses.negative_cosine(a, B)), (A,), order=1, modes=["rev"], rtol=1e-2)
    np.testing.assert_allclose((np.asarray(d_a) * A).sum(axis=1), 0, atol=1e-6)  # the length does not matter


def test_byol_sums_both_views_and_holds_the_targets():
    loss, (d_p1, d_z2, d_p2, d_z1) = jax.value_and_grad(lambda *a: losses.byol(*a).sum(), (0, 1, 2, 3))(
        A, B, C, D
    )
    np.testing.assert_allclose(losses.byol(A, B, C, D), 4 - 2 * cosines(A, B) - 2 * cosines(C, D), rtol=1e-5)
    np.testing.assert_array_equal([d_z1, d_z2], 0)
    half = jax.grad(lambda p: losses.negative_cosine(p, B).sum())(A)
    np.testing.assert_allclose(d_p1, 2 * half, rtol=1e-5, atol=1e-7)
    assert np.abs(d_p2).max() > 0 and loss.dtype == jnp.float32
    # The distances of unit vectors, which the paper starts from.
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    distances = np.square(unit(A) - unit(B)).sum(axis=1) + np.square(unit(C) - unit(D)).sum(axis=1)
    np.testing.assert_allclose(losses.byol(A, B, C, D), distances, rtol=1e-5)


def test_simsiam_is_the_mean_of_both_views_and_holds_the_projections():
    loss, (d_p1, d_z2, d_p2, d_z1) = jax.value_and_grad(lambda *a: losses.simsiam(*a).sum(), (0, 1, 2, 3))(
        A, B, C, D
    )
    np.testing.assert_allclose(losses.simsiam(A, B, C, D), -(cosines(A, B) + cosines(C, D)) / 2, rtol=1e-5)
    np.testing.assert_allclose(losses.simsiam(A, B, C, D), losses.byol(A, B, C, D) / 4 - 1, atol=1e-6)
    np.testing.assert_array_equal([d_z1, d_z2], 0)
    half = jax.grad(lambda p: losses.negative_cosine(p, B).sum())(A)
    np.testing.assert_allclose(d_p1, half / 2, rtol=1e-5, atol=1e-7)
    assert np.abs(d_p2).max() > 0 and loss.dtype == jnp.float32


@pytest.mark.parametrize("alpha", [1, 2, 3.5])
def test_alignment_is_that_of_a_loop(alpha):
    expected = (2 - 2 * cosines(A, B)) ** (alpha / 2)
    np.testing.assert_allclose(losses.align(A, B, alpha), expected, rtol=1e-5)
    check_grads(jax.jit(lambda a, b: losses.align(a, b, alpha)), (A, B), order=1, modes=["rev"], rtol=1e-2)
    value, grad = jax.value_and_grad(lambda a: losses.align(a, A, alpha).sum())(A)
    assert value == 0 and not np.asarray(grad).any()


@pytest.mark.parametrize("chunk_size", [None, 4])
def test_uniformity_is_that_of_a_loop_over_pairs(chunk_size):
    z = A.astype(np.float64) / np.linalg.norm(A.astype(np.float64), axis=1, keepdims=True)
    pairs = [np.exp(-3 * np.square(a - b).sum()) for i, a in enumerate(z) for j, b in enumerate(z) if i < j]
    value = losses.uniformity(A, 3, chunk_size=chunk_size)
    np.testing.assert_allclose(value, np.log(np.mean(pairs)), rtol=1e-5)
    assert value.shape == () and value.dtype == jnp.float32
    f = jax.jit(lambda a: losses.uniformity(a, 3, chunk_size=chunk_size))
    check_grads(f, (A,), order=1, modes=["rev"], rtol=1e-2, atol=1e-3)


def test_uniformity_in_closed_form():
    """0 where all coincide; of the 2 D half-axes each is at right angles to all but one."""
    np.testing.assert_allclose(losses.uniformity(jnp.ones((5, 3))), 0, atol=1e-5)
    axes = jnp.concatenate([jnp.eye(3), -jnp.eye(3)])
    np.testing.assert_allclose(
        losses.uniformity(axes, 1.0), np.log((4 * np.exp(-2) + np.exp(-4)) / 5), rtol=1e-5
    )
    with pytest.raises(ValueError, match="at least 2"):
        losses.uniformity(jnp.ones((1, 3)))


def test_shapes_that_do_not_fit_are_refused():
    for loss in (losses.negative_cosine, losses.align):
        with pytest.raises(AssertionError):
            loss(A, B[:3])
