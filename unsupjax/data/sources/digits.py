"""`digits`: the 1,797 handwritten digits that come with scikit-learn."""

import numpy as np

from unsupjax.data.splits import ArraySplit, Parts


def open_digits(source: str, path: str) -> Parts:
    """8x8 greyscale digits, uint8 `[1797, 8, 8, 1]`; the 17 grey levels are spread over 0..255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images[..., None] * (255 / 16)).astype(np.uint8)
    split = ArraySplit(images, digits.target.astype(np.int32))
    return Parts(split, None, tuple(str(name) for name in digits.target_names))
