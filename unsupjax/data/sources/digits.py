"""`digits`: the 1,797 handwritten digits that come with scikit-learn."""

import importlib.util
import pathlib

import numpy as np

from unsupjax.data.splits import ArraySplit, Parts


def open_digits(source: str, path: str) -> Parts:
    """8x8 greyscale digits, uint8 `[1797, 8, 8, 1]`; the 17 grey levels are spread over 0..255."""
    rows = _rows()
    images = np.round(rows[:, :64].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    return Parts(ArraySplit(images, rows[:, 64].astype(np.int32)), None, tuple("0123456789"))


def _rows() -> np.ndarray:
    """64 grey levels and the digit, float64 `[1797, 65]`.

    From the file itself where it lies: scikit-learn takes as long to import as all else that a run of them needs.
    """
    package = pathlib.Path(*importlib.util.find_spec("sklearn").submodule_search_locations)
    file = package / "datasets" / "data" / "digits.csv.gz"
    if file.exists():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])
