r"""Rows of mixed types as vectors: numbers by mode-specific normalisation, categories one-hot.

A vector is [scalars | modes | categories]: of each continuous column a scalar in [-1, 1] and a one-hot of its mode, of
each discrete column a one-hot. One-hots of equal width lie beside each other, so that a softmax over each of them is a
few reshapes and no gather.
"""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture

from unsupjax.errors import UserError
from unsupjax.tables.schema import Column, Table, written

MODES = 10
ATOM = 0.05  # a number that this part of the rows shares is a mode of its own
MOST_CATEGORIES = 1000
_THRESHOLD = 0.005  # of a mode's weight
_FIT_ROWS = 20_000


class Continuous(NamedTuple):
    """A continuous column as modes; one of scale 0 is a single value (an atom), one of mean NaN stands for missing.

    Attributes:
        column: its index in the table.
        weight, mean, scale: of the modes, float64 `[K]`; scale is the standard deviation.
        grid: the numbers that it takes where most of them come again and again, ascending; or empty.
        limits: its least and greatest number.
    """

    column: int
    weight: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    grid: np.ndarray
    limits: np.ndarray


class Discrete(NamedTuple):
    """A discrete column: its index in the table and its categories `[K]`, numbers or texts; missing is one of them."""

    column: int
    categories: np.ndarray


class Span(NamedTuple):
    """A part of the vector: `column` of the table, `kind` "scalar", "mode" or "category", `start` and `size`."""

    column: int
    kind: str
    start: int
    size: int


class Transform(NamedTuple):
    """What `fit` finds.

    Attributes:
        columns: the table's schema.
        continuous, discrete: the modelled columns, in the order of their one-hots in the vector.
        constants: of each other column its index and its only value, `[1]`.
    """

    columns: tuple[Column, ...]
    continuous: tuple[Continuous, ...]
    discrete: tuple[Discrete, ...]
    constants: tuple[tuple[int, np.ndarray], ...]

    @property
    def spans(self) -> tuple[Span, ...]:
        """Of the whole vector, in order."""
        parts = [(c.column, "scalar", 1) for c in self.continuous]
        parts += [(c.column, "mode", len(c.mean)) for c in self.continuous]
        parts += [(d.column, "category", len(d.categories)) for d in self.discrete]
        starts = np.cumsum([0, *(size for *_, size in parts)]).tolist()
        return tuple(Span(c, kind, at, n) for (c, kind, n), at in zip(parts, starts[:-1], strict=True))

    @property
    def width(self) -> int:
        """D, of the vector."""
        return sum(span.size for span in self.spans)


def fit(table: Table, *, modes: int = MODES, seed: int = 0) -> Transform:
    """Modes and categories of every column that is not constant.

    The modes of a continuous column are the components of a Dirichlet-process mixture of Gaussians (at most `modes`,
    fitted on at most 20,000 rows) of weight above 0.005, every number that 5 % of its rows share (the mixture
    is of the others), and one for missing where there are missing numbers.

    Raises:
        UserError: all columns are constant; a discrete column has more than 1,000 categories.

    Source: Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019.
    """
    constants, continuous, discrete = [], [], []
    for i, (column, values) in enumerate(zip(table.columns, table.values, strict=True)):
        categories = np.unique(values)
        if len(categories) == 1:
            constants.append((i, categories))
        elif column.discrete:
            _check_categories(column, len(categories), table.rows)
            discrete.append(Discrete(i, categories))
        else:
            continuous.append(_continuous(i, values, modes, seed))
    if not continuous and not discrete:
        raise UserError("every column of the table is constant; there is nothing to model")
    continuous.sort(key=lambda c: len(c.mean))
    discrete.sort(key=lambda d: len(d.categories))
    return Transform(table.columns, tuple(continuous), tuple(discrete), tuple(constants))


def encode(transform: Transform, table: Table, *, seed: int = 0) -> np.ndarray:
    r"""Vectors of rows, `[N, D]` float32.

    The mode k of a number x is drawn from the responsibilities :math:`p_k \propto w_k N(x; \mu_k, \sigma_k)`, and the
    scalar is :math:`(x - \mu_k) / 4 \sigma_k` clipped to [-1, 1]. Atoms and missing have a scalar of 0.

    Raises:
        UserError: a category that the transform does not have.
    """
    random = np.random.default_rng(seed)
    scalars, hots = [], []
    for part in transform.continuous:
        mode, scalar = _normalise(part, table.values[part.column], random)
        scalars.append(scalar[:, None])
        hots.append(np.eye(len(part.mean))[mode])
    for part in transform.discrete:
        hots.append(np.eye(len(part.categories))[codes(transform, part, table)])
    return np.concatenate([*scalars, *hots], axis=1).astype(np.float32)


