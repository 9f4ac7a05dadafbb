"""Residual and product quantisation: k-means codes of a few integers for each row, and back.

The use that shapes it are semantic item IDs for recommendation: short tuples of codes of which similar items share
the first (residual quantisation), made unique by one more level.

Sources: residual: Chen, Guan and Wang, "Approximate nearest neighbor search by residual vector quantization",
Sensors 2010. Product: Jégou, Douze and Schmid, "Product quantization for nearest neighbor search", TPAMI 2011. IDs:
Rajput et al., "Recommender systems with generative retrieval" (TIGER), NeurIPS 2023.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from unsupjax.cluster import codebook
from unsupjax.cluster.codes import report as report
from unsupjax.cluster.codes import unique_codes as unique_codes
from unsupjax.errors import UserError
from unsupjax.numerics import checks, nearest


class Residual(NamedTuple):
    """Codebooks of residual quantisation.

    Attributes:
        centers: float32 `[L, K, D]`; a row is approximated by a sum of L centres, one of each level.
        errors: mean over rows of the squared distance left after each level, float32 `[L]`.
    """

    centers: jax.Array
    errors: jax.Array


class Product(NamedTuple):
    """Codebooks of product quantisation.

    Attributes:
        centers: float32 `[M, K, D / M]`; a row is approximated by M centres in a line, one of each subspace.
        errors: mean over rows of the squared distance in each subspace, float32 `[M]`; their sum is that of rows.
    """

    centers: jax.Array
    errors: jax.Array


Codebooks = Residual | Product


def residual(
    key: jax.Array,
    x: ArrayLike,
    *,
    codes: int = 256,
    levels: int = 3,
    restarts: int = 1,
    iterations: int = 100,
    tolerance: float = 1e-4,
    init: str = "k-means++",
    weights: jax.Array | None = None,
    axis_name: str | None = None,
) -> Residual:
    r"""Level l clusters, by k-means, what the levels before it left over:

    .. math:: r_1 = x, \qquad r_{l+1} = r_l - c^l_{i_l(r_l)}, \qquad i_l(r) = \arg\min_k \|r - c^l_k\|

    Above 32 features k-means starts along 32 principal directions (`codebook.learn` says why). Codes that it leaves
    without rows are put on the rows farthest from their own centres, so that all K are used at each level unless
    fewer distinct rows are left than codes.

    Jitted; under `jit` and `shard_map` too. Memory beyond x is O(N D + L K D); no `[N, K]` array is made.

    Args:
        key: typed PRNG key of the starts.
        x: rows, `[N, D]`, real; computed in float32. Under `axis_name` this device's share of them.
        codes: K, at each level; at most N.
        levels: L.
        restarts, iterations, tolerance, init: of each level's `kmeans.fit`; init is one of its names.
        weights: of the rows, `[N]`, not negative; None: 1 each.
        axis_name: the mapped device axis, as in `kmeans.fit`.

    Raises:
        UserError: x is not a finite table (not seen under `jit`).
        ValueError: sizes that do not fit.
    """
    if levels < 1:
        raise ValueError(f"{levels=} must be at least 1")
    x = checks.device_rows(x, "residual").astype(jnp.float32)
    weights = checks.weights(weights, len(x), "residual")
    return _residual(
        key, x, levels=levels, k=codes, init=init, restarts=restarts, iterations=iterations, tolerance=tolerance,
        weights=weights, axis_name=axis_name,
    )  # fmt: skip


_STATIC = ("k", "init", "restarts", "iterations", "axis_name")


@functools.partial(jax.jit, static_argnames=("levels", *_STATIC))
def _residual(key, x, *, levels, **options) -> Residual:
    def level(rows, key):
        centers, labels, error = codebook.learn(key, rows, **options)
        return rows - centers[labels], (centers, error)

    return Residual(*jax.lax.scan(level, x, jax.random.split(key, levels))[1])


def product(
    key: jax.Array,
    x: ArrayLike,
    *,
    codes: int = 256,
    subspaces: int = 8,
    restarts: int = 1,
    iterations: int = 100,
    tolerance: float = 1e-4,
    init: str = "k-means++",
    weights: jax.Array | None = None,
    axis_name: str | None = None,
) -> Product:
    """Clusters each of M runs of D / M neighbouring features by itself: K^M centres for the price of M K.

    Args and Raises as `residual`, and subspaces: M, which divides D. Codes without rows are treated alike.
    """
    parts = _split(checks.device_rows(x, "product").astype(jnp.float32), subspaces)
    weights = checks.weights(weights, parts.shape[1], "product")
    return _product(
        key, parts, k=codes, init=init, restarts=restarts, iterations=iterations, tolerance=tolerance,
        weights=weights, axis_name=axis_name,
    )  # fmt: skip


@functools.partial(jax.jit, static_argnames=_STATIC)
def _product(key, parts, **options) -> Product:
    learn = lambda key_and_part: codebook.learn(*key_and_part, **options)
    centers, _, errors = jax.lax.map(learn, (jax.random.split(key, len(parts)), parts))
    return Product(centers, errors)


def _split(x: jax.Array, subspaces: int) -> jax.Array:
    """Rows `[N, D]` as `[M, N, D / M]`."""
    n, d = x.shape
    if subspaces < 1 or d % subspaces:
        fitting = sorted((m for m in range(1, d + 1) if d % m == 0), key=lambda m: abs(m - subspaces))
        nearest_two = " or ".join(str(m) for m in sorted(fitting[:2]))
        raise ValueError(
            f"subspaces={subspaces} does not divide {d} features; the nearest that do: {nearest_two}"
        )
    return x.reshape(n, subspaces, d // subspaces).transpose(1, 0, 2)


def encode(codebooks: Codebooks, x: ArrayLike) -> jax.Array:
    """The codes of rows: int32 `[N, L]` in [0, K); jitted.

    Residual codes are chosen greedily, level by level: a sum of other centres may lie nearer.

    Args:
        codebooks: what `residual` (L levels) or `product` (L = M subspaces) gave.
        x: rows, `[N, D]`.

    Raises:
        UserError: x is not a finite table (under an outer `jit`: code K stands where a row holds NaN), or has another
            number of features than the codebooks.
    """
    x = checks.device_rows(x, "encode").astype(jnp.float32)
    levels, _, width = codebooks.centers.shape
    d = levels * width if isinstance(codebooks, Product) else width
    if x.shape[1] != d:
        raise UserError(f"encode: rows of shape {x.shape} have {x.shape[1]} features, and the codebooks {d}")
    return _encode(codebooks, x)


@jax.jit
def _encode(codebooks: Codebooks, x: jax.Array) -> jax.Array:
    if isinstance(codebooks, Product):
        parts = _split(x, len(codebooks.centers))
        find = lambda part_and_centers: nearest.find(*part_and_centers)[0]
        return jax.lax.map(find, (parts, codebooks.centers)).T

    def level(rows, centers):
        index, _ = nearest.find(rows, centers)
        return rows - centers[index], index

    return jax.lax.scan(level, x, codebooks.centers)[1].T


@jax.jit
def decode(codebooks: Codebooks, codes: jax.Array) -> jax.Array:
    """What codes stand for: float32 `[N, D]`.

    Args:
        codebooks: what `residual` or `product` gave.
        codes: integers `[N, L]`; of residual codes also fewer, the first levels alone.

    Raises:
        ValueError: more codes a row than codebooks, or of product codes fewer.
    """
    levels, given = len(codebooks.centers), codes.shape[1]
    if given > levels or (isinstance(codebooks, Product) and given < levels):
        raise ValueError(f"decode: {given} codes a row for {levels} codebooks")
    parts = [codebooks.centers[l][codes[:, l]] for l in range(given)]
    return jnp.concatenate(parts, axis=1) if isinstance(codebooks, Product) else sum(parts[1:], parts[0])
