import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from unsupjax import losses

RNG = np.random.default_rng(0)
S, T = RNG.normal(size=(2, 6, 5)).astype(np.float32)
C = RNG.normal(size=5).astype(np.float32)


def probabilities(row, temperature):
    weights = [np.exp(np.float64(v) / temperature) for v in row]
    return [w / sum(weights) for w in weights]


def expected(s, t, c, student, teacher):
    """By a loop, float64."""
    rows = []
    for a, b in zip(s, t, strict=True):
        p, q = probabilities(np.float64(b) - c, teacher), probabilities(a, student)
        rows.append(-sum(x * np.log(y) for x, y in zip(p, q, strict=True)))
    return rows


@pytest.mark.parametrize("temperatures", [(0.1, 0.04), (0.5, 0.2)])
def test_dino_is_that_of_a_loop(temperatures):
    student, teacher = temperatures
    value = losses.dino(S, T, C, student_temperature=student, teacher_temperature=teacher)
    assert value.shape == (6,) and value.dtype == jnp.float32
    np.testing.assert_allclose(value, expected(S, T, C, student, teacher), rtol=2e-5)


def test_the_student_alone_has_a_gradient():
    f = lambda s, t, c: losses.dino(s, t, c, student_temperature=0.5, teacher_temperature=0.2)
    d_s, d_t, d_c = jax.grad(lambda *a: f(*a).sum(), (0, 1, 2))(S, T, C)
    assert not d_t.any() and not d_c.any()
    wanted = [
        (np.array(probabilities(s, 0.5)) - probabilities(t - C, 0.2)) / 0.5 for s, t in zip(S, T, strict=True)
    ]
    np.testing.assert_allclose(d_s, wanted, rtol=1e-4, atol=1e-5)
    check_grads(jax.jit(lambda s: f(s, T, C)), (S,), order=1, modes=["rev"], rtol=1e-2, atol=1e-2)


def test_the_centre_and_the_temperature_make_the_targets():
    np.testing.assert_allclose(
        losses.dino_targets(T, C, 0.2), [probabilities(t - C, 0.2) for t in T], rtol=1e-4
    )
    np.testing.assert_allclose(losses.dino_targets(jnp.stack([C] * 2), C, 0.01), 0.2, rtol=1e-5)
    sharp = losses.dino_targets(T, C, 1e-3)
    np.testing.assert_allclose(sharp, np.eye(5)[(T - C).argmax(axis=1)], atol=1e-6)


def test_sure_and_distant_logits_are_finite():
    """At 0.01 float32 would overflow in the exponentials, and a probability of 0 has no logarithm."""
    s, t = jnp.array([[9.0, -9.0]]), jnp.array([[-9.0, 9.0]])
    f = lambda s: losses.dino(s, t, jnp.zeros(2), student_temperature=0.01, teacher_temperature=0.01).sum()
    value, grad = jax.value_and_grad(f)(s)
    np.testing.assert_allclose(value, 1800, rtol=1e-5)
    np.testing.assert_allclose(grad, [[100, -100]], rtol=1e-5)
    low = losses.dino(s.astype(jnp.bfloat16), t.astype(jnp.bfloat16), jnp.zeros(2))
    assert low.dtype == jnp.float32 and np.isfinite(low).all()


def test_shapes_that_do_not_fit_are_refused():
    for s, t, c in ((S, T[:3], C), (S, T, C[:4]), (S, T, T), (S[0], T[0], C)):
        with pytest.raises(AssertionError):
            losses.dino(s, t, c)