def decode(transform: Transform, vectors: np.ndarray) -> Table:
    """The table of vectors `[N, D]`: of each one-hot the largest entry counts, and numbers are as `write` writes them.

    Numbers stay between the least and the greatest that the column had; those of a column on a grid go to its nearest
    value.
    """
    values: list = [None] * len(transform.columns)
    vectors = np.asarray(vectors, np.float64)
    starts = {(s.column, s.kind): slice(s.start, s.start + s.size) for s in transform.spans}
    for part in transform.continuous:
        mode = vectors[:, starts[part.column, "mode"]].argmax(axis=1)
        scalar = vectors[:, starts[part.column, "scalar"]][:, 0].clip(-1, 1)
        number = (part.mean[mode] + 4 * part.scale[mode] * scalar).clip(*part.limits)
        values[part.column] = written(transform.columns[part.column], snap(part, number))
    for part in transform.discrete:
        values[part.column] = part.categories[vectors[:, starts[part.column, "category"]].argmax(axis=1)]
    for i, value in transform.constants:
        values[i] = np.repeat(value, len(vectors))
    return Table(transform.columns, tuple(values))


def codes(transform: Transform, part: Discrete, table: Table) -> np.ndarray:
    """Of each row the index of its category, int `[N]`; UserError for one that the transform does not have."""
    values = table.values[part.column]
    code = np.searchsorted(part.categories, values).clip(max=len(part.categories) - 1)
    strange = ~same(part.categories[code], values)
    if strange.any():
        name, value = transform.columns[part.column].name, values[strange].tolist()[0]
        raise UserError(f"column {name!r} has no category {value!r}; fit on a table that has it")
    return code


def snap(part: Continuous, numbers: np.ndarray) -> np.ndarray:
    """The nearest values of the grid, where there is one."""
    if not len(part.grid):
        return numbers
    middle = (part.grid[1:] + part.grid[:-1]) / 2
    return np.where(np.isnan(numbers), numbers, part.grid[np.searchsorted(middle, numbers)])


def _check_categories(column: Column, n: int, rows: int):
    if n > MOST_CATEGORIES:
        raise UserError(
            f"column {column.name!r} has {n} categories in {rows} rows, above {MOST_CATEGORIES}; remove it if it "
            f"names the rows, or group its values"
        )


def _continuous(index: int, values: np.ndarray, modes: int, seed: int) -> Continuous:
    missing = np.isnan(values)
    observed = values[~missing]
    distinct, counts = np.unique(observed, return_counts=True)
    atoms = distinct[counts >= max(ATOM * len(observed), 2)]
    rest = observed[~np.isin(observed, atoms)]
    weight, mean, scale = _mixture(rest, modes, seed)
    grid = distinct if 2 * len(distinct) <= len(observed) else distinct[:0]
    absent = [np.nan] if missing.any() else []
    return Continuous(
        index,
        np.concatenate(
            [weight * len(rest), [(observed == a).sum() for a in atoms], len(absent) * [missing.sum()]]
        )
        / len(values),
        np.concatenate([mean, atoms, absent]),
        np.concatenate([scale, np.zeros(len(atoms) + len(absent))]),
        grid,
        np.array([distinct[0], distinct[-1]]),
    )


def _mixture(x: np.ndarray, modes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and standard deviations of the mixture's components that have weight."""
    n = min(modes, len(np.unique(x)))
    if n < 2:
        return np.ones(n), x[:1] if n else x, np.zeros(n)
    random = np.random.default_rng(seed)
    sample = random.choice(x, _FIT_ROWS, replace=False) if len(x) > _FIT_ROWS else x
    centre, spread = sample.mean(), sample.std()
    mixture = BayesianGaussianMixture(
        n_components=n, weight_concentration_prior=0.001, max_iter=100, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a good partition is enough
        mixture.fit(((sample - centre) / spread)[:, None])  # its regularisation is absolute
    kept = mixture.weights_ > _THRESHOLD
    scale = np.sqrt(mixture.covariances_[kept, 0, 0]) * spread
    weight = mixture.weights_[kept]
    return weight / weight.sum(), mixture.means_[kept, 0] * spread + centre, scale


def responsibilities(part: Continuous, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of numbers `[N]` the logarithm of every mode's responsibility, not normalised, and the number in its units.

    Both `[N, K]`; a number that is an atom, or missing, belongs to that mode alone.
    """
    spread = part.scale > 0
    scale = np.where(spread, part.scale, 1)
    z = np.where(spread, (np.nan_to_num(values)[:, None] - np.nan_to_num(part.mean)) / scale, 0)
    log_p = np.where(spread, np.log(part.weight / scale) - z**2 / 2, -np.inf)
    single = ~spread & same(values[:, None], part.mean)
    alone = single.any(axis=1)
    if not spread.any():
        alone[:] = True  # an unknown number goes to the nearest atom
        distance = np.where(np.isnan(part.mean), np.inf, np.abs(np.nan_to_num(values)[:, None] - part.mean))
        single |= ~single.any(axis=1)[:, None] & (distance == distance.min(axis=1, keepdims=True))
    log_p[alone] = np.where(single[alone], 0, -np.inf)
    return log_p, z


def _normalise(part: Continuous, values: np.ndarray, random) -> tuple[np.ndarray, np.ndarray]:
    """Of each number its mode and its scalar."""
    log_p, z = responsibilities(part, values)
    # Gumbel's trick draws from the responsibilities without normalising them.
    mode = (log_p + random.gumbel(size=log_p.shape)).argmax(axis=1)
    return mode, (z[np.arange(len(z)), mode] / 4).clip(-1, 1)


def same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Equality by which missing is missing."""
    return (a == b) | ((a != a) & (b != b))
