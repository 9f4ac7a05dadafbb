"""Squared distances as sums of squared differences, which no distance from zero and no outlier makes less exact."""

import jax
import jax.numpy as jnp
import numpy as np

_UNROLLED = 16  # features in one fused expression; more are summed by a loop


def squared_distances(
    x: jax.Array, y: jax.Array, limit: jax.Array | float = np.inf, missing: bool = False
) -> jax.Array:
    r""":math:`\sum_d (x_{di} - y_{dj})^2`, abandoned once all are known to exceed a limit.

    Args:
        x: `[D, A]`, one column a point; NaN columns give NaN.
        y: `[D, B]`.
        limit: where all partial sums exceed it, they are returned as they are.
        missing: NaN entries are left out of the sums instead.

    Returns:
        `[A, B]`; a value above `limit` may be less than the squared distance, one up to it is complete.
    """
    rest = x.shape[0] % _UNROLLED
    # zeros_like and not zeros: under shard_map the result varies over devices as x and y do.
    shape = x.shape[1], y.shape[1]
    nothing = jnp.zeros_like(x, shape=shape) + jnp.zeros_like(y, shape=shape)
    total = _added(nothing, x[:rest], y[:rest], missing)
    if x.shape[0] == _UNROLLED:  # without a loop the comparison that follows is fused in
        return _added(total, x, y, missing)
    if x.shape[0] < _UNROLLED:
        return total

    def add(state):
        start, total = state
        parts = (jax.lax.dynamic_slice_in_dim(a, start, _UNROLLED) for a in (x, y))
        return start + _UNROLLED, _added(total, *parts, missing)

    def unfinished(state):
        start, total = state
        return (start < x.shape[0]) & jnp.any(total <= limit)

    return jax.lax.while_loop(unfinished, add, (jnp.int32(rest), total))[1]


def _added(total: jax.Array, x: jax.Array, y: jax.Array, missing: bool) -> jax.Array:
    for k in range(x.shape[0]):
        squared = jnp.square(x[k][:, None] - y[k][None, :])
        total = total + (jnp.where(jnp.isnan(squared), 0, squared) if missing else squared)
    return total
