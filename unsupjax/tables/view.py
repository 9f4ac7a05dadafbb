"""What the critic sees of a vector: the vector itself, its numbers, and their principal components."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.tables.networks import Layout
from unsupjax.tables.transform import Transform

_FLOOR = 1e-2  # standard deviation below which a component counts as constant
_WEIGHT = 0.3  # of the whitened components beside the rest


class View(NamedTuple):
    """Linear maps from vectors to numbers of unit variance, and on to whitened components.

    Attributes:
        mean, slope: `[M, J]`, of J continuous columns the mean of each mode, and what its scalar is multiplied by.
        centre: `[J]`, of the numbers.
        whiten: `[J, J]`.
    """

    mean: jax.Array
    slope: jax.Array
    centre: jax.Array
    whiten: jax.Array


def fit(transform: Transform, layout: Layout, vectors: np.ndarray) -> View:
    """The view of a table's vectors `[N, D]`. Missing numbers stand at the mean."""
    mean, slope = np.zeros((2, sum(layout.modes), layout.scalars))
    at = 0
    for j, part in enumerate(transform.continuous):
        there = ~np.isnan(part.mean)
        weight = np.where(there, part.weight, 0) / part.weight[there].sum()
        centred = np.where(there, part.mean - weight[there] @ part.mean[there], 0)
        deviation = np.sqrt(weight @ (centred**2 + part.scale**2))
        rows = slice(at, at + len(part.mean))
        mean[rows, j], slope[rows, j] = centred / deviation, 4 * part.scale / deviation
        at = rows.stop
    view = View(*(jnp.asarray(a, jnp.float32) for a in (mean, slope)), jnp.zeros(()), jnp.zeros(()))
    x = np.asarray(numbers(view, layout, jnp.asarray(vectors)), np.float64)
    centre = x.mean(axis=0)
    eigenvalues, axes = np.linalg.eigh((x - centre).T @ (x - centre) / len(x))
    whiten = axes / np.sqrt(eigenvalues.clip(0) + _FLOOR**2)
    return view._replace(centre=jnp.asarray(centre, jnp.float32), whiten=jnp.asarray(whiten, jnp.float32))


def numbers(view: View, layout: Layout, vectors: jax.Array) -> jax.Array:
    """The continuous columns of vectors `[B, D]` in units of their standard deviation, `[B, J]`."""
    scalars = vectors[:, : layout.scalars]
    modes = vectors[:, layout.scalars : layout.scalars + sum(layout.modes)]
    return _matmul(modes, view.mean) + _matmul(modes, view.slope) * scalars


def see(view: View, layout: Layout, vectors: jax.Array, condition: jax.Array) -> jax.Array:
    """What the critic is given, `[B, D + C + 2 J]`.

    Columns that nearly determine each other (a radius and an area) do so in a direction of little variance, which a
    critic of bounded slope overlooks unless it is stretched.
    """
    x = numbers(view, layout, vectors)
    components = _WEIGHT * _matmul(x - view.centre[None], view.whiten)
    return jnp.concatenate([vectors, condition, x, components], axis=1)


def _matmul(a, b):
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
