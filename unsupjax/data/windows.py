"""Windows of stored series: cut by their indices when they are asked for, never all at once."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Timeline(NamedTuple):
    """Where the steps of series lie that are stored behind each other, S series of T steps together.

    Attributes:
        names: of the series.
        ends: `[S]`, where each ends.
        trained: `[S]`, how many of its first steps are for training.
        time: of each step, datetime64[ns] or float64 `[T]`; None: steps are counted.
        labels: whether each step is anomalous, bool `[T]`; None: not known.
        known: whether each step could be observed, or filled in, in all channels, bool `[T]`.
    """

    names: tuple[str, ...]
    ends: np.ndarray
    trained: np.ndarray
    time: np.ndarray | None
    labels: np.ndarray | None
    known: np.ndarray

    def spans(self) -> list[tuple[int, int]]:
        """First step and end of each series."""
        return list(zip(np.r_[0, self.ends[:-1]].tolist(), self.ends.tolist(), strict=True))

    def of(self, i: int) -> "Timeline":
        """Of one series alone."""
        first, end = self.spans()[i]
        part = lambda a: None if a is None else a[first:end]
        one = self.names[i : i + 1], np.array([end - first]), self.trained[i : i + 1]
        return Timeline(*one, part(self.time), part(self.labels), part(self.known))

    def training(self) -> np.ndarray:
        """Which steps are for training, bool `[T]`."""
        flags = np.zeros(int(self.ends[-1]), bool)
        for (first, _), n in zip(self.spans(), self.trained, strict=True):
            flags[first : first + n] = True
        return flags


def starts(timeline: Timeline, length: int, stride: int, *, train: bool) -> np.ndarray:
    """Where windows begin, int64: those without a missing step, of the training part alone or of all."""
    bad = np.r_[0, np.cumsum(~timeline.known)]
    found = []
    for (first, end), trained in zip(timeline.spans(), timeline.trained, strict=True):
        end = first + int(trained) if train else end
        at = np.arange(first, end - length + 1, stride)
        found.append(at[bad[at + length] == bad[at]])
    return np.concatenate(found).astype(np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class WindowSplit(Sequence):
    """Examples that are windows of series: `split[i] -> (x [W, C], label)`.

    In memory are the series, and 8 bytes for each window.

    Attributes:
        series: all steps behind each other, float32 `[T, C]`.
        begins: the first step of each window, int64 `[N]`.
        length: W.
        timeline: what the steps are.
        y: labels `[N]` int32, whether a window holds an anomalous step; or None.
    """

    series: np.ndarray
    begins: np.ndarray
    length: int
    timeline: Timeline
    y: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.begins)

    def __getitem__(self, i: int) -> tuple[np.ndarray, Any]:
        x, y = self.gather(np.array([range(len(self))[i]]))
        return x[0], None if y is None else y[0]

    def select(self, index: np.ndarray) -> "WindowSplit":
        """The examples at `index` (int `[M]`), in that order."""
        y = None if self.y is None else self.y[index]
        return dataclasses.replace(self, begins=self.begins[index], y=y)

    def labels(self) -> np.ndarray | None:
        """All labels, `[N]` int32, or None."""
        return self.y

    def gather(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Windows `[M, W, C]` and labels `[M]` (or None) at `index` (int `[M]`)."""
        steps = self.begins[index][:, None] + np.arange(self.length)
        return self.series[steps], None if self.y is None else self.y[index]


def split_of(series: np.ndarray, begins: np.ndarray, length: int, timeline: Timeline) -> WindowSplit:
    """The windows that begin at `begins`, with their labels."""
    y = None
    if timeline.labels is not None:
        before = np.r_[0, np.cumsum(timeline.labels)]
        y = (before[begins + length] > before[begins]).astype(np.int32)
    return WindowSplit(series, begins, length, timeline, y)
