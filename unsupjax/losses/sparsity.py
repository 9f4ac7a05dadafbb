"""Penalties that keep most units of a code silent."""

import chex
import jax
import jax.numpy as jnp

from unsupjax.parallel.collectives import pmean


def kl_sparsity(
    activations: jax.Array, target: float = 0.05, *, axis_name: str | None = None, eps: float = 1e-6
) -> jax.Array:
    r"""KL divergence from a Bernoulli of the target activation to one of each unit's mean activation.

    :math:`\rho \log\frac{\rho}{\hat\rho_j} + (1-\rho)\log\frac{1-\rho}{1-\hat\rho_j}` with
    :math:`\hat\rho_j` the mean over the **global** batch: it is averaged over devices before the KL, which is
    not linear in it.

    Args:
        activations: `[B, D]`, in [0, 1] (a sigmoid's).
        target: the target activation rho, in (0, 1).
        axis_name: the mapped device axis, or None for arrays that hold the global batch.
        eps: mean activations are clipped to [eps, 1 - eps].

    Returns:
        `[D]` float32, nats a unit: a statistic of the batch, so there is no value for each example.

    Source: Ng, "Sparse autoencoder", CS294A lecture notes, 2011.
    """
    chex.assert_rank(activations, 2)
    mean = pmean(activations.astype(jnp.float32).mean(axis=0), axis_name)
    mean = jnp.clip(mean, eps, 1 - eps)
    return target * jnp.log(target / mean) + (1 - target) * jnp.log((1 - target) / (1 - mean))


def l1(activations: jax.Array) -> jax.Array:
    r"""Sum of absolute activations, :math:`\sum_j |h_j|`.

    Args:
        activations: `[B, D]`.

    Returns:
        `[B]` float32.

    A decoder whose dictionary is free to grow undoes this penalty by rescaling: keep its rows at unit norm.
    """
    chex.assert_rank(activations, 2)
    return jnp.abs(activations.astype(jnp.float32)).sum(axis=1)
