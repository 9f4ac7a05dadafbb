"""`photographs`: the two photographs that come with scikit-learn."""

import numpy as np

from unsupjax.data.splits import ArraySplit, Parts
from unsupjax.errors import UserError

NAMES = ("china", "flower")
TRAINED = 448  # columns from the left that are trained on; the 192 others are held out


def open_photographs(source: str, path: str, *, tile: int, grey: bool) -> Parts:
    """Two photographs of 427 x 640 pixels, uint8: their left part to train on, the right one held out."""
    if not tile:
        raise UserError(
            f"{source}: two photographs are cut into tiles to train on: set config.data.tile, such as 64"
        )
    x = photographs(1 if grey else 3)
    return Parts(ArraySplit(x[:, :, :TRAINED]), ArraySplit(x[:, :, TRAINED:]), None)


def photographs(channels: int) -> np.ndarray:
    """Both, uint8 `[2, 427, 640, channels]` of 1 (greyscale) or 3 (RGB) channels."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    pictures = [Image.fromarray(load_sample_image(f"{name}.jpg")) for name in NAMES]
    return np.stack([np.asarray(p.convert("L") if channels == 1 else p) for p in pictures]).reshape(
        2, 427, 640, channels
    )
