import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.special import rel_entr

from unsupjax import losses

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(7, 3)).astype(np.float32)
CENTERS = RNG.normal(size=(4, 3)).astype(np.float32)


def soft(z, centers):
    q = np.empty((len(z), len(centers)))
    for i, a in enumerate(z.astype(np.float64)):
        for j, b in enumerate(centers.astype(np.float64)):
            q[i, j] = 1 / (1 + sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))
        q[i] /= q[i].sum()
    return q


def sharpened(q, f):
    p = np.empty_like(q)
    for i, row in enumerate(q):
        p[i] = [qij**2 / fj for qij, fj in zip(row, f, strict=True)]
        p[i] /= p[i].sum()
    return p


def test_soft_assignments_are_those_of_a_loop():
    np.testing.assert_allclose(losses.student_t(Z, CENTERS), soft(Z, CENTERS), rtol=1e-5)
    check_grads(jax.jit(losses.student_t), (Z, CENTERS), order=2, modes=["rev"], rtol=1e-2, atol=1e-2)


def test_distances_far_from_zero_do_not_cancel():
    far = losses.squared_distances(Z + 1000, CENTERS + 1000)
    exact = np.square((Z + 1000)[:, None].astype(float) - (CENTERS + 1000)[None]).sum(axis=2)
    np.testing.assert_allclose(far, exact, rtol=1e-5)


def test_soft_assignments_of_a_center_and_of_infinity():
    """On a centre whose rivals are far the assignment is hard; far from all it is even."""
    centers = np.array([[0.0, 0.0], [1e4, 0.0]], np.float32)
    np.testing.assert_allclose(losses.student_t(centers[:1], centers), [[1, 0]], atol=1e-6)
    np.testing.assert_allclose(losses.student_t(np.full((1, 2), -1e8, np.float32), centers), 0.5, rtol=1e-3)


def test_the_target_is_that_of_a_loop():
    q = soft(Z, CENTERS)
    f = q.sum(axis=0)
    p = losses.target_distribution(jnp.asarray(q, jnp.float32), jnp.asarray(f, jnp.float32))
    np.testing.assert_allclose(p, sharpened(q, f), rtol=1e-5)
    scaled = losses.target_distribution(jnp.asarray(q, jnp.float32), jnp.asarray(10 * f, jnp.float32))
    np.testing.assert_allclose(scaled, p, rtol=1e-5)


def test_the_target_evens_out_clusters():
    """Of two equal assignments the rarer cluster wins; hard assignments stay; zeros are no trouble."""
    p = losses.target_distribution(jnp.array([[0.5, 0.5], [1.0, 0.0]]), jnp.array([9.0, 1.0]))
    np.testing.assert_allclose(p, [[0.1, 0.9], [1, 0]], rtol=1e-6)
    empty = losses.target_distribution(jnp.array([[1.0, 0.0], [0.0, 0.0]]), jnp.array([1.0, 0.0]))
    np.testing.assert_array_equal(empty, [[1, 0], [0, 0]])


