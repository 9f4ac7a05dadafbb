"""Images as the points of a plane."""

import numpy as np

from unsupjax.evaluate.figures import style
from unsupjax.evaluate.figures.pictures import displayed

_SIDE = 1800  # pixels of the longer side of the plane
_EDGE = 32  # pixels of the longer edge of an image
_FRAME = 2  # pixels


def scatter_images(
    ax, points: np.ndarray, x: np.ndarray, y: np.ndarray | None, label_names: tuple[str, ...] | None
) -> int:
    """Draws images `[N, H, W, C]` at points `[N, 2]`, in order and where there is room, framed by class.

    Returns:
        how many are drawn.
    """
    classes = np.unique(y) if y is not None else None
    colours = np.zeros((len(x), 3))
    if y is not None:
        colours = style.class_colours(np.searchsorted(classes, y), np.ones(len(y)))
        style.class_legend(ax, [style.class_name(label, label_names) for label in classes])
    low = points.min(axis=0)
    scale = (_SIDE - 1) / max(np.ptp(points, axis=0).max(), 1e-12)
    height, width = (round(n * _EDGE / max(x.shape[1:3])) + 2 * _FRAME for n in x.shape[1:3])
    columns, rows = np.round((points - low) * scale).astype(int).T
    corners = np.stack([rows.max() - rows, columns], axis=1)
    kept = thinned(corners, (height, width))
    canvas = np.ones((rows.max() + height, columns.max() + width, 3))
    frame = slice(_FRAME, -_FRAME)
    for image, colour, (top, left) in zip(displayed(x[kept], x), colours[kept], corners[kept], strict=True):
        tile = np.broadcast_to(colour, (height, width, 3)).copy()
        tile[frame, frame] = resized(image, tile[frame, frame].shape[:2])
        canvas[top : top + height, left : left + width] = tile
    ax.imshow(canvas, interpolation="antialiased")
    ax.grid(False)
    return len(kept)


def thinned(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Which rectangles of one size (height, width) to keep, so that none overlaps an earlier one.

    Args:
        corners: their (row, column) in whole pixels, `[N, 2]`, not negative.
        size: their height and width in pixels.

    Returns:
        indices, ascending.
    """
    taken = np.zeros(corners.max(axis=0) + size, bool)
    kept = []
    for i, (row, column) in enumerate(corners):
        place = taken[row : row + size[0], column : column + size[1]]
        if not place.any():
            place[:] = True
            kept.append(i)
    return np.array(kept)


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image `[H, W, C]` at another height and width: pixels repeated, or averaged where it shrinks."""
    for axis, n in enumerate(size):
        old = image.shape[axis]
        edges = np.arange(n + 1) * old // n
        if n < old:
            sums = np.add.reduceat(image, edges[:-1], axis=axis)
            image = sums / np.diff(edges).reshape([-1 if a == axis else 1 for a in range(3)])
        else:
            image = image.take(edges[:-1], axis=axis)
    return image
