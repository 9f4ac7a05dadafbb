r"""Gaussian copulas of mixed columns, and rows that start as a draw from one.

The latents are correlated normal scores z, one a column; :math:`\Phi(z_j)` is a quantile of column j, and a quantile is
a value, so z alone is a row. Each category that can be asked for has a mean and a covariance of its own, shrunk towards
what the copula of the whole table says of it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from unsupjax.methods.parts.tabular import Layout

LEVELS = 2048  # quantiles that are tabulated
_SURE = 5.0  # logit of a start: Gumbel noise overturns about one in a hundred
_TAIL = 1e-6
_EDGE = 0.99  # of a scalar, which tanh is to reach


class Latent(NamedTuple):
    """Tables over the quantiles u = 0 ... 1 of every column (Q levels), for J columns and H one-hot entries.

    Attributes:
        mean, factor: `[A, J]`, `[A, J, J]`, of the scores' distribution in each of A = C categories; A = 1 without any.
        low, high: `[C]`, the interval of scores of each category.
        logits: `[Q, H]`, of the modes and categories at a quantile.
        scalars: `[Q, M]`, what tanh takes to the number's scalar in each of the M modes.
    """

    mean: jax.Array
    factor: jax.Array
    low: jax.Array
    high: jax.Array
    logits: jax.Array
    scalars: jax.Array


def shapes(layout: Layout) -> Latent:
    """Of the arrays of a `Latent`."""
    columns, modes, categories = len(layout.hots), sum(layout.modes), sum(layout.sizes)
    a = max(1, categories)
    return Latent(
        (a, columns),
        (a, columns, columns),
        (categories,),
        (categories,),
        (LEVELS, modes + categories),
        (LEVELS, modes),
    )


def frequencies(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values `[K]`: numbers in ascending order, texts by falling frequency, missing numbers first.

    And their cumulative frequencies `[K]`, the last 1.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.dtype.kind == "U":
        order = np.argsort(-counts, kind="stable")
        distinct, counts = distinct[order], counts[order]
    elif np.isnan(distinct[-1]):
        distinct, counts = np.roll(distinct, 1), np.roll(counts, 1)
    return distinct, np.cumsum(counts) / counts.sum()


def normal_scores(values: Sequence[np.ndarray], seed: int) -> np.ndarray:
    r"""Normal scores `[N, J]` of every value of J columns `[N]`.

    The score of a value x is :math:`\Phi^{-1}(u)` with u uniform on its interval of cumulative frequencies,
    :math:`(F(x-), F(x)]`, so that numbers, ties and categories alike have normal scores.

    Source: Rüschendorf, "On the distributional transform, Sklar's theorem, and the empirical copula process", 2009.
    """
    random = np.random.default_rng(seed)
    return np.stack([_scores(v, *frequencies(v), random) for v in values], axis=1)


def _scores(values, distinct, cumulative, random) -> np.ndarray:
    import scipy.stats

    at = {v: i for i, v in enumerate(distinct.tolist()) if v == v}  # missing is at 0
    index = np.array([at.get(v, 0) for v in values.tolist()])
    low = np.concatenate([[0], cumulative[:-1]])
    u = low[index] + (cumulative - low)[index] * random.random(len(values))
    return scipy.stats.norm.ppf(u.clip(1e-9, 1 - 1e-9))


def factor(covariance: np.ndarray) -> np.ndarray:
    """L with :math:`L L^T` the covariance `[..., J, J]`, which may be singular."""
    eigenvalues, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(eigenvalues.clip(0))[..., None, :]


def fit(
    kind: Any, layout: Layout, values: Sequence[np.ndarray], *, copula: bool = True, seed: int = 0
) -> Latent:
    """The copula of a table's columns `[N]`; without `copula` the scores are independent and say nothing of values."""
    import scipy.stats

    numbers = [(kind.columns[i], values[i]) for i in layout.numbers]
    categories = [(kind.columns[i], values[i]) for i in layout.categories]
    bounds = [_bounds(column, v) for column, v in categories]
    if copula:
        scores = normal_scores([v for _, v in (*numbers, *categories)], seed)
        mean, covariance = _gaussians(scores, [(c.codes(v), c.width) for c, v in categories])
        starts = [_numbers(*number) for number in numbers]
        starts += [(_categories(*b), np.zeros((LEVELS, 0))) for b in bounds]
        logits, scalars = (np.concatenate(a, axis=1) for a in zip(*starts, strict=True))
    else:
        mean, covariance, _, _, logits, scalars = (np.zeros(shape) for shape in shapes(layout))
        covariance = covariance + np.eye(mean.shape[1])
    low, high = np.concatenate([np.zeros((2, 0)), *bounds], axis=1)
    margin = np.minimum(
        1 / LEVELS, (high - low) / 2
    )  # on an edge the tabulated quantile can be a neighbour's
    low, high = (scipy.stats.norm.ppf(u.clip(_TAIL, 1 - _TAIL)) for u in (low + margin, high - margin))
    return Latent(mean, factor(covariance), low, high, logits, scalars)


