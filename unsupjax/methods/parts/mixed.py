"""Rows of numbers, dates and categories as a network of likelihoods sees them, a linear model of their columns, and
distances to the nearest of them."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.methods.parts.subspace import to_others
from unsupjax.numerics.nearest import lowest

_EPS = 1e-2  # of a standardised variance
_FIT = 20_000  # rows that the linear model is fitted to, evenly spaced
_MEMORY = 10_000  # rows that others are compared with, evenly spaced, and
_NUMBERS = 2**24  # their entries, at most
_QUERIES = 2_000  # of them, that tell what a usual distance is
_SAME = 1e-4  # the greatest difference of an entry of a row from itself, by rounding
_LEAST = 1e-6
_BOUND = 50.0
_KNOTS = 257  # of a column's normal scores
_HEAVY = 10.0  # deviations from the mean, beyond which a training value makes a column one of heavy tails


class Layout(NamedTuple):
    """Where the entries of J columns lie in a stored row `[W]` and in what a network sees of it, `[E]`.

    Attributes:
        numbers: entries of numbers and dates, first, int `[N]`, and
        mean, std: what their stored values are of.
        hots: first entry and width of each one-hot category.
        codes: the entry of each category that is stored by its index, and how many values it has.
        order: of each of the J columns, in the order of the kind, its place among numbers, then one-hot categories,
            then the others.
        column: of each seen entry which of these it belongs to, int `[E]`.
    """

    numbers: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    hots: tuple[tuple[int, int], ...]
    codes: tuple[tuple[int, int], ...]
    order: np.ndarray
    column: np.ndarray

    @property
    def width(self) -> int:
        """E: of each number a value and whether it is missing, of a one-hot an entry a category and one for none of
        them, of an index how rare the category is, and whether it is none of them."""
        return 2 * len(self.numbers) + sum(k + 1 for _, k in self.hots) + 2 * len(self.codes)

    @property
    def starts(self) -> list[int]:
        """Of each category, its first seen entry."""
        ends = np.cumsum([2 * len(self.numbers), *(k + 1 for _, k in self.hots)])
        return ends[:-1].tolist()


def layout(kind: Any) -> Layout:
    """Of a kind's rows; ValueError for another kind, or for numbers by modes."""
    if getattr(kind, "name", None) != "table":
        raise ValueError(f"it models rows of tables, and this is {getattr(kind, 'name', 'no')} data")
    if other := next((c for c in kind.columns if c.type == "modes"), None):
        raise ValueError(
            f"column {other.name!r} is stored by its modes: set config.data.numbers='standardised'"
        )
    pairs = list(zip(kind.columns, kind.starts, strict=True))
    plain = [(c, s) for c, s in pairs if c.type not in ("category", "index")]
    hots = tuple((s, c.width) for c, s in pairs if c.type == "category")
    codes = tuple((s, c.size) for c, s in pairs if c.type == "index")
    n, m = len(plain), len(plain) + len(hots)
    places, seen = [], {"category": n, "index": m}
    for c, _ in pairs:
        places.append(seen.get(c.type, seen.get("plain", 0)))
        seen[c.type if c.type in seen else "plain"] = places[-1] + 1
    column = np.concatenate(
        [
            *(np.arange(n), np.arange(n)),
            *(np.full(k + 1, n + i) for i, (_, k) in enumerate(hots)),
            np.repeat(np.arange(len(codes)) + m, 2),
        ]
    )
    numbers = np.array([s for _, s in plain], np.int64)
    mean, std = (np.array([getattr(c, name) for c, _ in plain], np.float64) for name in ("mean", "std"))
    return Layout(numbers, mean, std, hots, codes, np.array(places, np.int64), column.astype(np.int64))


class Copula(NamedTuple):
    """Numbers as normal variables of the same quantiles, and what their Gaussian is; arrays float32.

    Attributes:
        knots: values of each number as it is seen, ascending, `[N, Q]`, and
        scores: the normal variable of each: where the quantile of a value is half of what equals it.
        mean: of the entries, those of numbers by their scores, `[E]`.
        precision: the inverse of their covariance, shrunk, `[E, E]`.
    """

    knots: np.ndarray
    scores: np.ndarray
    mean: np.ndarray
    precision: np.ndarray


