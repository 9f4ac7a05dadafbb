"""The look that all figures share; matplotlib is imported where it is needed, and never through pyplot."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

# Petroff, "Accessible color sequences for data visualization", 2021: chosen for all forms of colour vision.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MARKERS = "o^sDvPX<>*"
DPI = 150
NAMED = 20  # classes in a legend that can still be read


def new_figure(width: float, height: float):
    """An empty matplotlib Figure of that size in inches, drawn by Agg."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def save(figure, path: str | Path | Callable) -> None:
    """Write the figure to `path`, and its folder where there is none; where `path` is a function, give it that."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):  # names of classes are no formulas, whatever dollars they hold
        text.set_parse_math(False)
    if callable(path):
        path(figure)
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # it is drawn as a box
        figure.savefig(path)


def polish(axes, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    """Title, labels, a light grid, and no box around the data."""
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(xlabel, fontsize=10)
    axes.set_ylabel(ylabel, fontsize=10)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def panels(n: int, columns: int, width: float, height: float):
    """A figure of n axes, row by row in at most `columns` columns, each of that size in inches."""
    columns = min(n, columns)
    rows = math.ceil(n / columns)
    figure = new_figure(width * columns, height * rows)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[n:]:
        unused.remove()
    return figure, axes[:n]


def spans_decades(values: np.ndarray) -> bool:
    """Whether the finite values are positive and span more than 1.5 decades: then a log scale is best."""
    values = values[np.isfinite(values)]
    return values.size > 0 and values.min() > 0 and bool(np.log10(values.max() / values.min()) > 1.5)


def class_name(label: int, label_names: tuple[str, ...] | None) -> str:
    """The name of a label, or its number."""
    return str(label) if label_names is None else label_names[label]


def class_look(index: int) -> tuple[str, str]:
    """Colour and marker of the class or cluster of that rank: ten colours, then the same with the next marker."""
    return PALETTE[index % 10], MARKERS[index // 10 % 10]


def class_colours(index: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Colours `[N, 3]` of classes by rank `[N]`, mixed with white by `1 - opacity` `[N]`."""
    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(class_look(i)[0]) for i in index])
    return 1 - (1 - colours) * np.asarray(opacity)[:, None]


def class_legend(where, names: list[str], **place) -> None:
    """A legend of class names by rank, where they are at most 20: to the right of axes, or placed as told."""
    from matplotlib.patches import Patch

    if len(names) <= NAMED:
        patches = [Patch(color=class_look(i)[0], label=name) for i, name in enumerate(names)]
        place = place or {"loc": "upper left", "bbox_to_anchor": (1, 1)}
        where.legend(handles=patches, frameon=False, fontsize=9, **place)
