"""The look that all figures share; matplotlib is imported where it is needed, and never through pyplot."""

import math
from pathlib import Path

import numpy as np

# Petroff, "Accessible color sequences for data visualization", 2021: chosen for all forms of colour vision.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MARKERS = "o^sDvPX<>*"
DPI = 150


def new_figure(width: float, height: float):
    """An empty matplotlib Figure of that size in inches, drawn by Agg."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def save(figure, path: str | Path) -> None:
    """Write the figure to `path`, and its folder where there is none."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
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