class Known(NamedTuple):
    """What is known of the training rows; arrays float32.

    Attributes:
        heavy: 1 of numbers with heavy tails, which are seen by their logarithms, `[N]`.
        centre, scale: of the numbers, `[N]`.
        mean: of the seen entries, `[E]`.
        deviation: of each, 1 for one that is constant, `[E]`.
        precision: the inverse of their covariance, shrunk, `[E, E]`.
        axes, variance: principal components of the entries in deviations, `[E, E]`, `[E]`.
        memory: seen entries of training rows, less their mean, `[M, E]`, and
        places: of these rows, those of categories that are stored so, int32 `[M, C]`.
        usual: the standard deviations over training rows of the two sums of surprises, of the distance to the nearest
            other row, and of the sum of the copula's surprises, `[4]`.
        log_share: of each category that is stored by its index, the logarithm of every value's share, `[K]` each.
        copula: see there.
    """

    heavy: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    precision: np.ndarray
    axes: np.ndarray
    variance: np.ndarray
    memory: np.ndarray
    places: np.ndarray
    usual: np.ndarray
    log_share: tuple[np.ndarray, ...]
    copula: Copula


def raw_numbers(made: Layout, heavy: Any, x: Any, np: Any = jnp) -> Any:
    r"""Numbers of stored rows `[B, W]`; of heavy tails :math:`\mathrm{sign}(v) \ln(1 + |v|)` in the user's units."""
    z = x[:, made.numbers]
    v = z * made.std.astype("float32")[None] + made.mean.astype("float32")[None]
    return np.where(heavy[None] > 0, np.sign(v) * np.log1p(np.abs(v)), z)


def stored_numbers(made: Layout, heavy: jax.Array, seen: jax.Array) -> jax.Array:
    """The inverse of `raw_numbers`, `[B, N]`."""
    v = jnp.sign(seen) * jnp.expm1(jnp.clip(jnp.abs(seen), 0, 80))
    z = (v - made.mean.astype(np.float32)[None]) / made.std.astype(np.float32)[None]
    return jnp.where(heavy[None] > 0, z, seen)


def seen(made: Layout, known: Any, x: Any, np: Any = jnp) -> Any:
    """What a network sees of stored rows `[B, W]`, `[B, E]`; of `known` the first three are asked for."""
    v = (raw_numbers(made, known.heavy, x, np) - known.centre[None]) / known.scale[None]
    gone = np.isnan(v)
    parts = [np.clip(np.where(gone, 0.0, v), -_BOUND, _BOUND), gone.astype("float32")]
    for start, k in made.hots:
        hot = x[:, start : start + k]
        parts += [hot, 1 - hot.sum(axis=1, keepdims=True)]
    for (at, _), log_share in zip(made.codes, known.log_share, strict=True):
        code = x[:, at].astype("int32")
        parts += [_rarity(log_share, np)[code][:, None], (code[:, None] < 0).astype("float32")]
    return np.concatenate(parts, axis=1)


def _rarity(log_share: Any, np: Any) -> Any:
    """How rare each value of a category is, standardised over rows; the last, which -1 finds, is of any other."""
    p = np.exp(log_share)
    mean = np.sum(p * log_share)
    std = np.sqrt(np.sum(p * np.square(log_share - mean)))
    other = log_share.min()[None] - math.log(2)
    return (mean - np.concatenate([log_share, other])) / np.maximum(std, 1e-2)


def normal(made: Layout, copula: Copula, y: jax.Array) -> jax.Array:
    """Seen entries `[B, E]` with the normal scores of numbers in their place; beyond the knots as far as they are."""
    n = len(made.numbers)
    v, missing = y[:, :n], y[:, n : 2 * n]
    inside = jnp.clip(v, copula.knots[:, 0][None], copula.knots[:, -1][None])
    scores = jax.vmap(jnp.interp, (1, 0, 0), 1)(inside, copula.knots, copula.scores) if n else v
    return y.at[:, :n].set(jnp.where(missing > 0, 0.0, scores + v - inside))


