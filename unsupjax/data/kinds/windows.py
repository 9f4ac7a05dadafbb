"""Windows of time series."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from unsupjax.data.kinds.columns import spread
from unsupjax.data.kinds.seen import as_float32, example
from unsupjax.data.series import Series, filled, irregular, logger, ordered, resampled
from unsupjax.errors import UserError, nearest


class Windows(NamedTuple):
    """W steps of C channels: stored and seen as float32 `[N, W, C]`, `(value - mean) / std` of each channel.

    Attributes:
        length: W.
        channels: their names.
        mean, std: of each channel over the training part; a constant one is only shifted.
        step: of the grid that series are brought to, in seconds or as times are counted; 0: rows are steps.
        gap: how many steps that are missing behind each other are interpolated.
        zone: in which times without an offset from UTC are; "": none.
    """

    length: int
    channels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    step: float = 0.0
    gap: int = 5
    zone: str = ""
    name = "windows"

    @property
    def shape(self) -> tuple[int, int]:
        """Of one window."""
        return self.length, len(self.channels)

    def prepare(self, raw: Any) -> np.ndarray:
        """Windows `[N, W, C]` in the user's units, standardised.

        Raises:
            UserError: another shape, or a value that is no finite number, with its place.
        """
        x = np.asarray(raw)
        if x.dtype.kind not in "biuf" or x.shape[1:] != self.shape:
            raise UserError(
                f"windows are {x.dtype} of shape {x.shape}, where numbers [N, {self.length}, "
                f"{len(self.channels)}] belong"
            )
        bad = ~np.isfinite(x)
        if bad.any():
            i, t, c = (int(a[0]) for a in bad.nonzero())
            raise UserError(
                f"window {i}, step {t} (from 0), channel {self.channels[c]!r} holds {x[i, t, c]}, which is "
                "no number"
            )
        return self.scaled(x)

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Values `[..., C]` as float32, standardised; NaN stays."""
        return ((np.asarray(values, np.float64) - np.array(self.mean)) / np.array(self.std)).astype(
            np.float32
        )

    def regular(self, series: Series, *, causal: bool = False) -> Series:
        """A series with the model's channels, in the order of time, on its grid, short gaps interpolated.

        With `causal` what is missing stands as it was last.

        Raises:
            UserError: a channel that is missing; no row.
        """
        there = {name: i for i, name in enumerate(series.channels)}
        if (
            not set(self.channels) <= set(there)
            and len(there) == len(self.channels)
            and _unnamed(series.channels)
        ):
            there = {name: i for i, name in enumerate(self.channels)}  # by their places
        for name in self.channels:
            if name not in there:
                raise UserError(f"{series.name}: the channel {name!r} is missing; {nearest(name, there)}")
        if extra := [name for name in there if name not in self.channels]:
            logger.warning("%s: the model takes no %s: left out", series.name, ", ".join(map(repr, extra)))
        series = series._replace(
            values=series.values[:, [there[n] for n in self.channels]], channels=self.channels
        )
        return regular(series, self.step, self.gap, causal)

    def see(self, stored: jax.Array) -> jax.Array:
        """Float32; UserError for another shape."""
        return as_float32(self, stored)

    def restore(self, seen: np.ndarray) -> np.ndarray:
        """Windows in the user's units, float64."""
        return np.asarray(seen, np.float64) * np.array(self.std) + np.array(self.mean)

    def example(self) -> jax.ShapeDtypeStruct:
        """Of one seen window."""
        return example(self)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        lists = {name: list(getattr(self, name)) for name in ("channels", "mean", "std")}
        return {"kind": self.name} | self._asdict() | lists

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Windows":
        """The inverse of `to_json`, less the name."""
        mean, std = (tuple(map(float, fields[name])) for name in ("mean", "std"))
        channels = tuple(map(str, fields["channels"]))
        if not len(channels) == len(mean) == len(std):
            raise ValueError(f"{len(channels)} channels, {len(mean)} means and {len(std)} deviations")
        rest = float(fields["step"]), int(fields["gap"]), str(fields["zone"])
        return cls(int(fields["length"]), channels, mean, std, *rest)


def regular(series: Series, step: float, gap: int, causal: bool = False) -> Series:
    """In the order of time, on a grid of `step` (0: rows are steps), gaps of up to `gap` steps interpolated."""
    series = ordered(series)
    if step and series.time is not None:
        series = resampled(series, step)
    elif (share := irregular(series.time)) > 0.01:
        logger.warning(
            "%s: %.0f %% of the steps of time differ from the median one, and rows are taken for equal steps; "
            "config.data.resample='auto' brings them to a grid",
            series.name,
            100 * share,
        )
    return series._replace(values=filled(series.values, gap, causal))


def fit_windows(
    train: np.ndarray, channels: tuple[str, ...], length: int, *, standardise: bool = True, **how: Any
) -> Windows:
    """The kind of windows of series whose training steps are `train` `[T, C]`, NaN where one is missing."""
    pairs = [spread(values) if standardise else (0.0, 1.0) for values in train.T]
    return Windows(length, tuple(channels), tuple(m for m, _ in pairs), tuple(s for _, s in pairs), **how)


def _unnamed(channels: tuple[str, ...]) -> bool:
    return all(name.isdigit() for name in channels)
