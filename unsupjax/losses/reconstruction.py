"""How far a decoder's output is from its input: negative log-likelihoods, summed over the event."""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


def _sum_event(x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], -1).sum(axis=1)


def squared_error(output: jax.Array, x: jax.Array) -> jax.Array:
    r"""Squared error, :math:`\sum_i (\hat x_i - x_i)^2`.

    Args:
        output: reconstructions, `[B, ...]`.
        x: inputs, `[B, ...]`.

    Returns:
        `[B]` float32, summed (not averaged) over everything but the batch.

    >>> squared_error(jnp.zeros((2, 3)), jnp.ones((2, 3)))
    Array([3., 3.], dtype=float32)
    """
    chex.assert_equal_shape([output, x])
    return _sum_event(jnp.square(output.astype(jnp.float32) - x.astype(jnp.float32)))


def gaussian_nll(mean: jax.Array, x: jax.Array, scale: float = 1.0) -> jax.Array:
    r"""Negative log-likelihood of `x` under :math:`\mathcal N(\text{mean}, \text{scale}^2 I)`, in nats.

    Args:
        mean: decoder output, `[B, ...]`.
        x: inputs, `[B, ...]`.
        scale: standard deviation of every element.

    Returns:
        `[B]` float32, summed over the event.
    """
    chex.assert_equal_shape([mean, x])
    error = (x.astype(jnp.float32) - mean.astype(jnp.float32)) / scale
    return _sum_event(0.5 * (jnp.square(error) + jnp.log(2 * jnp.pi)) + jnp.log(scale))


@jax.custom_jvp
def _cross_entropy(logits: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.maximum(logits, 0) - x * logits + jnp.log1p(jnp.exp(-jnp.abs(logits)))


@_cross_entropy.defjvp
def _cross_entropy_jvp(primals, tangents):
    # What differentiation finds is as right, and costs twice as many operations.
    (logits, x), (d_logits, d_x) = primals, tangents
    return _cross_entropy(logits, x), (jax.nn.sigmoid(logits) - x) * d_logits - logits * d_x


def bernoulli_nll(logits: jax.Array, x: jax.Array) -> jax.Array:
    r"""Negative log-likelihood of `x` under independent Bernoullis, in nats; also called cross-entropy.

    :math:`\sum_i \operatorname{softplus}(l_i) - x_i l_i`: finite for every finite logit. For `x` strictly
    between 0 and 1 it is a cross-entropy and no longer a likelihood.

    Args:
        logits: decoder output, `[B, ...]`.
        x: inputs in [0, 1], `[B, ...]`.

    Returns:
        `[B]` float32, summed over the event.
    """
    chex.assert_equal_shape([logits, x])
    terms = _cross_entropy(logits.astype(jnp.float32), x.astype(jnp.float32)).reshape(x.shape[0], -1)
    # A sum, as a product with ones: XLA:CPU would fuse a plain sum with the logarithms into one slow loop, which made
    # a training step four times as long.
    return jnp.matmul(terms, jnp.ones(terms.shape[1]), precision="highest")


def multinomial_nll(logits: jax.Array, counts: jax.Array) -> jax.Array:
    r""":math:`-\sum_i x_i \log \mathrm{softmax}_i(\ell)`: of draws from one multinomial, less what no logit changes.

    Args:
        logits: `[B, V]`.
        counts: `[B, V]`, how often each item was drawn.

    Returns:
        `[B]` float32, in nats; 0 for a row without draws.

    >>> print(multinomial_nll(jnp.zeros((1, 4)), jnp.array([[2.0, 0, 1, 0]])))  # 3 log 4
    [4.158883]

    Source: Liang et al., WWW 2018, equation 2.
    """
    chex.assert_rank([logits, counts], 2)
    chex.assert_equal_shape([logits, counts])
    return -jnp.sum(counts * jax.nn.log_softmax(logits.astype(jnp.float32)), axis=-1)


class Likelihood(NamedTuple):
    """p(x | decoder output): what a decoder's output means.

    Attributes:
        nll: `(output, x) -> [B]`, the negative log-likelihood (or the error that stands for it).
        mean: `output -> x`, the reconstruction.
    """

    nll: Callable
    mean: Callable


def gaussian(scale: float = 1.0) -> Likelihood:
    """A Gaussian of fixed standard deviation `scale`, whose mean is the decoder's output."""
    return Likelihood(lambda output, x: gaussian_nll(output, x, scale), lambda output: output)


LIKELIHOODS = {
    "squared_error": Likelihood(squared_error, lambda output: output),
    "gaussian": gaussian(),
    "bernoulli": Likelihood(bernoulli_nll, jax.nn.sigmoid),
}


def likelihood(choice: str | Likelihood) -> Likelihood:
    """The `Likelihood` of that name, or `choice` itself; ValueError with the names there are otherwise."""
    if isinstance(choice, Likelihood):
        return choice
    if choice not in LIKELIHOODS:
        raise ValueError(f"unknown likelihood {choice!r}; one of {', '.join(LIKELIHOODS)}")
    return LIKELIHOODS[choice]
