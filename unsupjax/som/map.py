"""A self-organizing map: a codebook on a grid."""

import dataclasses
import functools

import jax

from unsupjax.som.grid import Grid

METRICS = ("euclidean", "cosine", "manhattan")


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("codebook",), meta_fields=("grid", "metric")
)
@dataclasses.dataclass(frozen=True)
class Map:
    """A trained self-organizing map; a pytree whose one leaf is the codebook.

    Attributes:
        codebook: what each unit stands for, float32 `[K, D]`; unit `r * W + c` is that of row r, column c.
        grid: where the units lie.
        metric: how far a point is from a unit: "euclidean", "cosine" (1 - cosine similarity) or "manhattan".
    """

    codebook: jax.Array
    grid: Grid
    metric: str = "euclidean"