def _gaussians(scores: np.ndarray, codes: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
    r"""Means `[A, J]` and covariances `[A, J, J]` of the scores `[N, J]` of each category's rows.

    Given that score c has mean m and variance s^2, the copula of correlation R makes the scores' mean :math:`R_c m` and
    covariance :math:`R - (1 - s^2) R_c R_c^T`. These count as much as J rows for the covariance, and 5 for the mean.
    """
    r = np.corrcoef(scores, rowvar=False).reshape(scores.shape[1], -1)
    means, covariances = [], []
    for c, (code, size) in enumerate(codes, len(r) - len(codes)):
        for k in range(size):
            own = scores[code == k]
            if not len(own):  # a category that other rows than these have: it is never asked for
                own = scores
            m, s2 = own[:, c].mean(), own[:, c].var()
            mean, covariance = r[c] * m, r - (1 - s2) * np.outer(r[c], r[c])
            weight = len(own) / (len(own) + len(r))
            centred = own - own.mean(axis=0)
            covariances.append((1 - weight) * covariance + weight * centred.T @ centred / len(own))
            means.append((5 * mean + own.sum(axis=0)) / (len(own) + 5))
    return (np.array(means), np.array(covariances)) if means else (np.zeros((1, len(r))), r[None])


def draw(layout: Layout, latent: Latent, normal: jax.Array, category: jax.Array) -> jax.Array:
    """Scores `[n, J]` from normal numbers `[n, J]`, of rows that are to have the categories `[n]` int, of all C."""
    if not layout.sizes:
        return latent.mean + jnp.einsum("jk,nk->nj", latent.factor[0], normal, precision="highest")
    z = latent.mean[category] + jnp.einsum("njk,nk->nj", latent.factor[category], normal, precision="highest")
    column = jnp.asarray(layout.column)[sum(layout.modes) + category]
    inside = jnp.clip(z, latent.low[category][:, None], latent.high[category][:, None])
    return jnp.where(jnp.arange(z.shape[1])[None] == column[:, None], inside, z)


def start(layout: Layout, latent: Latent, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What scores `[B, J]` stand for: logits of all one-hot entries `[B, H]`, and scalars of all modes `[B, M]`."""
    level = jnp.clip((norm.cdf(z) * LEVELS).astype(jnp.int32), 0, LEVELS - 1)[:, layout.column]
    modes = latent.scalars.shape[1]
    logits = jnp.take_along_axis(latent.logits, level, axis=0)
    return logits, jnp.take_along_axis(latent.scalars, level[:, :modes], axis=0)


def _levels() -> np.ndarray:
    return (np.arange(LEVELS) + 0.5) / LEVELS


def _bounds(column: Any, values: np.ndarray) -> np.ndarray:
    """Low and high quantile of each category, `[2, K]`; both 0 of one that no row has."""
    distinct, high = frequencies(values)
    low = np.concatenate([[0], high[:-1]])
    found = np.zeros((2, column.width))
    found[:, column.codes(distinct)] = low, high
    return found


def _categories(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    u = _levels()[:, None]
    return np.where((u >= low) & (u < high), _SURE, 0)


def _numbers(column: Any, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each quantile, the logits of the column's modes and the number's scalar in each; missing comes first."""
    observed, missing = values[~np.isnan(values)], np.isnan(values).mean()
    u = _levels()
    numbers = np.quantile(observed, ((u - missing) / (1 - missing)).clip(0, 1))
    log_p, z = column.responsibilities(np.where(u < missing, np.nan, numbers))
    logits = (log_p - log_p.max(axis=1, keepdims=True)).clip(-2 * _SURE) + _SURE
    return logits, np.arctanh((z / 4).clip(-_EDGE, _EDGE))
