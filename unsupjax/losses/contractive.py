r"""Squared Frobenius norms of an encoder's Jacobian, :math:`\|\partial h / \partial x\|_F^2`.

Source: Rifai et al., "Contractive auto-encoders: explicit invariance during feature extraction", ICML 2011.
"""

import math
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp


def jacobian_sigmoid(code: jax.Array, kernel: jax.Array) -> jax.Array:
    r"""Closed form for one sigmoid layer :math:`h = \sigma(xW + b)`.

    :math:`\sum_j (h_j (1 - h_j))^2 \sum_i W_{ij}^2`: O(D H) for the kernel once and O(H) an example, where the
    Jacobian itself has D H entries an example.

    Args:
        code: activations after the sigmoid, `[B, H]`.
        kernel: W, `[D, H]`.

    Returns:
        `[B]` float32.
    """
    chex.assert_rank([code, kernel], 2)
    code = code.astype(jnp.float32)
    # A sum, not `square(...) @ ...`: exact in float32 whatever the default matmul precision.
    column_norms = jnp.square(kernel.astype(jnp.float32)).sum(axis=0)
    return (jnp.square(code * (1 - code)) * column_norms[None]).sum(axis=1)


def jacobian_exact(encode: Callable, x: jax.Array) -> jax.Array:
    """Exact, for any differentiable encoder: one forward or reverse pass for each input or code dimension.

    Args:
        encode: `[B, ...] -> [B, H]`, each example encoded independently of the others.
        x: inputs, `[B, ...]`.

    Returns:
        `[B]` float32. Costs min(D, H) passes of the encoder: reverse mode where H <= D, else forward mode.
    """

    def one(example):
        f = lambda v: encode(v[None])[0].astype(jnp.float32)
        (width,) = jax.eval_shape(f, example).shape
        jacobian = (jax.jacrev if width <= math.prod(example.shape) else jax.jacfwd)(f)(example)
        return jnp.square(jacobian).sum()

    return jax.vmap(one)(x)


def jacobian_hutchinson(encode: Callable, x: jax.Array, keys: jax.Array, probes: int = 1) -> jax.Array:
    r"""Hutchinson's unbiased estimate :math:`\frac1n \sum_{i=1}^n \|J^\top v_i\|^2` with random-sign probes.

    Args:
        encode: `[B, ...] -> [B, H]`, each example encoded independently of the others.
        x: inputs, `[B, ...]`.
        keys: one key an example, `[B]`.
        probes: n, the number of reverse passes; the variance falls as 1/n.

    Returns:
        `[B]` float32, with expectation :math:`\|J\|_F^2`.

    Source: Hutchinson, "A stochastic estimator of the trace of the influence matrix", 1989.
    """

    code, pullback = jax.vjp(encode, x)
    signs = jax.vmap(lambda key: jax.random.rademacher(key, (probes, *code.shape[1:]), code.dtype))(keys)

    def one_probe(v):
        (cotangent,) = pullback(v)
        return jnp.square(cotangent.astype(jnp.float32)).reshape(x.shape[0], -1).sum(axis=1)

    return jax.vmap(one_probe, in_axes=1)(signs).mean(axis=0)
