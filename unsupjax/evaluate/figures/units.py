"""Drawing the units of a self-organizing map where they lie: squares, or hexagons."""

import numpy as np

from unsupjax.evaluate.figures import style
from unsupjax.som import Grid, positions

_UNIT = 0.55  # inches, at most
_SIDE = 7.0  # inches, at most, of the longer side of a map
_READABLE = 6.0  # points: smaller text is left out


def outlines(grid: Grid) -> np.ndarray:
    """The corners of each unit's cell, (x, y) in steps with rows downwards: float64 `[K, 4 or 6, 2]`.

    Cells of neighbours share an edge: unit squares, or hexagons of width 1 that stand on a corner.
    """
    if grid.topology == "hexagonal":
        angles = np.pi / 6 + np.pi / 3 * np.arange(6)
        corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) / np.sqrt(3)
    else:
        corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    return positions(grid)[:, None, ::-1] + corners


def unit_inches(grid: Grid, side: float = _SIDE) -> float:
    """How wide a unit is drawn, so that no side of the map is longer than that."""
    return min(_UNIT, side / max(np.ptp(outlines(grid), axis=(0, 1))))


def map_figure(grid: Grid, beside: float, below: float = 0.0):
    """A figure of one map with that many inches `beside` and `below` it, and its axes."""
    width, height = np.ptp(outlines(grid), axis=(0, 1)) * unit_inches(grid)
    figure = style.new_figure(max(width + beside, 4.2), max(height, 1.2) + 0.45 + below)
    return figure, figure.subplots()


def draw_units(ax, grid: Grid, values: np.ndarray | None = None, **looks):
    """Draws all units, coloured by `values` `[K]` (NaN: white) or as `looks` say; returns their collection."""
    from matplotlib.collections import PolyCollection

    cells = PolyCollection(outlines(grid), **({"edgecolor": "face", "linewidth": 0.4} | looks))
    if values is not None:
        cells.set_array(np.ma.masked_invalid(values))
        cells.cmap = cells.cmap.with_extremes(bad="white")
    ax.add_collection(cells)
    (left, top), (right, bottom) = outlines(grid).min(axis=(0, 1)), outlines(grid).max(axis=(0, 1))
    ax.set(xlim=(left - 0.05, right + 0.05), ylim=(bottom + 0.05, top - 0.05), xticks=[], yticks=[])
    ax.set_aspect("equal")
    ax.spines[:].set_visible(False)
    return cells


def write_units(ax, grid: Grid, texts: list[str], dark: np.ndarray) -> bool:
    """Writes a text on each unit, white where its cell is `dark` `[K]`; nothing, and False, where too small."""
    longest = max(map(len, texts), default=0)
    size = min(10.0, 72 * unit_inches(grid) * 0.82 / max(0.62 * longest, 1.2))
    if size < _READABLE:
        return False
    for (y, x), text, white in zip(positions(grid), texts, dark, strict=True):
        colour = "white" if white else "0.15"
        ax.text(x, y, text, ha="center", va="center_baseline", fontsize=size, color=colour)
    return True


def colour_bar(figure, ax, cells, label: str) -> None:
    """A slim colour bar to the right of `ax`."""
    bar = figure.colorbar(cells, ax=ax, fraction=0.05, pad=0.02, aspect=25)
    bar.set_label(label, fontsize=10)
    bar.ax.tick_params(labelsize=9)
    bar.outline.set_visible(False)


def described(grid: Grid) -> str:
    """The grid in words: "10 × 12 hexagonal torus"."""
    return f"{grid.height} × {grid.width} {grid.topology} {'torus' if grid.toroidal else 'map'}"
