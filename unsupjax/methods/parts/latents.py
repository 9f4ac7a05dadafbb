"""Ways between latent vectors."""

import jax
import jax.numpy as jnp


def between(a: jax.Array, b: jax.Array, steps: int) -> jax.Array:
    """`[B, steps, L]`: points on the great circle from each row of a `[B, L]` to that of b, both ends counted."""
    return jax.vmap(lambda t: great_circle(a, b, t), out_axes=1)(jnp.linspace(0, 1, steps))


def great_circle(a: jax.Array, b: jax.Array, t: jax.Array) -> jax.Array:
    """Points `[B, L]` between rows of a and b, at share t of the angle between them; lengths change linearly.

    On the straight line between two normal vectors lie shorter ones than a generator has ever seen.
    """
    lengths = [jnp.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b)]
    u, v = a / lengths[0], b / lengths[1]
    angle = jnp.arccos(jnp.clip((u * v).sum(-1, keepdims=True), -1 + 1e-6, 1 - 1e-6))
    direction = (jnp.sin((1 - t) * angle) * u + jnp.sin(t * angle) * v) / jnp.sin(angle)
    return direction * ((1 - t) * lengths[0] + t * lengths[1])
