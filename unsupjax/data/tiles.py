"""Photographs of any size: cut into tiles of one size to train on, whole to be judged."""

import logging
import os

import numpy as np

from unsupjax.data.pictures import decode_image
from unsupjax.data.sources.folder import images
from unsupjax.data.sources.photographs import NAMES, TRAINED, photographs
from unsupjax.data.splits import ArraySplit, Split
from unsupjax.errors import UserError

LEAST = 8  # pixels of a tile's side

logger = logging.getLogger(__name__)


def tiles(picture: np.ndarray, size: int) -> np.ndarray:
    """Square tiles that cover a picture `[H, W, C]`, evenly spaced: `[N, size, size, C]`, row by row.

    They overlap where the sides are no multiples of `size`; of a picture with a shorter side there are none.
    """
    height, width, channels = picture.shape
    if min(height, width) < size:
        return np.empty((0, size, size, channels), picture.dtype)
    rows, columns = (_starts(side, size) for side in (height, width))
    return np.stack([picture[i : i + size, j : j + size] for i in rows for j in columns])


def cut(source: str, split: Split, size: int) -> ArraySplit:
    """All tiles of a split of pictures of any size, each with its picture's label.

    Raises:
        UserError: no picture has room for a tile.
    """
    made, labels, small = [], [], 0
    for i in range(len(split)):
        picture, label = split[i]
        found = tiles(picture, size)
        small += not len(found)
        made.append(found)
        labels += [label] * len(found)
    if small:
        logger.warning(
            "%s: %d of %d pictures are smaller than a tile and left out", source, small, len(split)
        )
    if not labels:
        raise UserError(
            f"{source}: no picture of a split has room for a tile; choose a smaller config.data.tile={size}"
        )
    return ArraySplit(np.concatenate(made), None if labels[0] is None else np.array(labels, np.int32))


def check_tile(size: int) -> None:
    """Refuses a `config.data.tile` that is none."""
    if size and size < LEAST:
        raise UserError(f"config.data.tile={size} must be 0 (pictures as they are) or at least {LEAST}")


def whole(source: str, channels: int) -> dict[str, np.ndarray]:
    """The pictures of a source, whole and by name, to judge by: "photographs" (what is held out of them), or a folder.

    Args:
        source: "photographs", "folder:PATH" or a path.
        channels: 1 (greyscale) or 3 (RGB), to which they are converted.

    Raises:
        UserError: another source, or pictures that cannot be read.
    """
    if source == "photographs":
        return dict(zip(NAMES, photographs(channels)[:, :, TRAINED:], strict=True))
    path = os.path.expanduser(source.removeprefix("folder:"))
    paths = [path] if os.path.isfile(path) else images(source, path)
    return {os.path.relpath(p, path): decode_image(p, p, channels) for p in paths}


def _starts(side: int, size: int) -> np.ndarray:
    return np.linspace(0, side - size, -(-side // size)).round().astype(int)
