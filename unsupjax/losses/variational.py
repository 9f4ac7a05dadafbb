"""Terms of the evidence lower bound and its importance-weighted tightening."""

import math

import chex
import jax
import jax.numpy as jnp


def kl_standard_normal(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    r"""KL divergence from :math:`\mathcal N(\mu, \operatorname{diag} \sigma^2)` to :math:`\mathcal N(0, I)`.

    :math:`\frac12 \sum_j (\mu_j^2 + \sigma_j^2 - \log\sigma_j^2 - 1)`.

    Args:
        mean: mu, `[B, D]`.
        log_variance: log sigma^2, `[B, D]`.

    Returns:
        `[B]` float32, nats.

    >>> kl_standard_normal(jnp.zeros((1, 4)), jnp.zeros((1, 4)))
    Array([0.], dtype=float32)

    Source: Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix B.
    """
    chex.assert_rank([mean, log_variance], 2)
    chex.assert_equal_shape([mean, log_variance])
    mean, log_variance = mean.astype(jnp.float32), log_variance.astype(jnp.float32)
    # expm1 keeps the difference of two nearly equal numbers exact around log_variance = 0.
    return 0.5 * (jnp.square(mean) + jnp.expm1(log_variance) - log_variance).sum(axis=1)


def normal_log_prob(z: jax.Array, mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    r"""Log-density of `z` under :math:`\mathcal N(\mu, \operatorname{diag} \sigma^2)`, summed over the last axis.

    Args:
        z, mean, log_variance: arrays that broadcast to `[..., D]`.

    Returns:
        `[...]` float32, nats.
    """
    error = jnp.square(z - mean) * jnp.exp(-log_variance)
    return -0.5 * (error + log_variance + math.log(2 * math.pi)).sum(axis=-1)


def importance_weighted_bound(log_weights: jax.Array) -> jax.Array:
    r"""Lower bound on log p(x) from K samples, :math:`\log \frac1K \sum_k w_k`.

    With :math:`\log w_k = \log p(x, z_k) - \log q(z_k | x)` it is the evidence lower bound for K = 1, does not
    fall in expectation as K grows, and tends to log p(x).

    Args:
        log_weights: log w, `[K, B]`, nats.

    Returns:
        `[B]` float32, nats.

    Source: Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", ICLR 2016.
    """
    chex.assert_rank(log_weights, 2)
    log_weights = log_weights.astype(jnp.float32)
    return jax.nn.logsumexp(log_weights, axis=0) - math.log(log_weights.shape[0])
