r"""Where the generator starts: the Gaussian copula of the table, in the form of the transform's vectors.

The generator's latents are correlated normal scores z, one a modelled column; :math:`\Phi(z_j)` is a quantile of column
j, and a quantile is a value, so z alone is a row. Each category that can be asked for has a mean and a covariance of
its own, shrunk towards what the copula of the whole table says of it. The networks learn what such a row lacks.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jax.scipy.stats import norm

from unsupjax.tables import baselines
from unsupjax.tables.schema import Table
from unsupjax.tables.transform import Transform, responsibilities
from unsupjax.tables.transform import codes as codes_of

_LEVELS = 2048  # quantiles that are tabulated
_SURE = 5.0  # logit of a start: Gumbel noise overturns about one in a hundred
_TAIL = 1e-6
_EDGE = 0.99  # of a scalar, which tanh is to reach


class Latent(NamedTuple):
    """Tables over the quantiles u = 0 ... 1 of every column (Q levels), for J columns and H one-hot entries.

    Attributes:
        mean, factor: `[A, J]`, `[A, J, J]`, of the scores' distribution in each of A = C categories; A = 1 without any.
        low, high: `[C]`, the interval of scores of each category.
        column: `[H]` int32, which of the J columns an entry belongs to.
        logits: `[Q, H]`, of the modes and categories at a quantile.
        scalars: `[Q, M]`, what tanh takes to the number's scalar in each of the M modes.
        spread: `[M]`, 1 for modes that are an interval and 0 for those that are one value.
    """

    mean: jax.Array
    factor: jax.Array
    low: jax.Array
    high: jax.Array
    column: jax.Array
    logits: jax.Array
    scalars: jax.Array
    spread: jax.Array


def fit(transform: Transform, table: Table, *, copula: bool = True, seed: int = 0) -> Latent:
    """The copula of the modelled columns; without `copula` the scores are independent and say nothing about values."""
    parts = (*transform.continuous, *transform.discrete)
    sizes = [len(p.mean) for p in transform.continuous] + [len(p.categories) for p in transform.discrete]
    column = np.repeat(np.arange(len(parts)), sizes)
    marginals = baselines.fit_marginals(table)
    scores = baselines.scores(marginals, table, seed)[:, [p.column for p in parts]]
    bounds = [_bounds(marginals, part) for part in transform.discrete]
    spread = np.concatenate([[], *(part.scale > 0 for part in transform.continuous)])
    if copula:
        mean, covariance = _gaussians(transform, table, scores)
        starts = [_numbers(part, table.values[part.column]) for part in transform.continuous]
        starts += [(_categories(*b), np.zeros((_LEVELS, 0))) for b in bounds]
        logits, scalars = (np.concatenate(a, axis=1) for a in zip(*starts, strict=True))
    else:
        n = max(1, sum(sizes[len(transform.continuous) :]))
        mean, covariance = np.zeros((n, len(parts))), np.tile(np.eye(len(parts)), (n, 1, 1))
        logits, scalars = np.zeros((_LEVELS, sum(sizes))), np.zeros((_LEVELS, len(spread)))
    low, high = np.concatenate([np.zeros((2, 0)), *bounds], axis=1)
    margin = np.minimum(
        1 / _LEVELS, (high - low) / 2
    )  # on an edge the tabulated quantile can be a neighbour's
    low, high = (scipy.stats.norm.ppf(u.clip(_TAIL, 1 - _TAIL)) for u in (low + margin, high - margin))
    a, b = (mean, baselines.factor(covariance), low, high), (logits, scalars, spread)
    a, b = ([jnp.asarray(v, jnp.float32) for v in vs] for vs in (a, b))
    return Latent(*a, jnp.asarray(column, jnp.int32), *b)


def _gaussians(transform: Transform, table: Table, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Means `[A, J]` and covariances `[A, J, J]` of the scores `[N, J]` of each category's rows.

    Given that score c has mean m and variance s^2, the copula of correlation R makes the scores' mean :math:`R_c m` and
    covariance :math:`R - (1 - s^2) R_c R_c^T`. These count as much as J rows for the covariance, and 5 for the mean.
    """
    r = np.corrcoef(scores, rowvar=False).reshape(scores.shape[1], -1)
    means, covariances = [], []
    for i, part in enumerate(transform.discrete):
        c, codes = len(transform.continuous) + i, codes_of(transform, part, table)
        for k in range(len(part.categories)):
            own = scores[codes == k]
            m, s2 = own[:, c].mean(), own[:, c].var()
            mean, covariance = r[c] * m, r - (1 - s2) * np.outer(r[c], r[c])
            weight = len(own) / (len(own) + len(r))
            centred = own - own.mean(axis=0)
            covariances.append((1 - weight) * covariance + weight * centred.T @ centred / len(own))
            means.append((5 * mean + own.sum(axis=0)) / (len(own) + 5))
    return (np.array(means), np.array(covariances)) if means else (np.zeros((1, len(r))), r[None])


def draw(latent: Latent, key: jax.Array, n: int, category: jax.Array | None) -> jax.Array:
    """Scores `[n, J]` of rows that are to have the categories `category`, int `[n]` of all C; None: there are none."""
    a = jnp.zeros(n, jnp.int32) if category is None else category
    normal = jax.random.normal(key, (n, latent.mean.shape[1]))
    z = latent.mean[a] + jnp.einsum("njk,nk->nj", latent.factor[a], normal, precision="highest")
    if category is None:
        return z
    column = latent.column[len(latent.column) - len(latent.low) + category]
    inside = jnp.clip(z, latent.low[category][:, None], latent.high[category][:, None])
    return jnp.where(jnp.arange(z.shape[1])[None] == column[:, None], inside, z)


def start(latent: Latent, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What scores `[B, J]` stand for: logits of all one-hot entries `[B, H]`, and scalars of all modes `[B, M]`."""
    level = jnp.clip((norm.cdf(z) * _LEVELS).astype(jnp.int32), 0, _LEVELS - 1)[:, latent.column]
    modes = latent.scalars.shape[1]
    logits = jnp.take_along_axis(latent.logits, level, axis=0)
    return logits, jnp.take_along_axis(latent.scalars, level[:, :modes], axis=0)


def _levels() -> np.ndarray:
    return (np.arange(_LEVELS) + 0.5) / _LEVELS


def _bounds(marginals: baselines.Marginals, part) -> np.ndarray:
    """Low and high quantile of each category, `[2, K]`."""
    values, high = marginals.values[part.column], marginals.cumulative[part.column]
    low = np.concatenate([[0], high[:-1]])
    at = {"missing" if v != v else v: i for i, v in enumerate(values.tolist())}
    index = [at["missing" if v != v else v] for v in part.categories.tolist()]
    return np.stack([low[index], high[index]])


def _categories(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    u = _levels()[:, None]
    return np.where((u >= low) & (u < high), _SURE, 0)


def _numbers(part, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each quantile, the logits of the column's modes and the number's scalar in each; missing comes first."""
    observed, missing = values[~np.isnan(values)], np.isnan(values).mean()
    u = _levels()
    numbers = np.quantile(observed, ((u - missing) / (1 - missing)).clip(0, 1))
    log_p, z = responsibilities(part, np.where(u < missing, np.nan, numbers))
    logits = (log_p - log_p.max(axis=1, keepdims=True)).clip(-2 * _SURE) + _SURE
    return logits, np.arctanh((z / 4).clip(-_EDGE, _EDGE))
