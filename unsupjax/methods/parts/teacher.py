"""A teacher: an exponential moving average of the parameters that are trained."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from unsupjax.optimizers import updated


def copied(tree: Any) -> Any:
    """The same values in arrays of their own, so that a State that holds both can be donated."""
    return jax.tree.map(jnp.copy, tree)


def moved(teacher: Any, student: Any, momentum: jax.Array | float, opt_state: optax.OptState) -> Any:
    """`momentum * teacher + (1 - momentum) * student`, once per update of the student.

    Where gradients are accumulated (`optax.MultiSteps`), most steps leave the student as it is, and so they do the
    teacher: it would otherwise move as many times as fast.
    """
    momentum = jnp.where(updated(opt_state), momentum, 1.0)
    return jax.tree.map(lambda t, s: momentum * t + (1 - momentum) * s, teacher, student)


def cosine_momentum(start: float, step: jax.Array, total_steps: int) -> jax.Array:
    r""":math:`1 - (1 - \tau_0)(\cos(\pi k / K) + 1) / 2`: from `start` at step 0 to 1 at the last step.

    Source: Grill et al., "Bootstrap your own latent", NeurIPS 2020.
    """
    progress = jnp.clip(step / total_steps, 0.0, 1.0)
    return 1 - (1 - start) * (jnp.cos(jnp.pi * progress) + 1) / 2
