"""A number as the mode of its distribution that it belongs to, and where it lies in that mode."""

import warnings
import zlib
from typing import Any, NamedTuple

import numpy as np

from unsupjax.data.columns import same, written
from unsupjax.data.kinds.columns import Unfit, as_dates, as_moments, as_numbers

MODES = 10
ATOM = 0.05  # a number that this part of the rows shares is a mode of its own
_THRESHOLD = 0.005  # of a mode's weight
_FIT_ROWS = 20_000


class Modes(NamedTuple):
    r"""A number, or a date, in one of K modes: the scalar :math:`(x - \mu_k) / 4 \sigma_k` and a one-hot of k.

    The mode k of a number x is drawn from the responsibilities :math:`p_k \propto w_k N(x; \mu_k, \sigma_k)`, by a
    generator that the column's name seeds. A mode of scale 0 is a single value (an atom), and one of mean None stands
    for missing; both have a scalar of 0.

    Attributes:
        name: of the column.
        weight, mean, scale: of the modes; scale is the standard deviation.
        grid: the numbers that it takes where most of them come again and again, ascending; or empty.
        limits: its least and greatest number.
        decimals: the fewest and the most digits after the point that its numbers were written with.
        format: of dates; "": numbers.
    """

    name: str
    weight: tuple[float, ...]
    mean: tuple[float | None, ...]
    scale: tuple[float, ...]
    grid: tuple[float, ...]
    limits: tuple[float, float]
    decimals: tuple[int, int]
    format: str = ""
    type = "modes"

    @property
    def width(self) -> int:
        """1 + K."""
        return 1 + len(self.weight)

    def read(self, raw: Any) -> np.ndarray:
        """Float64."""
        values = as_moments(raw, self.format) if self.format else as_numbers(raw)
        if None not in self.mean and np.isnan(values).any():
            row = int(np.isnan(values).argmax())
            raise Unfit(row, values[row].item(), "numbers of which none was missing where it was fitted")
        return values

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Scalars and modes, `[N, 1 + K]`."""
        log_p, z = self.responsibilities(values)
        random = np.random.default_rng(zlib.crc32(self.name.encode()))
        # Gumbel's trick draws from the responsibilities without normalising them.
        mode = (log_p + random.gumbel(size=log_p.shape)).argmax(axis=1)
        return np.column_stack([z[np.arange(len(z)), mode] / 4, np.eye(len(self.weight))[mode]])

    def decode(self, stored: np.ndarray) -> np.ndarray:
        """Numbers: between the least and the greatest, the nearest of the grid where there is one, and rounded."""
        mean, scale = np.array(self.mean, float), np.array(self.scale)
        mode = stored[:, 1:].argmax(axis=1)
        number = (mean[mode] + 4 * scale[mode] * stored[:, 0]).clip(*self.limits)
        if self.grid:
            grid = np.array(self.grid)
            nearest = grid[np.searchsorted((grid[1:] + grid[:-1]) / 2, number)]
            number = np.where(np.isnan(number), number, nearest)
        return written(number, self.decimals)

    def show(self, values: np.ndarray) -> np.ndarray:
        """Dates as texts, numbers as they are."""
        return as_dates(values, self.format) if self.format else values

    def responsibilities(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of numbers `[N]` the logarithm of every mode's responsibility, not normalised, and the number in its units.

        Both `[N, K]`; a number that is an atom, or missing, belongs to that mode alone.
        """
        weight, mean, scale = (np.array(part, float) for part in (self.weight, self.mean, self.scale))
        spread = scale > 0
        scale, weight = np.where(spread, scale, 1), np.where(spread, weight, 1)
        z = np.where(spread, (np.nan_to_num(values)[:, None] - np.nan_to_num(mean)) / scale, 0)
        log_p = np.where(spread, np.log(weight / scale) - z**2 / 2, -np.inf)
        single = ~spread & same(values[:, None], mean)
        alone = single.any(axis=1)
        if not spread.any():
            alone[:] = True  # an unknown number goes to the nearest atom
            distance = np.where(np.isnan(mean), np.inf, np.abs(np.nan_to_num(values)[:, None] - mean))
            single |= ~single.any(axis=1)[:, None] & (distance == distance.min(axis=1, keepdims=True))
        log_p[alone] = np.where(single[alone], 0, -np.inf)
        return log_p, z


def fit_modes(
    name: str,
    values: np.ndarray,
    *,
    missing: bool = False,
    modes: int = MODES,
    decimals: tuple[int, int] = (0, 18),
    form: str = "",
) -> Modes:
    """The modes of numbers `[N]`, NaN where one is missing.

    They are the components of a Dirichlet-process mixture of Gaussians (at most `modes`, fitted on at most 20,000 rows)
    of weight above 0.005, every number that 5 % of the rows share (the mixture is of the others), and one for missing
    where there are missing numbers, or where `missing` says that there may be.

    Source: Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019.
    """
    gone = np.isnan(values)
    observed = values[~gone]
    distinct, counts = np.unique(observed, return_counts=True)
    atoms = distinct[counts >= max(ATOM * len(observed), 2)]
    rest = observed[~np.isin(observed, atoms)]
    weight, mean, scale = _mixture(rest, modes)
    weight = [*(weight * len(rest)), *((observed == a).sum() for a in atoms)]
    absent = [None] if missing or gone.any() else []
    weight = np.array([*weight, *(gone.sum() for _ in absent)]) / len(values)
    return Modes(
        name,
        tuple(weight.tolist()),
        (*mean.tolist(), *atoms.tolist(), *absent),
        (*scale.tolist(), *(0.0 for _ in (*atoms, *absent))),
        tuple(distinct.tolist()) if 2 * len(distinct) <= len(observed) else (),
        (float(distinct[0]), float(distinct[-1])) if len(distinct) else (0.0, 0.0),
        decimals,
        form,
    )


def _mixture(x: np.ndarray, modes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and standard deviations of the mixture's components that have weight."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture

    n = min(modes, len(np.unique(x)))
    if n < 2:
        return np.ones(n), x[:1] if n else x, np.zeros(n)
    sample = np.random.default_rng(0).choice(x, _FIT_ROWS, replace=False) if len(x) > _FIT_ROWS else x
    centre, spread = sample.mean(), sample.std()
    mixture = BayesianGaussianMixture(
        n_components=n, weight_concentration_prior=0.001, max_iter=100, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a good partition is enough
        mixture.fit(((sample - centre) / spread)[:, None])  # its regularisation is absolute
    kept = mixture.weights_ > _THRESHOLD
    scale = np.sqrt(mixture.covariances_[kept, 0, 0]) * spread
    weight = mixture.weights_[kept]
    return weight / weight.sum(), mixture.means_[kept, 0] * spread + centre, scale
