import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from unsupjax import losses

RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(scale=3, size=(2, 40)).astype(np.float32)
NAMES = tuple(losses.GAN_LOSSES)
EXTREME = np.array([(r, f) for r in (-1e4, -50, 0, 50, 1e4) for f in (-1e4, -50, 0, 50, 1e4)], np.float32).T


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


ORACLES = {  # as the papers write them, for one pair of logits
    "minimax": (
        lambda r, f: -math.log(sigmoid(r)) - math.log(1 - sigmoid(f)),
        lambda r, f: math.log(1 - sigmoid(f)),
    ),
    "non_saturating": (
        lambda r, f: -math.log(sigmoid(r)) - math.log(1 - sigmoid(f)),
        lambda r, f: -math.log(sigmoid(f)),
    ),
    "least_squares": (lambda r, f: 0.5 * (r - 1) ** 2 + 0.5 * (f - 0) ** 2, lambda r, f: 0.5 * (f - 1) ** 2),
    "hinge": (lambda r, f: -min(0, -1 + r) - min(0, -1 - f), lambda r, f: -f),
    "wasserstein": (lambda r, f: -(r - f), lambda r, f: -f),
    "relativistic": (lambda r, f: -math.log(sigmoid(r - f)), lambda r, f: -math.log(sigmoid(f - r))),
}


def both(name):
    pair = losses.GAN_LOSSES[name]
    return pair.discriminator, pair.generator


def slopes(f, real, fake):
    return jax.grad(lambda *logits: f(*logits).sum(), (0, 1))(real, fake)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_a_loop_over_probabilities(name):
    for f, oracle in zip(both(name), ORACLES[name], strict=True):
        expected = [oracle(float(r), float(f)) for r, f in zip(REAL, FAKE, strict=True)]
        found = f(REAL, FAKE)
        assert found.shape == (40,) and found.dtype == jnp.float32
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)
        smooth = (REAL[:6], FAKE[:6])
        check_grads(f, smooth, order=1, modes=["rev"], rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    "name, discriminator, generator",
    [
        ("minimax", 2 * math.log(2), -math.log(2)),
        ("non_saturating", 2 * math.log(2), math.log(2)),
        ("least_squares", 0.5, 0.5),
        ("hinge", 2, 0),
        ("wasserstein", 0, 0),
        ("relativistic", math.log(2), math.log(2)),
    ],
)
def test_closed_forms_where_all_logits_are_0(name, discriminator, generator):
    zero = jnp.zeros(1)
    d, g = both(name)
    np.testing.assert_allclose((d(zero, zero)[0], g(zero, zero)[0]), (discriminator, generator), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_are_finite_at_extreme_logits(name):
    for f in both(name):
        assert np.isfinite(f(*EXTREME)).all()
        d_real, d_fake = slopes(f, *EXTREME)
        assert np.isfinite(d_real).all() and np.isfinite(d_fake).all()


def test_losses_of_logits_are_straight_lines_far_out():
    far = jnp.array([-1e4])
    for name in ("non_saturating", "relativistic"):
        _, g = both(name)
        np.testing.assert_allclose(g(0 * far, far), 1e4, rtol=1e-6)
        np.testing.assert_allclose(slopes(g, 0 * far, far)[1], -1)
    d, g = both("minimax")
    np.testing.assert_allclose(d(far, -far), 2e4, rtol=1e-6)
    assert (
        slopes(g, 0 * far, far)[1] == 0 and slopes(g, 0 * far, -far)[1] == -1
    )  # saturates where the other learns


@pytest.mark.parametrize("name", NAMES)
def test_float32_whatever_comes_in(name):
    """In bfloat16 itself the difference of 1000 and 0.75 would be 1000."""
    for dtype in (jnp.bfloat16, jnp.float16):
        real, fake = jnp.array([1000, -2], dtype), jnp.array([0.75, 3], dtype)
        for f in both(name):
            expected = f(real.astype(jnp.float32), fake.astype(jnp.float32))
            found = f(real, fake)
            assert found.dtype == jnp.float32
            np.testing.assert_array_equal(found, expected)
    d, _ = both("wasserstein")
    assert d(jnp.array([1000], jnp.bfloat16), jnp.array([0.75], jnp.bfloat16)) == -999.25


def test_the_best_logits_are_those_of_the_papers():
    """Of a fixed x with densities p of real and q of fake, the gradient of p L(real) + q L(fake) vanishes at these."""
    for p in (0.1, 0.5, 0.8):
        best = {
            "minimax": math.log(p / (1 - p)),
            "non_saturating": math.log(p / (1 - p)),
            "least_squares": p,
        }
        for name, logit in best.items():
            d, _ = both(name)
            d_real, d_fake = slopes(d, jnp.array([logit]), jnp.array([logit]))
            np.testing.assert_allclose(p * d_real + (1 - p) * d_fake, 0, atol=1e-6)
    d, _ = both("hinge")
    for p, sign in ((0.3, 1), (0.8, -1)):  # downhill all the way to -1 or to 1
        for logit in (-0.9, 0.0, 0.9):
            d_real, d_fake = slopes(d, jnp.array([logit]), jnp.array([logit]))
            assert np.sign(p * d_real + (1 - p) * d_fake) == sign
    d_real, d_fake = slopes(d, jnp.array([1.5]), jnp.array([-1.5]))
    assert d_real == 0 and d_fake == 0


@pytest.mark.parametrize("name", NAMES)
def test_discriminators_part_the_logits_and_generators_join_them(name):
    d, g = both(name)
    low, high = jnp.linspace(-0.9, 0.1, 5), jnp.linspace(0.9, 0.2, 5)
    d_real, d_fake = slopes(d, low, high)
    assert (d_real < 0).all() and (d_fake > 0).all()
    assert (slopes(g, high, low)[1] < 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_generators_say_whether_they_read_real_logits(name):
    pair = losses.GAN_LOSSES[name]
    reads = np.abs(slopes(pair.generator, REAL, FAKE)[0]).max() > 0
    assert reads == pair.uses_real
    if not pair.uses_real:
        np.testing.assert_array_equal(pair.generator(REAL, FAKE), pair.generator(np.full(40, np.nan), FAKE))


def test_relativistic_pairing_sees_differences_and_is_antisymmetric():
    d, g = both("relativistic")
    np.testing.assert_array_equal(d(REAL, FAKE), g(FAKE, REAL))
    np.testing.assert_allclose(d(REAL + 7, FAKE + 7), d(REAL, FAKE), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(g(REAL, FAKE) - d(REAL, FAKE), REAL - FAKE, rtol=1e-4, atol=1e-5)
    # The same as a discriminator's loss on differences: swapping real and fake changes sides.
    logistic, _ = both("minimax")
    np.testing.assert_allclose(logistic(REAL, FAKE), logistic(-FAKE, -REAL), rtol=1e-6)


def test_minimax_is_a_zero_sum_game():
    for name in ("minimax", "wasserstein"):
        d, g = both(name)
        total = slopes(d, REAL, FAKE)[1] + slopes(g, REAL, FAKE)[1]
        np.testing.assert_allclose(total, 0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_that_do_not_fit_are_refused(name):
    for f in both(name):
        for real, fake in ((REAL, FAKE[:3]), (REAL[:, None], FAKE[:, None]), (REAL[:, None], FAKE)):
            with pytest.raises(AssertionError):
                f(real, fake)


class WithAndWithoutJit(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_the_same(self):
        for name in NAMES:
            for f in both(name):
                np.testing.assert_allclose(self.variant(f)(REAL, FAKE), f(REAL, FAKE), rtol=1e-6, atol=1e-7)