def _knots(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a column's values 257, at even distances of their normal scores (of fewer the last repeated), and these."""
    from scipy.special import ndtri

    values, counts = np.unique(v, return_counts=True) if len(v) else (np.zeros(1), np.ones(1))
    ends = np.cumsum(counts)
    scores = ndtri((ends - counts / 2) / ends[-1])
    if len(values) > _KNOTS:
        kept = np.searchsorted(scores, np.linspace(scores[0], scores[-1], _KNOTS)).clip(max=len(values) - 1)
        values, scores = values[kept], scores[kept]
    pad = (0, _KNOTS - len(values))
    return np.pad(values, pad, "edge"), np.pad(scores, pad, "edge")


def known(made: Layout, rows: np.ndarray | None, examples: int) -> Callable[[], Known]:
    """`() -> Known` of that many training rows, found on the host at the first call; zeros alike without rows."""
    n, e = len(made.numbers), made.width
    kept = min(_MEMORY, examples, max(_NUMBERS // e, 2))

    @functools.cache
    def found() -> Known:
        zeros = lambda *of: np.zeros(of, np.float32)
        if rows is None:
            shapes = (
                zeros(n),
                zeros(n),
                zeros(n),
                zeros(e),
                zeros(e),
                zeros(e, e),
                zeros(e, e),
                zeros(e),
                zeros(kept, e),
                zeros(kept, len(made.codes)).astype(np.int32),
                zeros(4),
                tuple(zeros(k) for _, k in made.codes),
                Copula(zeros(n, _KNOTS), zeros(n, _KNOTS), zeros(e), zeros(e, e)),
            )
            return Known(*shapes)
        some = np.asarray(rows[np.unique(np.linspace(0, len(rows) - 1, _FIT).astype(np.int64))], np.float32)
        z = np.nan_to_num(some[:, made.numbers])
        heavy = (np.abs(z).max(axis=0, initial=0) > _HEAVY).astype(np.float32)
        with np.errstate(invalid="ignore"):
            v = raw_numbers(made, heavy, some, np).astype(np.float64)
        there = ~np.isnan(v)
        count = np.maximum(there.sum(axis=0), 1)
        centre = np.where(there, v, 0).sum(axis=0) / count
        scale = np.sqrt(np.where(there, (v - centre) ** 2, 0).sum(axis=0) / count)
        scale = np.where(scale > _LEAST * np.maximum(np.abs(centre), 1), scale, 1.0)
        shares = (_share(rows[:, at], k) for at, k in made.codes)
        log_share = tuple(np.log(p).astype(np.float32) for p in shares)
        first = Known(heavy, centre, scale, *[None] * 8, log_share=log_share, copula=None)
        y = seen(made, first, some, np).astype(np.float64)
        copula = _copula(made, y)
        mean, deviation = y.mean(axis=0), y.std(axis=0)
        deviation = np.where(deviation > 1e-9, deviation, 1.0)
        y -= mean
        precision = np.linalg.inv(y.T @ y / len(y) + _EPS * np.eye(e))
        z = y / deviation
        variance, axes = np.linalg.eigh(z.T @ z / len(z))
        remembered = (np.arange(kept) * (len(y) / kept)).astype(np.int64)
        memory, places = y[remembered], some[remembered][:, [at for at, _ in made.codes]]
        raw = [
            heavy,
            centre,
            scale,
            mean,
            deviation,
            precision,
            axes,
            variance.clip(0) + _EPS,
            memory,
        ]
        raw = (np.asarray(a, np.float32) for a in raw)
        result = Known(*raw, places.astype(np.int32), zeros(4), log_share, copula)
        with jax.ensure_compile_time_eval():  # it may be asked for while a function is traced
            y = jnp.asarray(y, jnp.float32)
            models = conditional, whitened, by_copula
            *sums, last = (np.asarray(f(made, result, y)).sum(axis=1).std() for f in models)
        some = memory[np.unique(np.linspace(0, kept - 1, _QUERIES).astype(np.int64))]
        sums.append(np.concatenate([to_others(q, memory, 1) for q in np.array_split(some, 10)]).std())
        sums.append(last)
        return result._replace(usual=np.maximum(np.array(sums, np.float32), _LEAST))

    return found


def _share(codes: np.ndarray, k: int) -> np.ndarray:
    """Of each of K values, of which all that were not met count for half a row."""
    counts = np.bincount(codes[codes >= 0].astype(np.int64), minlength=k)
    return np.maximum(counts, 0.5) / max(len(codes), 1)


def _copula(made: Layout, y: np.ndarray) -> Copula:
    """Of seen entries of training rows."""
    n, e = len(made.numbers), made.width
    pairs = [_knots(y[y[:, n + j] == 0, j]) for j in range(n)]
    knots, scores = (np.array([p[i] for p in pairs], np.float32).reshape(n, _KNOTS) for i in (0, 1))
    with jax.ensure_compile_time_eval():
        z = np.asarray(
            normal(made, Copula(knots, scores, None, None), jnp.asarray(y, jnp.float32)), np.float64
        )
    mean = z.mean(axis=0)
    z -= mean
    precision = np.linalg.inv(z.T @ z / len(z) + _EPS * np.eye(e))
    return Copula(knots, scores, mean.astype(np.float32), precision.astype(np.float32))


def kept(known: Known) -> Known:
    """Without arrays that have no entry, which a state cannot hold: of a table without numbers, or without indices."""
    return jax.tree.map(lambda a: a if a.size else None, known)


def whole(made: Layout, known: Known) -> Known:
    """What was `kept`, with its empty arrays."""
    if not len(made.numbers):
        none, table = jnp.zeros(0), jnp.zeros((0, _KNOTS))
        copula = known.copula._replace(knots=table, scores=table)
        known = known._replace(heavy=none, centre=none, scale=none, copula=copula)
    return known if made.codes else known._replace(places=jnp.zeros((len(known.memory), 0), jnp.int32))


def conditional(made: Layout, known: Known | Copula, y: jax.Array) -> jax.Array:
    r"""Surprise of each column given all the others, nats `[B, J]`, numbers first, of entries less their mean `[B, E]`.

    Under a Gaussian of precision P the entries b of a column are off their expectation by :math:`P_{bb}^{-1} (P y)_b`,
    which has the squared length :math:`m = (P y)_b^T P_{bb}^{-1} (P y)_b`; the surprise is :math:`\ln(1 + m)`, that of
    a Cauchy variable over its mode.
    """
    e = jnp.matmul(y, known.precision, precision="highest")
    parts = []
    for at in blocks(made):
        inverse = jnp.linalg.inv(known.precision[at[:, None], at[None]])
        parts.append(jnp.sum((e[:, at] @ inverse) * e[:, at], axis=1))
    return jnp.log1p(jnp.maximum(jnp.stack(parts, axis=1), 0))


def by_copula(made: Layout, known: Known, y: jax.Array) -> jax.Array:
    """`conditional` of what numbers are as normal variables, `[B, J]`, of entries less their mean `[B, E]`."""
    scores = normal(made, known.copula, y + known.mean[None])
    return conditional(made, known.copula, scores - known.copula.mean[None])


def whitened(made: Layout, known: Known, y: jax.Array) -> jax.Array:
    r"""Surprise of the principal components, :math:`\sum_i \ln(1 + p_i^2 / \lambda_i)`, divided over columns `[B, J]`.

    A component's goes to the entries by the squares of what each adds to it.
    """
    z = y / known.deviation[None]
    p = jnp.matmul(z, known.axes, precision="highest")
    nats = jnp.log1p(jnp.square(p) / known.variance[None])
    squares, loads = jnp.square(z), jnp.square(known.axes)
    total = jnp.maximum(squares @ loads, 1e-12)
    entries = squares * ((nats / total) @ loads.T)
    return jnp.stack([entries[:, at].sum(axis=1) for at in blocks(made)], axis=1)


def apart(made: Layout, known: Known, y: jax.Array) -> jax.Array:
    """The distance to the nearest row of the memory, `[B, J]`, divided over columns by their shares of its square.

    A row that is in the memory is compared with the others there.
    """
    memory = jnp.asarray(known.memory)
    half = 0.5 * jnp.sum(jnp.square(memory), axis=1)
    values = half[:, None] - jnp.matmul(memory, y.T, precision="highest")
    first, _ = lowest(values)
    itself = jnp.abs(y - memory[first]).max(axis=1) < _SAME

    def others():
        place = jnp.arange(len(memory))[:, None]
        second, _ = lowest(jnp.where(itself[None] & (place == first[None]), jnp.inf, values))
        return second

    nearest = jax.lax.cond(jnp.any(itself), others, lambda: first)
    squares = jnp.square(y - memory[nearest])
    parts = jnp.stack([squares[:, at].sum(axis=1) for at in blocks(made)], axis=1)
    return parts / jnp.sqrt(jnp.maximum(parts.sum(axis=1, keepdims=True), 1e-12))


def blocks(made: Layout) -> list[np.ndarray]:
    """The seen entries of each column, numbers first."""
    return [np.flatnonzero(made.column == j) for j in range(len(made.order))]
