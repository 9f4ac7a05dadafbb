"""A self-organizing map, unit by unit: its borders, its hits, its features and its labels."""

from pathlib import Path

import numpy as np

from unsupjax.evaluate import require
from unsupjax.evaluate.clustering.clusters import majority
from unsupjax.evaluate.clustering.som import located
from unsupjax.evaluate.figures import style, units
from unsupjax.evaluate.subject import Subject
from unsupjax.som import quality


def u_matrix(subject: Subject, path: str | Path) -> None:
    """Draw the U-matrix: each unit coloured by the mean distance of its codebook vector to those of its neighbours.

    Dark valleys are clusters, bright ridges the borders between them (Ultsch and Siemon 1990). Units at the
    border of a grid have fewer neighbours, those of a torus have them on the other side.

    Args:
        subject: what is shown.
        path: the PNG to write.

    Raises:
        UserError: the method has no map.
    """
    found, _ = located(subject, subject.x_test[:1], "u_matrix")
    figure, ax = units.map_figure(found.grid, beside=1.1)
    cells = units.draw_units(ax, found.grid, np.ravel(quality.u_matrix(found)), cmap="viridis")
    units.colour_bar(figure, ax, cells, "mean distance to the neighbours")
    ax.set_title(f"U-matrix, {units.described(found.grid)}", fontsize=11)
    style.save(figure, path)


def hits(subject: Subject, path: str | Path) -> None:
    """Draw how many training examples each unit is the best match of; units without any are white.

    Args:
        subject: what is shown.
        path: the PNG to write.

    Raises:
        UserError: the method has no map.
    """
    from matplotlib.colors import ListedColormap

    found, points = located(subject, subject.x_train, "hits")
    grid, counts = (
        found.grid,
        np.ravel(quality.hits(found, points, missing=bool(np.isnan(points).any()))).astype(int),
    )
    figure, ax = units.map_figure(grid, beside=1.1)
    blues = ListedColormap(_ramp("#d8e6f5", "#123f73"))
    shown = np.where(counts > 0, counts, np.nan)
    cells = units.draw_units(ax, grid, shown, cmap=blues, edgecolor="0.75", linewidth=0.6)
    cells.set_clim(0, max(counts.max(), 1))
    units.write_units(ax, grid, [str(n) if n else "" for n in counts], counts > 0.5 * counts.max())
    units.colour_bar(figure, ax, cells, "examples")
    empty = f", {np.sum(counts == 0)} of {grid.units} units empty" if np.any(counts == 0) else ""
    ax.set_title(f"Hits of {counts.sum():,} training examples{empty}", fontsize=11)
    style.save(figure, path)


def component_planes(subject: Subject, path: str | Path, *, n: int = 12) -> None:
    """Draw features of the codebook over the map, one panel each with its own scale.

    Where there are more than n features, those that vary most between units are shown, in their order.

    Args:
        subject: what is shown.
        path: the PNG to write.
        n: number of features, at most.

    Raises:
        UserError: the method has no map.
    """
    found, _ = located(subject, subject.x_test[:1], "component_planes")
    grid, codebook = found.grid, np.asarray(found.codebook)
    features = np.sort(np.argsort(-codebook.var(axis=0), kind="stable")[:n])
    width, height = np.ptp(units.outlines(grid), axis=(0, 1)) * units.unit_inches(grid, 2.1)
    figure, axes = style.panels(len(features), 4, max(width, 0.8) + 0.7, max(height, 0.5) + 0.35)
    for ax, feature in zip(axes, features, strict=True):
        cells = units.draw_units(ax, grid, codebook[:, feature], cmap="viridis")
        units.colour_bar(figure, ax, cells, "")
        ax.set_title(_feature_name(feature, codebook.shape[1], subject.x_test), fontsize=10)
    shown, total = len(features), codebook.shape[1]
    count = f"{shown} of {total}" if shown < total else f"{total}"
    figure.suptitle(f"{count} component planes, {units.described(grid)}", fontsize=11)
    style.save(figure, path)


def label_map(subject: Subject, path: str | Path) -> None:
    """Draw each unit in the colour of the majority label of its training examples, paler where they disagree.

    The opacity is the share of the majority; units without examples are white. The label stands on the unit
    where there is room for it.

    Args:
        subject: what is shown.
        path: the PNG to write.

    Raises:
        UserError: the method has no map; there are no labels, or fewer than two classes.
    """
    y = require.labels(subject.y_train, "label_map")
    found, points = located(subject, subject.x_train, "label_map")
    grid, classes = found.grid, np.unique(y)
    labels, share = majority(
        y, np.asarray(quality.bmu(found, points, missing=bool(np.isnan(points).any()))), grid.units
    )
    colours = style.class_colours(np.searchsorted(classes, labels), share)
    names = [style.class_name(label, subject.label_names) for label in classes]
    figure, ax = units.map_figure(grid, beside=0.85 + 0.09 * max(map(len, names)))
    units.draw_units(ax, grid, facecolor=colours, edgecolor="0.75", linewidth=0.6)
    index = np.searchsorted(classes, labels)
    texts = [names[i] if full else "" for i, full in zip(index, share > 0, strict=True)]
    units.write_units(ax, grid, texts, colours @ [0.299, 0.587, 0.114] < 0.47)
    style.class_legend(ax, names)
    purity = np.average(
        share, weights=np.ravel(quality.hits(found, points, missing=bool(np.isnan(points).any())))
    )
    ax.set_title(f"Majority labels, opacity = their share (purity {purity:.3f})", fontsize=11)
    style.save(figure, path)


def _ramp(low: str, high: str) -> np.ndarray:
    """256 colours from one to another."""
    from matplotlib.colors import to_rgb

    return np.linspace(to_rgb(low), to_rgb(high), 256)


def _feature_name(feature: int, features: int, x: np.ndarray) -> str:
    """Where a feature of the codebook lies in an image, or its number."""
    if not require.is_image(x) or features != np.prod(x.shape[1:]):
        return f"feature {feature}"
    row, column, channel = np.unravel_index(feature, x.shape[1:])
    return f"pixel ({row}, {column})" + (f", {'RGB'[channel]}" if x.shape[-1] == 3 else "")
