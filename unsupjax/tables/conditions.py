"""Training by sampling: categories that the generator is asked for, and the real rows that answer them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Conditions(NamedTuple):
    """Rows by category, for J discrete columns of at most K categories, C altogether.

    Attributes:
        log_weight: `[J, K]`, the logarithm of what training draws a category in proportion to, log(1 + count); -inf
            where a column has no such category.
        start: `[J, K]` int32, where the rows of a category begin in `rows`.
        count: `[J, K]` int32, how many there are.
        rows: `[J, N]` int32: of each column all rows, sorted by category.
        offset: `[J]` int32, where a column's one-hot begins among all categories.
    """

    log_weight: jax.Array
    start: jax.Array
    count: jax.Array
    rows: jax.Array
    offset: jax.Array


def conditions(codes: np.ndarray, sizes: tuple[int, ...]) -> Conditions:
    """The conditions of rows whose categories are `codes` `[N, J]`, int, below `sizes` (J of them)."""
    n, j = codes.shape
    k = max(sizes, default=1)
    count = np.zeros((j, k), np.int64)
    for i in range(j):
        count[i] = np.bincount(codes[:, i], minlength=k)
    with np.errstate(divide="ignore"):
        log_weight = np.log(np.log1p(count))
    start = np.cumsum(count, axis=1) - count
    rows = np.argsort(codes, axis=0, kind="stable").T.reshape(j, n)
    offset = np.cumsum((0, *sizes[:-1]))[:j]
    whole = (jnp.asarray(a, jnp.int32) for a in (start, count, rows, offset))
    return Conditions(jnp.asarray(log_weight, jnp.float32), *whole)


def draw(conditions: Conditions, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A category and one of its rows: `vmap` over keys makes a batch.

    The column is drawn uniformly, its category in proportion to log(1 + count), so that rare ones are learnt too, and
    the row uniformly among those of the category.

    Returns:
        The category's position among all C, and the row's among N; int32 scalars.

    Source: Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019, section 4.3.
    """
    for_column, for_category, for_row = jax.random.split(key, 3)
    column = jax.random.randint(for_column, (), 0, len(conditions.offset))
    category = jax.random.categorical(for_category, conditions.log_weight[column])
    nth = jax.random.randint(for_row, (), 0, conditions.count[column, category])
    row = conditions.rows[column, conditions.start[column, category] + nth]
    return conditions.offset[column] + category.astype(jnp.int32), row


def draw_as_is(conditions: Conditions, key: jax.Array) -> jax.Array:
    """As `draw`, with categories as frequent as they are: what sampling asks for. The category's position, int32."""
    for_column, for_category = jax.random.split(key)
    column = jax.random.randint(for_column, (), 0, len(conditions.offset))
    category = jax.random.categorical(for_category, jnp.log(conditions.count[column]))
    return conditions.offset[column] + category.astype(jnp.int32)
