r"""Gradient penalties, which keep a discriminator smooth, and the check that its examples are independent.

A critic is a function `x [B, ...] -> logits [B]`, closed over its parameters; each penalty can be differentiated with
respect to these, a gradient of a gradient. Examples and samples are constants: a penalty trains the critic alone.

All take `grad(sum of logits)` for every example's own gradient at once, which is right only if the logit of an
example depends on no other example of the batch. `check_independent` refuses a critic of which this is not so.
"""

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

_EPSILON = 1e-12  # inside the root of a squared norm: the root has no gradient at 0


def gradient_norm2(critic: Callable, x: jax.Array) -> jax.Array:
    r"""Squared norm of the critic's gradient, :math:`\|\nabla_x D(x)\|^2`: R1 at real examples, R2 at samples.

    The papers' penalty is :math:`\frac\gamma2` times its mean; half and weight are the caller's.

    Args:
        critic: `[B, ...] -> [B]`, independent examples.
        x: `[B, ...]`, any float dtype; a constant of the gradient.

    Returns:
        `[B]` float32, summed over every axis but the batch.

    >>> gradient_norm2(lambda x: x @ jnp.array([3.0, 4.0]), jnp.zeros((1, 2)))
    Array([25.], dtype=float32)

    Source: Mescheder, Geiger and Nowozin, "Which training methods for GANs do actually converge?", ICML 2018, Eq. 9.
    """

    def total(x):
        logits = critic(x)
        chex.assert_shape(logits, x.shape[:1])
        return logits.astype(jnp.float32).sum()

    gradient = jax.grad(total)(_constant(x))
    return jnp.square(gradient).reshape(x.shape[0], -1).sum(axis=1)


def wgan_gp(
    critic: Callable, real: jax.Array, fake: jax.Array, keys: jax.Array, *, target: float = 1.0
) -> jax.Array:
    r"""WGAN-GP, :math:`(\|\nabla_{\hat x} D(\hat x)\| - t)^2` at a point of the line between an example and a sample.

    :math:`\hat x_i = \epsilon_i x_i + (1 - \epsilon_i) \tilde x_i`, one :math:`\epsilon_i \sim U(0, 1)` for each i.
    The norm is :math:`\sqrt{\|\cdot\|^2 + 10^{-12}}` over all event axes, so that a gradient of 0 is penalised with a
    finite gradient; for a critic of packed examples the event is the pack.

    Args:
        critic: `[B, ...] -> [B]`, independent examples.
        real: x, `[B, ...]`; a constant of the gradient.
        fake: :math:`\tilde x`, `[B, ...]`; a constant of the gradient.
        keys: typed random keys, `[B]`, one for each i.
        target: t, the norm that costs nothing.

    Returns:
        `[B]` float32; the paper's weight is 10.

    >>> critic, keys = lambda x: x @ jnp.array([3.0, 4.0]), jax.random.split(jax.random.key(0), 1)
    >>> wgan_gp(critic, jnp.ones((1, 2)), jnp.zeros((1, 2)), keys)  # (5 - 1)^2
    Array([16.], dtype=float32)

    Source: Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017, Eq. 3.
    """
    chex.assert_equal_shape([real, fake])
    chex.assert_shape(keys, real.shape[:1])
    epsilon = jax.vmap(jax.random.uniform)(keys).reshape(-1, *(1 for _ in real.shape[1:]))
    between = epsilon * _constant(real) + (1 - epsilon) * _constant(fake)
    norm = jnp.sqrt(gradient_norm2(critic, between) + _EPSILON)
    return jnp.square(norm - target)


def check_independent(critic: Callable, shape: Sequence[int], *, rows: int = 4) -> None:
    r"""Refuses a critic whose logit of an example depends on other examples of the batch.

    At random inputs in [0, 1], every :math:`\partial D_i / \partial x_j` with :math:`i \ne j` must be 0, exactly. A
    dependence without a derivative (on statistics under `stop_gradient`) is not seen, and does a penalty no harm. Nor
    is one that the critic's parameters hide: where a layer or a residual branch starts at zero, check with others.

    It computes with numbers, also where it is called while an outer `jit` or `eval_shape` is being traced: the critic's
    parameters must then be numbers too, made under `jax.ensure_compile_time_eval()`.

    Args:
        critic: `[rows, *shape] -> [rows]`, as it is in training.
        shape: of one example.
        rows: how many examples to try, at least 2; as many as the critic's layers group together.

    Raises:
        ValueError: the critic's examples depend on each other, or its parameters are being traced.

    >>> check_independent(lambda x: x.sum(axis=1), (3,))
    """
    if rows < 2:
        raise ValueError(f"rows={rows}: dependence shows with 2 examples or more")
    with jax.ensure_compile_time_eval():
        x = jax.random.uniform(jax.random.key(0), (rows, *shape))
        jacobian = jax.jit(jax.jacrev(critic))(x)
    if isinstance(jacobian, jax.core.Tracer):
        raise ValueError(
            "the critic's parameters are being traced by an outer transformation: its examples cannot be "
            "checked; make them under jax.ensure_compile_time_eval()"
        )
    chex.assert_shape(jacobian, (rows, rows, *shape))
    size = np.abs(np.asarray(jacobian, np.float32)).reshape(rows, rows, -1).max(axis=2)
    if (size[~np.eye(rows, dtype=bool)] > 0).any():
        raise ValueError(
            "a gradient penalty needs a discriminator whose answer for an example depends on no other example of the "
            "batch, and here it does; batch norm in training mode and minibatch standard deviation do that. Normalise "
            "each example on its own (layer, group or spectral norm), or set no penalty"
        )


def _constant(x: jax.Array) -> jax.Array:
    return jax.lax.stop_gradient(x.astype(jnp.float32))
