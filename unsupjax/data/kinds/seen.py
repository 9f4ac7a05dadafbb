"""What all kinds share of what a method sees."""

from typing import Any

import jax
import jax.numpy as jnp

from unsupjax.errors import UserError


def as_float32(kind: Any, x: jax.Array) -> jax.Array:
    """Numbers `[B, *kind.shape]` as float32.

    Raises:
        UserError: examples of another shape, which a network might flatten and take; told while it is compiled.
    """
    if x.shape[1:] != kind.shape:
        raise UserError(f"{kind.name} of shape {x.shape[1:]}, where the model takes {kind.shape}")
    return x.astype(jnp.float32)


def example(kind: Any) -> jax.ShapeDtypeStruct:
    """One seen example, without data."""
    return jax.ShapeDtypeStruct(kind.shape, jnp.float32)
