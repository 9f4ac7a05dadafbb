"""What a method makes: reconstructions, samples, prototypes, and the filters of its first layer."""

import math
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from unsupjax.evaluate import require
from unsupjax.evaluate.figures import style, units
from unsupjax.evaluate.subject import Subject, flat, lasting, map_batches, random_subset
from unsupjax.som import Grid, adjacency, positions


def reconstructions(subject: Subject, path: str | Path, *, n: int = 10) -> None:
    """Draw test inputs beside their reconstructions: images in two rows, other inputs as lines over features.

    Args:
        subject: what is shown.
        path: the PNG to write.
        n: number of examples, drawn at random.

    Raises:
        UserError: the method has no decoder.
    """
    decode = require.function(subject.method, "decode", "reconstructions")
    x = subject.x_test[random_subset(subject.key, len(subject.x_test), n)]
    x_hat = map_batches(_reconstruct(subject.method.encode, decode), x, n, subject.state)
    if require.is_image(x):
        pairs = displayed(np.stack([x, x_hat]), x)
        figure = _picture(pairs, "Test inputs and reconstructions", ("input", "reconstruction"))
    else:
        figure, axes = style.panels(len(x), 2, 4.8, 1.9)
        for i, ax in enumerate(axes):
            ax.plot(x[i].ravel(), color="0.45", linewidth=1.6, label="input")
            ax.plot(x_hat[i].ravel(), color=style.PALETTE[2], linewidth=1.2, label="reconstruction")
            style.polish(ax, "", "feature" if i >= len(x) - 2 else "", "value")
            ax.xaxis.get_major_locator().set_params(integer=True)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    style.save(figure, path)


@lasting
def _reconstruct(encode: Callable, decode: Callable) -> Callable:
    return lambda state, x: decode(state, encode(state, x))


def samples(subject: Subject, path: str | Path, *, n: int = 64) -> None:
    """Draw samples of the method: images in a grid, pairs as points over the test data, others as lines.

    Args:
        subject: what is shown.
        path: the PNG to write.
        n: number of samples.

    Raises:
        UserError: the method cannot sample.
    """
    sample = require.function(subject.method, "sample", "samples")
    drawn = np.asarray(jax.jit(sample, static_argnums=2)(subject.state, subject.key, n))
    if require.is_image(drawn):
        figure = _picture(_grid(displayed(drawn, subject.x_test)), f"{n} samples")
    else:
        figure = style.new_figure(5.4, 4.6)
        _plot_vectors(figure.subplots(), flat(drawn), flat(subject.x_test))
    style.save(figure, path)


def filters(subject: Subject, path: str | Path, *, n: int = 64) -> None:
    """Draw the incoming weights of the first n units of the first dense layer as images.

    That layer is `params["code"]`, or else the first with a kernel `[H * W * C, units]`. Each filter is
    scaled by its own largest magnitude: grey is zero.

    Args:
        subject: what is shown.
        path: the PNG to write.
        n: number of filters.

    Raises:
        UserError: the inputs are not images, or the parameters hold no such kernel.
    """
    shape = require.images(subject.x_test, "filters")
    kernel = _first_kernel(getattr(subject.state, "params", {}), math.prod(shape))
    if kernel is None:
        raise require.missing("filters", "a dense layer over the pixels", "use an MLP encoder")
    weights = kernel.T[:n].reshape(-1, *shape)
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    tiles = 0.5 + 0.5 * weights / np.where(largest > 0, largest, 1)
    title = f"First-layer filters ({len(tiles)} of {kernel.shape[1]})"
    style.save(_picture(_grid(tiles), title), path)


def prototypes(subject: Subject, path: str | Path) -> None:
    """Draw what stands for each cluster or unit, in the method's order.

    Images, and vectors as lines over features that share one scale, lie as the units do on their map (odd rows of
    a hexagonal one are shifted by half), or row by row in a near-square array where the method has no map. Pairs
    are drawn as points over the test data, neighbours on a map joined.

    Args:
        subject: what is shown.
        path: the PNG to write.

    Raises:
        UserError: the method has no prototypes.
    """
    method = subject.method
    shown = np.asarray(require.function(method, "prototypes", "prototypes")(subject.state))
    grid = method.map(subject.state, subject.x_test[:1])[0].grid if method.map else None
    title = f"{len(shown)} prototypes" + (f", {units.described(grid)}" if grid else "")
    if require.is_image(shown):
        images = displayed(shown, subject.x_test)
        rows = images.reshape(grid.height, grid.width, *shown.shape[1:]) if grid else _grid(images)
        shifted = grid is not None and grid.topology == "hexagonal"
        figure = framed(honeycomb(rows) if shifted else mosaic(rows), *rows.shape[:2], title)
    elif flat(shown).shape[1] == 2:
        figure = style.new_figure(5.4, 4.6)
        _plot_net(figure.subplots(), flat(shown), flat(subject.x_test), grid, title)
    else:
        columns = math.ceil(math.sqrt(len(shown)))
        grid = grid or Grid(math.ceil(len(shown) / columns), columns)
        figure, ax = units.map_figure(grid, beside=0.2, below=0.3)
        _plot_cells(ax, flat(shown), grid, title)
    style.save(figure, path)


