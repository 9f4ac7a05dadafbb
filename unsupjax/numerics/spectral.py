"""Spectral norm of the kernels of a network, as pure functions of its parameters: the power iteration."""

from typing import Any

import jax
import jax.numpy as jnp


def power_iteration(params: Any, spectral: Any, steps: int = 1) -> Any:
    r"""Moves the vectors of every kernel towards its first singular ones: :math:`v = W^T u, u = W v`, of length 1.

    Calls of `models.SpectralDense` and `SpectralConv` never move them: one power iteration for each update of a
    discriminator is what they need; the update of a generator, a penalty and evaluation then see the same network.

    Args:
        params: parameters of a network.
        spectral: its collection "spectral", `{"u": [inputs], "v": [outputs]}` float32 where `params` have a kernel W,
            `[..., inputs, outputs]`, all axes but the last counting as inputs.
        steps: how many times.

    Returns:
        the collection, moved. No gradient passes.

    Source: Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018.
    """
    if "u" in spectral and not isinstance(spectral["u"], dict):
        w, u, v = jax.lax.stop_gradient((matrix(params["kernel"]), spectral["u"], spectral["v"]))
        u, v = jax.lax.fori_loop(0, steps, lambda _, uv: turn(w, uv[0]), (u, v))
        return {"u": u, "v": v}
    return {name: power_iteration(params[name], part, steps) for name, part in spectral.items()}


def matrix(kernel: jax.Array) -> jax.Array:
    """A kernel as a matrix `[inputs, outputs]`."""
    return kernel.reshape(-1, kernel.shape[-1])


def turn(matrix: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """u `[inputs]` and v `[outputs]` after one turn."""
    v = _unit(dot(u, matrix))
    return _unit(dot(matrix, v)), v


def dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """A product in full precision: sigma divides all, and an accelerator's short products are too coarse."""
    return jnp.matmul(a, b, precision="highest")


def _unit(x):
    return x / jnp.maximum(jnp.linalg.norm(x), 1e-12)
