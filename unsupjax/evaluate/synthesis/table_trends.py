"""Distributions of columns, and of pairs of columns, in two tables."""

import itertools

import numpy as np

from unsupjax.data.columns import Column, Table

_BINS = 10


def column_shapes(real: Table, synthetic: Table) -> float:
    r"""Mean over columns of one minus a distance of the distributions, 1 where they are the same and 0 where disjoint.

    The distance of continuous columns is Kolmogorov's and Smirnov's, :math:`\max_x |F(x) - G(x)|`, of the numbers that
    are not missing; of discrete ones total variation, :math:`\sum_k |p_k - q_k| / 2`, missing being a category.
    """
    scores = []
    for column, a, b in zip(real.columns, real.values, synthetic.values, strict=True):
        scores.append(1 - (variation(a, b) if column.discrete else _kolmogorov_smirnov(a, b)))
    return float(np.mean(scores))


def pair_trends(real: Table, synthetic: Table) -> float:
    r"""Mean over pairs of columns of how alike their relations are, 1 being best; NaN of a single column.

    Of two continuous columns :math:`1 - |\rho - \rho'| / 2` with Spearman's correlations of rows that miss neither
    number, 0 where a column is constant. Of other pairs one minus the total variation of the tables of counts; a
    continuous column is cut at the deciles that it has in `real`, and missing is a category.
    """
    codes = [_codes(*part) for part in zip(real.columns, real.values, synthetic.values, strict=True)]
    scores = []
    for i, j in itertools.combinations(range(len(codes)), 2):
        if real.columns[i].discrete or real.columns[j].discrete:
            size = max(c.max() for c in codes[j]) + 1
            scores.append(1 - variation(*(a * size + b for a, b in zip(codes[i], codes[j], strict=True))))
        else:
            rho = [_spearman(t.values[i], t.values[j]) for t in (real, synthetic)]
            scores.append(1 - abs(rho[0] - rho[1]) / 2)
    return float(np.mean(scores)) if scores else float("nan")


def variation(a: np.ndarray, b: np.ndarray) -> float:
    """Total variation of the values of a and of b."""
    values, index = np.unique(np.concatenate([a, b]), return_inverse=True)
    p = np.bincount(index[: len(a)], minlength=len(values)) / len(a)
    q = np.bincount(index[len(a) :], minlength=len(values)) / len(b)
    return float(np.abs(p - q).sum() / 2)


def _kolmogorov_smirnov(a: np.ndarray, b: np.ndarray) -> float:
    """1 where one has no numbers and the other has, 0 where none has any."""
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    if not len(a) or not len(b):
        return float(len(a) != len(b))
    import scipy.stats

    return float(scipy.stats.ks_2samp(a, b).statistic)


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    import scipy.stats

    there = ~(np.isnan(a) | np.isnan(b))
    a, b = (scipy.stats.rankdata(v[there]) for v in (a, b))
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _codes(column: Column, real: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Categories of both tables' values, ints from 0."""
    if column.discrete:
        _, codes = np.unique(np.concatenate([real, synthetic]), return_inverse=True)
        return codes[: len(real)], codes[len(real) :]
    known = real[~np.isnan(real)]
    edges = np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]) if len(known) else np.zeros(0)
    return tuple(
        np.where(np.isnan(v), _BINS, np.searchsorted(edges, v, side="right")) for v in (real, synthetic)
    )