def honeycomb(images: np.ndarray) -> np.ndarray:
    """`mosaic` with odd rows half an image further to the right."""
    gap = max(1, images.shape[2] // 14)
    half = (images.shape[3] + gap) // 2
    lines = []
    for i, row in enumerate(images):
        sides = (half, 0) if i % 2 else (0, half)
        lines.append(np.pad(mosaic(row[None]), [(gap, 0), sides, (0, 0)], constant_values=1.0))
    return np.concatenate(lines)[gap:]


def mosaic(images: np.ndarray) -> np.ndarray:
    """One picture `[H', W', C]` of images `[rows, columns, H, W, C]` in [0, 1], white gaps between them."""
    gap = max(1, images.shape[2] // 14)
    padded = np.pad(images, [(0, 0), (0, 0), (gap, 0), (gap, 0), (0, 0)], constant_values=1.0)
    rows, columns, height, width, channels = padded.shape
    picture = padded.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
    return picture[gap:, gap:]


def _grid(images: np.ndarray) -> np.ndarray:
    """Images `[N, H, W, C]` in a near-square array `[rows, columns, H, W, C]`, filled up with white."""
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    filled = np.ones((rows * columns, *images.shape[1:]), np.float32)
    filled[: len(images)] = images
    return filled.reshape(rows, columns, *images.shape[1:])


def displayed(images: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Images in [0, 1], clipped; where the inputs exceed [0, 1] their range is what becomes [0, 1]."""
    low, high = min(0.0, float(reference.min())), max(1.0, float(reference.max()))
    return np.clip((np.nan_to_num(images) - low) / (high - low), 0, 1)


def _picture(images: np.ndarray, title: str, names: tuple[str, ...] = ()):
    """A figure of images `[rows, columns, H, W, C]`, each up to an inch high and wide, its rows named."""
    return framed(mosaic(images), *images.shape[:2], title, names)


def framed(picture: np.ndarray, rows: int, columns: int, title: str, names: tuple[str, ...] = ()):
    """A figure of a picture `[H, W, C]` of that many rows and columns."""
    height, width = picture.shape[:2]
    inches = min(8.0, max(rows, columns)) / max(height, width)
    figure = style.new_figure(max(3.0, width * inches) + 1.2 * bool(names), height * inches + 0.35)
    ax = figure.subplots()
    colour = picture if picture.shape[-1] == 3 else picture[..., 0]
    ax.imshow(colour, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_title(title, fontsize=11)
    ax.spines[:].set_visible(False)
    ax.set_xticks([])
    ax.set_yticks((np.arange(len(names)) + 0.5) * height / rows, names, fontsize=10)
    ax.tick_params(length=0)
    return figure


def _plot_vectors(ax, drawn: np.ndarray, data: np.ndarray) -> None:
    """Samples `[N, D]` over data `[M, D]`: points where D is 2, else lines over features."""
    if drawn.shape[1] == 2:
        ax.scatter(*data.T, s=6, color="0.75", linewidths=0, label="test data")
        ax.scatter(*drawn.T, s=12, color=style.PALETTE[2], linewidths=0, label="samples")
        style.polish(ax, f"{len(drawn)} samples", "feature 0", "feature 1")
        ax.legend(frameon=False, fontsize=9, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.13))
    else:
        ax.plot(drawn.T, color=style.PALETTE[0], linewidth=0.8, alpha=0.5)
        style.polish(ax, f"{len(drawn)} samples", "feature", "value")


def _plot_net(ax, vectors: np.ndarray, data: np.ndarray, grid: Grid | None, title: str) -> None:
    """Prototypes `[K, 2]` over data `[M, 2]`, joined where they are neighbours on a grid."""
    ax.scatter(*data.T, s=6, color="0.75", linewidths=0, label="test data")
    if grid:
        neighbours = 6 if grid.topology == "hexagonal" else 4
        first, second = np.nonzero(np.triu(adjacency(grid, neighbours)))
        ax.plot(*vectors[np.stack([first, second])].transpose(2, 0, 1), color="0.35", linewidth=0.7)
    ax.scatter(*vectors.T, s=16, color=style.PALETTE[2], linewidths=0, label="prototypes", zorder=3)
    style.polish(ax, title, "feature 0", "feature 1")
    ax.legend(frameon=False, fontsize=9)


def _plot_cells(ax, vectors: np.ndarray, grid: Grid, title: str) -> None:
    """Each prototype `[K, D]` as a line in its cell of the grid; all share the scale of values."""
    low, high = vectors.min(), vectors.max()
    heights = 0.32 - 0.64 * (vectors - low) / max(high - low, 1e-12)  # rows run downwards
    across = np.linspace(-0.38, 0.38, vectors.shape[1]) if vectors.shape[1] > 1 else np.zeros(1)
    marker = "o" if vectors.shape[1] == 1 else ""
    units.draw_units(ax, grid, facecolor="white", edgecolor="0.8", linewidth=0.6)
    for (row, column), line in zip(positions(grid), heights, strict=False):
        ax.plot(column + across, row + line, color=style.PALETTE[0], linewidth=1.1, marker=marker)
    ax.set_title(title, fontsize=11)
    ax.set_xlabel(f"each over features 0 to {vectors.shape[1] - 1}, from {low:.3g} to {high:.3g}", fontsize=9)


def _first_kernel(params, pixels: int) -> np.ndarray | None:
    """`params["code"]["kernel"]` or the first kernel `[pixels, units]` of the parameters."""
    leaves = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    names = sorted(leaves, key=lambda name: name != "['code']['kernel']")
    found = (leaves[name] for name in names if name.endswith("['kernel']") and leaves[name].ndim == 2)
    return next((np.asarray(kernel) for kernel in found if len(kernel) == pixels), None)