def test_the_divergence_is_scipys():
    q = soft(Z, CENTERS)
    p = sharpened(q, q.sum(axis=0))
    p[0] = [1, 0, 0, 0]
    value = losses.dec_loss(jnp.asarray(p, jnp.float32), jnp.asarray(q, jnp.float32))
    np.testing.assert_allclose(value, rel_entr(p, q).sum(axis=1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(losses.dec_loss(jnp.asarray(q), jnp.asarray(q)), 0, atol=1e-6)
    p = jnp.asarray(p, jnp.float32)
    check_grads(
        lambda z: losses.dec_loss(p, losses.student_t(z, CENTERS)), (Z,), order=1, modes=["rev"], rtol=1e-2
    )


def test_the_divergence_has_the_papers_gradient():
    """dL/dz_i = 2 sum_j (p_ij - q_ij) (z_i - mu_j) / (1 + |z_i - mu_j|^2), for one degree of freedom."""
    q = soft(Z, CENTERS)
    p = sharpened(q, q.sum(axis=0))
    found = jax.grad(lambda z: losses.dec_loss(jnp.asarray(p), losses.student_t(z, CENTERS)).sum())(Z)
    difference = Z[:, None].astype(float) - CENTERS[None]
    kernel = 1 / (1 + np.square(difference).sum(axis=2))
    expected = 2 * ((p - q) * kernel)[:, :, None] * difference
    np.testing.assert_allclose(found, expected.sum(axis=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("p", [[1.0, 0.0], [0.0, 0.0], [0.5, 0.5]])
@pytest.mark.parametrize("q", [[1.0, 0.0], [0.0, 1.0]])
def test_the_divergence_is_finite_at_zeros(p, q):
    value, grads = jax.value_and_grad(lambda p, q: losses.dec_loss(p, q).sum(), (0, 1))(
        jnp.array([p]), jnp.array([q])
    )
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in grads)
    assert value >= 0


def test_the_divergence_is_unreduced_and_never_negative():
    p, q = (jax.nn.softmax(RNG.normal(size=(50, 4)) * 5).astype(jnp.float32) for _ in range(2))
    value = losses.dec_loss(p, q)
    assert value.shape == (50,) and (value >= 0).all()


def neighbourhood(radius):
    return np.exp(-np.square((np.arange(4)[:, None] - np.arange(4)[None]) / radius)).astype(np.float32)


def test_distortion_is_that_of_a_loop():
    h = neighbourhood(1.5)
    expected = []
    for z in Z.astype(np.float64):
        squares = [((z - m) ** 2).sum() for m in CENTERS.astype(np.float64)]
        best = int(np.argmin(squares))
        expected.append(sum(h[best, k] * squares[k] for k in range(4)))
    np.testing.assert_allclose(losses.som_distortion(Z, CENTERS, h), expected, rtol=1e-5)
    check_grads(lambda *a: losses.som_distortion(*a, h), (Z, CENTERS), order=1, modes=["rev"], rtol=1e-2)


def test_distortion_in_the_limits_of_the_radius():
    squares = np.square(Z[:, None] - CENTERS[None]).sum(axis=2)
    narrow = losses.som_distortion(Z, CENTERS, neighbourhood(0.01))
    np.testing.assert_allclose(narrow, squares.min(axis=1), rtol=1e-5)  # k-means
    wide = losses.som_distortion(Z, CENTERS, neighbourhood(1e4))
    np.testing.assert_allclose(wide, squares.sum(axis=1), rtol=1e-5)


def test_weights_of_the_distortion_are_constants():
    """The gradient for a unit is -2 h (z - m), also where h itself is a function of what is differentiated."""
    h = lambda codebook: neighbourhood(1.0) * (1 + jnp.square(codebook).sum())
    found = jax.grad(lambda m: losses.som_distortion(Z, m, h(m)).sum())(CENTERS)
    difference = Z[:, None] - CENTERS[None]
    best = np.square(difference).sum(axis=2).argmin(axis=1)
    weights = np.asarray(h(CENTERS))[best]
    np.testing.assert_allclose(
        found, -2 * (weights[:, :, None] * difference).sum(axis=0), rtol=1e-4, atol=1e-4
    )


def test_of_equally_near_units_the_lowest_wins():
    h = jnp.array([[1.0, 0.0], [0.0, 3.0]])
    np.testing.assert_array_equal(
        losses.som_distortion(jnp.zeros((1, 1)), jnp.array([[1.0], [-1.0]]), h), [1]
    )


def test_bfloat16_is_computed_in_float32():
    z = jnp.asarray(Z, jnp.bfloat16)
    assert losses.student_t(z, CENTERS).dtype == losses.squared_distances(z, CENTERS).dtype == jnp.float32
    assert losses.dec_loss(z[:, :2], z[:, :2]).dtype == jnp.float32


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(AssertionError):
        losses.student_t(Z, CENTERS[:, :2])
    with pytest.raises(AssertionError):
        losses.target_distribution(jnp.ones((3, 4)), jnp.ones(3))
    with pytest.raises(AssertionError):
        losses.som_distortion(Z, CENTERS, jnp.ones((3, 3)))
