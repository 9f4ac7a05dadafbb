r"""Two models of a table that learn nothing deep: what a generator of tables must beat.

Both describe a column by its distinct values and their cumulative frequencies F: numbers in ascending order, texts by
falling frequency, missing first.
"""

from typing import NamedTuple

import numpy as np
import scipy.stats

from unsupjax.data.columns import Column, Table
from unsupjax.evaluate.synthesis.table_report import check, report
from unsupjax.methods.parts.copula import factor, frequencies, normal_scores


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
    parts = [frequencies(values) for values in table.values]
    return Marginals(table.columns, *(tuple(p) for p in zip(*parts, strict=True)))


def sample_marginals(fitted: Marginals, seed: int, n: int) -> Table:
    """n rows whose columns are independent, each as frequent as in the table."""
    return _quantiles(fitted, np.random.default_rng(seed).random((n, len(fitted.columns))))


def fit_copula(table: Table, *, seed: int = 0) -> Copula:
    r"""A Gaussian copula: the correlation of the normal scores of all columns.

    Source: Patki, Wedge and Veeramachaneni, "The synthetic data vault", DSAA 2016.
    """
    correlation = np.atleast_2d(np.corrcoef(normal_scores(table.values, seed), rowvar=False))
    return Copula(fit_marginals(table), factor(correlation))


def compare(
    real_train: Table, real_test: Table, synthetic: Table, *, target: str | None = None, seed: int = 0
) -> dict[str, dict[str, float]]:
    """`report` of the synthetic rows, and of as many from the baselines fitted on `real_train`.

    Returns:
        The reports called "synthetic", "copula" (a Gaussian one) and "marginals" (independent columns).
    """
    check(real_train, real_test, synthetic)
    n = synthetic.rows
    tables = {
        "synthetic": synthetic,
        "copula": sample_copula(fit_copula(real_train, seed=seed), seed, n),
        "marginals": sample_marginals(fit_marginals(real_train), seed, n),
    }
    return {k: report(real_train, real_test, t, target=target, seed=seed) for k, t in tables.items()}


def sample_copula(fitted: Copula, seed: int, n: int) -> Table:
    """n rows: correlated normal scores, and of each the value at that quantile of its column."""
    normal = np.random.default_rng(seed).standard_normal((n, len(fitted.factor)))
    return _quantiles(fitted.marginals, scipy.stats.norm.cdf(normal @ fitted.factor.T))


def _quantiles(fitted: Marginals, u: np.ndarray) -> Table:
    index = [np.searchsorted(c, u[:, j]).clip(max=len(c) - 1) for j, c in enumerate(fitted.cumulative)]
    return Table(fitted.columns, tuple(v[i] for v, i in zip(fitted.values, index, strict=True)))
