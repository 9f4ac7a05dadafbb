r"""Log-sum-exp over a matrix of inner products that need not stand in memory: the core of contrastive losses.

For rows :math:`q_i` and keys :math:`k_j`, each with an integer id,

.. math:: \ell_i = \log \sum_{j:\ \text{id}(k_j) \ne \text{id}(q_i)} \exp(q_i \cdot k_j).

Either all products stand in memory at once, or tiles of them are made one after the other, forward with a running
maximum and a running sum, and backward once more from the rows and keys. Where the rows are the keys the matrix is
symmetric and a tile serves both of its sides: with u the operations of one matrix product of all rows and keys,
dense costs 3 u forward and backward; in tiles it is 4 u, or 2 u of a symmetric matrix.

Source: the running maximum: Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018; in tiles with
recomputation: Dao et al., "FlashAttention", NeurIPS 2022.
"""

import chex
import jax
import jax.numpy as jnp

DROPPED = -1  # the id of a row or key that takes no part


def log_sum_exp(
    rows: jax.Array,
    keys: jax.Array | None,
    row_ids: jax.Array,
    key_ids: jax.Array | None,
    scale: jax.Array | float = 1.0,
    chunk_size: int | None = None,
) -> jax.Array:
    r""":math:`\log \sum_j \exp(\text{scale} \cdot q_i \cdot k_j)` over the keys whose id is another than the row's.

    Args:
        rows: q, float32 `[M, D]`.
        keys: k, float32 `[N, D]`; None: the rows are the keys, which costs half.
        row_ids: int32 `[M]`; -1 drops a row.
        key_ids: int32 `[N]`, or None as `keys`; -1 drops a key.
        scale: positive scalar; differentiable.
        chunk_size: rows and keys of a tile; None: one tile, which is kept for the backward pass.

    Returns:
        `[M]` float32; -inf where a row has no keys, and no gradient there.
    """
    chex.assert_rank([rows, row_ids], [2, 1])
    if chunk_size is None:
        return _dense(rows, keys, row_ids, key_ids, scale)
    if keys is None:
        z, ids = _tiles(rows * jnp.sqrt(scale), row_ids, chunk_size)
        return _gram_stream(z, ids).reshape(-1)[: len(rows)]
    rows, keys = _same_type(rows * scale, keys)
    tiled_rows, tiled_keys = _tiles(rows, row_ids, chunk_size), _tiles(keys, key_ids, chunk_size)
    return _stream(*tiled_rows, *tiled_keys).reshape(-1)[: len(rows)]


def highest(
    rows: jax.Array,
    keys: jax.Array | None,
    row_ids: jax.Array,
    key_ids: jax.Array | None,
    chunk_size: int | None = None,
) -> jax.Array:
    """The largest inner product of each row with a key of another id, `[M]`: arguments as above, no gradient."""
    rows, keys = jax.lax.stop_gradient((rows, keys))
    if chunk_size is None:
        return _masked(_products(rows, keys), row_ids, key_ids).max(axis=1)
    keys, key_ids = (rows, row_ids) if keys is None else (keys, key_ids)
    rows, keys = _same_type(rows, keys)
    tiled_keys = _tiles(keys, key_ids, chunk_size)

    def of_rows(tile):
        step = lambda top, other: (jnp.maximum(top, _tile(*tile, *other).max(axis=1)), None)
        return jax.lax.scan(step, jnp.full_like(tile[0][:, 0], -jnp.inf), tiled_keys)[0]

    return jax.lax.map(of_rows, _tiles(rows, row_ids, chunk_size)).reshape(-1)[: len(rows)]


def _matmul(a, b):
    return jnp.matmul(a, b, precision="highest")


def _products(rows, keys):
    return _matmul(rows, (rows if keys is None else keys).T)


def _masked(products, row_ids, key_ids):
    """Products `[M, N]`, -inf where the ids are equal or one of them is dropped."""
    key_ids = row_ids if key_ids is None else key_ids
    taken = (row_ids != DROPPED)[:, None] & (key_ids != DROPPED)[None] & (row_ids[:, None] != key_ids[None])
    return jnp.where(taken, products, -jnp.inf)


def _finite(x):
    return jnp.where(x > -jnp.inf, x, 0)


def _dense(rows, keys, row_ids, key_ids, scale):
    # Scaled after the product, so that the compiler shares the product with `highest`.
    logits = _masked(_products(rows, keys) * scale, row_ids, key_ids)
    top = _finite(jax.lax.stop_gradient(logits.max(axis=1)))
    total = jnp.exp(logits - top[:, None]).sum(axis=1)
    return jnp.where(total > 0, top + jnp.log(jnp.where(total > 0, total, 1)), -jnp.inf)


def _same_type(a, b):
    """The arrays, each varying over the devices that either varies over; in a `shard_map` a loop needs that.

    A selection between equals is the one operation that does so in every version, and is compiled away.
    """
    either = jnp.isnan(a[0, 0] + b[0, 0])
    return jnp.where(either, a, a), jnp.where(either, b, b)


