r"""Adversarial losses: what a discriminator and a generator minimise, given the discriminator's logits.

Every function takes the logits of real examples and of generated ones, `[B]` each and of any dtype, and returns `[B]`
float32. With :math:`s(l) = \log(1 + e^l)` (softplus), the discriminator's probability :math:`D = \sigma(l)` of being
real has :math:`-\log D = s(-l)` and :math:`-\log(1 - D) = s(l)`: these stay finite, in value and gradient, where the
logarithm of a probability that rounds to 0 does not.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.nn import softplus


def logistic_discriminator(real: jax.Array, fake: jax.Array) -> jax.Array:
    r"""Cross-entropy of telling real from fake, :math:`s(-r) + s(f) = -\log D(x) - \log(1 - D(G(z)))`.

    The discriminator's loss of "minimax" and of "non_saturating"; 2 ln 2 where all logits are 0.

    >>> logistic_discriminator(jnp.zeros(1), jnp.zeros(1))
    Array([1.3862944], dtype=float32)

    Source: Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, Eq. 1.
    """
    real, fake = _logits(real, fake)
    return softplus(-real) + softplus(fake)


def minimax_generator(real: jax.Array, fake: jax.Array) -> jax.Array:
    r"""The value that the discriminator maximises, :math:`-s(f) = \log(1 - D(G(z)))`.

    Its gradient, :math:`-\sigma(f)`, vanishes where the discriminator is sure that a sample is fake.

    Source: Goodfellow et al., 2014, Eq. 1.
    """
    _, fake = _logits(real, fake)
    return -softplus(fake)


def non_saturating_generator(real: jax.Array, fake: jax.Array) -> jax.Array:
    r""":math:`s(-f) = -\log D(G(z))`: the same fixed point as minimax, with gradients where samples are poor.

    Source: Goodfellow et al., 2014, Section 3.
    """
    _, fake = _logits(real, fake)
    return softplus(-fake)


def least_squares_discriminator(real: jax.Array, fake: jax.Array) -> jax.Array:
    r""":math:`\frac12 (r - 1)^2 + \frac12 f^2`: labels a = 0 of fake, b = 1 of real, with the paper's halves.

    Source: Mao et al., "Least squares generative adversarial networks", ICCV 2017, Eq. 9.
    """
    real, fake = _logits(real, fake)
    return (jnp.square(real - 1) + jnp.square(fake)) / 2


def least_squares_generator(real: jax.Array, fake: jax.Array) -> jax.Array:
    r""":math:`\frac12 (f - 1)^2`: the generator's target is c = 1, the label of real.

    Source: Mao et al., 2017, Eq. 9.
    """
    _, fake = _logits(real, fake)
    return jnp.square(fake - 1) / 2


def hinge_discriminator(real: jax.Array, fake: jax.Array) -> jax.Array:
    r""":math:`\max(0, 1 - r) + \max(0, 1 + f)`: no gradient from examples that are beyond the margin of 1.

    Source: Lim and Ye, "Geometric GAN", 2017; Miyato et al., "Spectral normalization for generative adversarial
    networks", ICLR 2018, Eqs. 16 and 17.
    """
    real, fake = _logits(real, fake)
    return jax.nn.relu(1 - real) + jax.nn.relu(1 + fake)


def wasserstein_discriminator(real: jax.Array, fake: jax.Array) -> jax.Array:
    r""":math:`f - r`, whose mean is minus the Wasserstein-1 distance for the best critic of Lipschitz constant 1.

    It has no minimum without something that bounds the constant: `wgan_gp`, or spectral norm.

    Source: Arjovsky, Chintala and Bottou, "Wasserstein generative adversarial networks", ICML 2017, Eq. 2.
    """
    real, fake = _logits(real, fake)
    return fake - real


def linear_generator(real: jax.Array, fake: jax.Array) -> jax.Array:
    r""":math:`-f`, the generator's loss of "hinge" and of "wasserstein".

    Source: as `hinge_discriminator` and `wasserstein_discriminator`.
    """
    _, fake = _logits(real, fake)
    return -fake


def relativistic_discriminator(real: jax.Array, fake: jax.Array) -> jax.Array:
    r"""Relativistic pairing, :math:`s(-(r_i - f_i))`: each real example is to be above the fake one beside it.

    Only differences of logits count. ln 2 where they are all 0.

    >>> relativistic_discriminator(jnp.array([3.0]), jnp.array([3.0]))
    Array([0.6931472], dtype=float32)

    Source: Jolicoeur-Martineau, "The relativistic discriminator", ICLR 2019; Huang et al., "The GAN is dead; long
    live the GAN! A modern GAN baseline", NeurIPS 2024.
    """
    real, fake = _logits(real, fake)
    return softplus(fake - real)


def relativistic_generator(real: jax.Array, fake: jax.Array) -> jax.Array:
    r""":math:`s(-(f_i - r_i))`: each sample is to be above the real example beside it, whose logit it reads.

    Source: as `relativistic_discriminator`.
    """
    real, fake = _logits(real, fake)
    return softplus(real - fake)


class AdversarialLoss(NamedTuple):
    """What the two networks minimise.

    Attributes:
        discriminator: `(real, fake) -> [B]`, logits of both `[B]`.
        generator: `(real, fake) -> [B]`, the same signature.
        uses_real: whether the generator's loss reads the real logits; if not, any `[B]` will do for them.
    """

    discriminator: Callable
    generator: Callable
    uses_real: bool


GAN_LOSSES = {
    "minimax": AdversarialLoss(logistic_discriminator, minimax_generator, False),
    "non_saturating": AdversarialLoss(logistic_discriminator, non_saturating_generator, False),
    "least_squares": AdversarialLoss(least_squares_discriminator, least_squares_generator, False),
    "hinge": AdversarialLoss(hinge_discriminator, linear_generator, False),
    "wasserstein": AdversarialLoss(wasserstein_discriminator, linear_generator, False),
    "relativistic": AdversarialLoss(relativistic_discriminator, relativistic_generator, True),
}


def _logits(real, fake):
    """Both in float32, before anything is computed: bfloat16 differences of large logits have no digits left."""
    chex.assert_rank([real, fake], 1)
    chex.assert_equal_shape([real, fake])
    return real.astype(jnp.float32), fake.astype(jnp.float32)
