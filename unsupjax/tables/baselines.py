r"""Two models of a table that learn nothing deep: what a generator of tables must beat.

Both describe a column by its distinct values and their cumulative frequencies F: numbers in ascending order, texts by
falling frequency, missing first.
"""

from typing import NamedTuple

import numpy as np
import scipy.stats

from unsupjax.tables.schema import Column, Table


class Marginals(NamedTuple):
    """Of each column its distinct values `[K]` and their cumulative frequencies `[K]`, the last 1."""

    columns: tuple[Column, ...]
    values: tuple[np.ndarray, ...]
    cumulative: tuple[np.ndarray, ...]


class Copula(NamedTuple):
    """Marginals, and a factor `[J, J]` of the correlation of the normal scores: :math:`L L^T`."""

    marginals: Marginals
    factor: np.ndarray


def fit_marginals(table: Table) -> Marginals:
    """The frequencies of the values of every column."""
    parts = [_frequencies(c, v) for c, v in zip(table.columns, table.values, strict=True)]
    return Marginals(table.columns, *(tuple(p) for p in zip(*parts, strict=True)))


def sample_marginals(fitted: Marginals, seed: int, n: int) -> Table:
    """n rows whose columns are independent, each as frequent as in the table."""
    return _quantiles(fitted, np.random.default_rng(seed).random((n, len(fitted.columns))))


def fit_copula(table: Table, *, seed: int = 0) -> Copula:
    r"""A Gaussian copula: the correlation of the normal scores of all columns.

    The score of a value x is :math:`\Phi^{-1}(u)` with u uniform on its interval of cumulative frequencies,
    :math:`(F(x-), F(x)]`, so that numbers, ties and categories alike have normal scores.

    Source: Patki, Wedge and Veeramachaneni, "The synthetic data vault", DSAA 2016; for ties, Rüschendorf, "On the
    distributional transform, Sklar's theorem, and the empirical copula process", 2009.
    """
    fitted = fit_marginals(table)
    correlation = np.atleast_2d(np.corrcoef(scores(fitted, table, seed), rowvar=False))
    return Copula(fitted, factor(correlation))


def sample_copula(fitted: Copula, seed: int, n: int) -> Table:
    """n rows: correlated normal scores, and of each the value at that quantile of its column."""
    normal = np.random.default_rng(seed).standard_normal((n, len(fitted.factor)))
    return _quantiles(fitted.marginals, scipy.stats.norm.cdf(normal @ fitted.factor.T))


def factor(covariance: np.ndarray) -> np.ndarray:
    """L with :math:`L L^T` the covariance `[..., J, J]`, which may be singular."""
    eigenvalues, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(eigenvalues.clip(0))[..., None, :]


def scores(fitted: Marginals, table: Table, seed: int) -> np.ndarray:
    """Normal scores of every value, `[N, J]`."""
    random = np.random.default_rng(seed)
    parts = zip(fitted.values, fitted.cumulative, table.values, strict=True)
    return np.stack([_scores(*part, random) for part in parts], axis=1)


def _frequencies(column: Column, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distinct, counts = np.unique(values, return_counts=True)
    if not column.numeric:
        order = np.argsort(-counts, kind="stable")
        distinct, counts = distinct[order], counts[order]
    elif np.isnan(distinct[-1]):
        distinct, counts = np.roll(distinct, 1), np.roll(counts, 1)
    return distinct, np.cumsum(counts) / counts.sum()


def _scores(distinct, cumulative, values, random) -> np.ndarray:
    at = {v: i for i, v in enumerate(distinct.tolist()) if v == v}  # missing is at 0
    index = np.array([at.get(v, 0) for v in values.tolist()])
    low = np.concatenate([[0], cumulative[:-1]])
    u = low[index] + (cumulative - low)[index] * random.random(len(values))
    return scipy.stats.norm.ppf(u.clip(1e-9, 1 - 1e-9))


def _quantiles(fitted: Marginals, u: np.ndarray) -> Table:
    index = [np.searchsorted(c, u[:, j]).clip(max=len(c) - 1) for j, c in enumerate(fitted.cumulative)]
    return Table(fitted.columns, tuple(v[i] for v, i in zip(fitted.values, index, strict=True)))