def _tiles(x, ids, chunk_size):
    """Rows `[N, D]` and ids as `[T, C, D]` and `[T, C]`, T as few and C as small as may be; dropped rows fill up."""
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, not {chunk_size}")
    count = -(-len(x) // chunk_size)
    size = -(-len(x) // count)
    missing = count * size - len(x)
    x = jnp.pad(x, ((0, missing), (0, 0)))
    ids = jnp.pad(ids, (0, missing), constant_values=DROPPED)
    return x.reshape(count, size, -1), ids.reshape(count, size)


def _tile(rows, row_ids, keys, key_ids):
    return _masked(_matmul(rows, keys.T), row_ids, key_ids)


def _empty(rows):
    """Running maximum and sum of `[..., D]`, before the first key."""
    return jnp.full_like(rows[..., 0], -jnp.inf), jnp.zeros_like(rows[..., 0])


def _absorb(running, logits, axis):
    """The running maximum and sum of exponentials less it, after one more tile."""
    top, total = running
    new = jnp.maximum(top, logits.max(axis=axis))
    shift = _finite(new)
    return new, total * jnp.exp(top - shift) + jnp.exp(logits - jnp.expand_dims(shift, axis)).sum(axis=axis)


def _settle(running):
    return _finite(running[0]) + jnp.log(running[1])


@jax.custom_vjp
def _stream(rows, row_ids, keys, key_ids):
    """Log-sum-exp of tiles, `[R, C]`, with one tile of products at a time."""

    def of_rows(tile):
        step = lambda running, other: (_absorb(running, _tile(*tile, *other), axis=1), None)
        return _settle(jax.lax.scan(step, _empty(tile[0]), (keys, key_ids))[0])

    return jax.lax.map(of_rows, (rows, row_ids))


def _stream_forward(*tiles):
    value = _stream(*tiles)
    return value, (*tiles, value)


def _stream_backward(residuals, g):
    rows, row_ids, keys, key_ids, value = residuals

    def of_rows(d_keys, tile):
        q, ids, value, g = tile

        def of_keys(d_q, other):
            k, k_ids, d_k = other
            weight = g[:, None] * jnp.exp(_tile(q, ids, k, k_ids) - value[:, None])
            return d_q + _matmul(weight, k), d_k + _matmul(weight.T, q)

        d_q, d_keys = jax.lax.scan(of_keys, jnp.zeros_like(q), (keys, key_ids, d_keys))
        return d_keys, d_q

    d_keys, d_rows = jax.lax.scan(of_rows, jnp.zeros_like(keys), (rows, row_ids, _finite(value), g))
    return d_rows, None, d_keys, None


_stream.defvjp(_stream_forward, _stream_backward)


@jax.custom_vjp
def _gram_stream(z, ids):
    """Log-sum-exp where rows are keys, `[T, C]`: tiles above the diagonal count for their rows and their columns."""

    def of_rows(i, running):
        def pair(j, carry):
            own, running = carry
            logits = _tile(z[i], ids[i], z[j], ids[j])
            return _absorb(own, logits, axis=1), _put(running, j, _absorb(_at(running, j), logits, axis=0))

        own = _absorb(_at(running, i), _tile(z[i], ids[i], z[i], ids[i]), axis=1)
        own, running = jax.lax.fori_loop(i + 1, len(z), pair, (own, running))
        return _put(running, i, own)

    return _settle(jax.lax.fori_loop(0, len(z), of_rows, _empty(z)))


def _at(tree, i):
    return jax.tree.map(lambda x: x[i], tree)


def _put(tree, i, values):
    return jax.tree.map(lambda x, v: x.at[i].set(v), tree, values)


def _gram_forward(z, ids):
    value = _gram_stream(z, ids)
    return value, (z, ids, value)


def _gram_backward(residuals, g):
    z, ids, value = residuals
    value = _finite(value)

    def weights(i, j):  # of both sides: how the rows i draw on the keys j, and the rows j on the keys i
        logits = _tile(z[i], ids[i], z[j], ids[j])
        side = lambda i, axis: jnp.expand_dims(g[i], axis) * jnp.exp(logits - jnp.expand_dims(value[i], axis))
        return side(i, 1) + side(j, 0)

    def of_rows(i, d_z):
        def pair(j, carry):
            own, d_z = carry
            weight = weights(i, j)
            return own + _matmul(weight, z[j]), d_z.at[j].add(_matmul(weight.T, z[i]))

        own, d_z = jax.lax.fori_loop(i + 1, len(z), pair, (d_z[i] + _matmul(weights(i, i), z[i]), d_z))
        return d_z.at[i].set(own)

    return jax.lax.fori_loop(0, len(z), of_rows, jnp.zeros_like(z)), None


_gram_stream.defvjp(_gram_forward, _gram_backward)
