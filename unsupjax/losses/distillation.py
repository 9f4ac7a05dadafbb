"""Losses by which a student learns what a teacher says of the same example, as probabilities."""

import chex
import jax
import jax.numpy as jnp


def dino_targets(teacher_logits: jax.Array, center: jax.Array, temperature: float | jax.Array) -> jax.Array:
    r"""The probabilities that a student is to learn, :math:`\mathrm{softmax}((t - c) / \tau_t)`; no gradient.

    Args:
        teacher_logits: t, `[B, K]`, any float dtype.
        center: c, `[K]`, a running mean of the teacher's logits: no prototype is preferred for all examples.
        temperature: :math:`\tau_t > 0`; the lower, the sharper.

    Returns:
        `[B, K]` float32, rows that sum to 1.

    >>> dino_targets(jnp.array([[3.0, 1.0]]), jnp.array([2.0, 0.0]), 0.1)
    Array([[0.5, 0.5]], dtype=float32)

    Source: Caron et al., "Emerging properties in self-supervised vision transformers", ICCV 2021.
    """
    chex.assert_rank([teacher_logits, center], [2, 1])
    chex.assert_equal_shape_suffix([teacher_logits, center], 1)
    logits = teacher_logits.astype(jnp.float32) - center.astype(jnp.float32)[None]
    return jax.lax.stop_gradient(jax.nn.softmax(logits / temperature))


def dino(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    center: jax.Array,
    *,
    student_temperature: float | jax.Array = 0.1,
    teacher_temperature: float | jax.Array = 0.04,
) -> jax.Array:
    r"""DINO: cross-entropy of a student's probabilities against a teacher's, which are centred and sharpened.

    :math:`-\sum_k P_k \log \mathrm{softmax}(s / \tau_s)_k` with :math:`P = \mathrm{softmax}((t - c) / \tau_t)`. It is
    the entropy of P at least; the rest is the Kullback-Leibler divergence of the two.

    Args:
        student_logits: s, of one view of each example, `[B, K]`, any float dtype.
        teacher_logits: t, of another view, `[B, K]`; a constant of the gradient.
        center: c, `[K]`, a running mean of t; likewise.
        student_temperature: :math:`\tau_s > 0`.
        teacher_temperature: :math:`\tau_t > 0`, below :math:`\tau_s`: a teacher that is surer than its student.

    Returns:
        `[B]` float32, nats.

    >>> dino(jnp.array([[5.0, 5.0]]), jnp.array([[3.0, 1.0]]), jnp.zeros(2))  # the logarithm of 2
    Array([0.6931472], dtype=float32)

    Source: Caron et al., ICCV 2021, as above; its code.
    """
    chex.assert_equal_shape([student_logits, teacher_logits])
    targets = dino_targets(teacher_logits, center, teacher_temperature)
    logits = student_logits.astype(jnp.float32) / student_temperature
    return -(targets * jax.nn.log_softmax(logits)).sum(axis=1)
