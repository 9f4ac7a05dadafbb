"""What every source of arrays asks of its inputs and labels."""

import re

import numpy as np

from unsupjax.data.columns import EXACT, is_float
from unsupjax.errors import UserError

_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
_LONG = 2**63


def clean_inputs(where: str, x: np.ndarray, missing: bool = False) -> np.ndarray:
    """Inputs as the rest of the package expects them, at full precision.

    Args:
        where: names the array in errors.
        x: `[N, ...]`, boolean, integer or floating.
        missing: NaN is allowed.

    Returns:
        uint8 of three axes or more is images, `[N, H, W, C]` (a missing channel axis is added); other integers of four
        axes are as they came; anything else is float32 or float64 of the same shape.

    Raises:
        UserError: no examples, no feature axis, another dtype, or a value that float32 cannot hold.
    """
    if x.ndim < 2 or x.size == 0:
        raise UserError(f"{where} has shape {x.shape}; inputs are a table [N, D] or images [N, H, W, C]")
    if x.dtype.kind not in "biuf":
        raise UserError(f"{where} has dtype {x.dtype}; inputs must be numbers: convert them before saving")
    if x.dtype == np.uint8 and x.ndim >= 3:
        return x[..., None] if x.ndim == 3 else x
    if x.ndim == 4 and x.dtype.kind in "iu":
        return x
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float64)
    largest = np.finfo(np.float32).max
    good = ((np.abs(x) <= largest) | (missing & np.isnan(x))).all(axis=tuple(range(1, x.ndim)))
    if not good.all():
        row = int(np.argmin(good))
        raise UserError(f"{where}: row {row} (counting from 0) holds NaN, infinity or a value too large")
    return x


def encode_labels(where: str, *parts: np.ndarray) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Label names in order (numeric if all are whole numbers), and each part as int32 indices into them.

    Args:
        where: names the labels in errors.
        *parts: `[N]` or `[N, 1]`: integers, whole floats, or text; one array a split.

    Raises:
        UserError: another shape or dtype, or a number that is not whole.
    """
    columns = [_as_column(where, y) for y in parts]
    together = _whole_numbers(where, np.concatenate(columns))
    names, codes = np.unique(together, return_inverse=True)
    ends = np.cumsum([len(c) for c in columns])[:-1]
    return tuple(str(name) for name in names), np.split(codes.astype(np.int32), ends)


def _as_column(where: str, y: np.ndarray) -> np.ndarray:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "biufUSO":
        raise UserError(f"{where}: labels are {y.dtype} of shape {y.shape}; use integers or text, [N]")
    return np.array([_decoded(where, v) for v in y.tolist()]) if y.dtype.kind in "SO" else y


def _decoded(where: str, label: bytes | object) -> str:
    try:
        return label.decode() if isinstance(label, bytes) else str(label)
    except UnicodeDecodeError:
        raise UserError(
            f"{where}: the label {label!r} is no UTF-8 text; save the labels in that encoding"
        ) from None


def _whole_numbers(where: str, y: np.ndarray) -> np.ndarray:
    """int64 if every label is a number, else text as it is: 02139 and 2139 are two classes."""
    if y.dtype.kind == "U":
        clean = [text.strip() for text in y.tolist()]
        if not all(map(is_float, clean)):
            return y
        if all(map(_WHOLE.fullmatch, clean)):
            numbers = [int(text.partition(".")[0]) for text in clean]
            return np.array(numbers) if max(map(abs, numbers)) < _LONG else y
        y = y.astype(np.float64)
    if y.dtype.kind in "bi":
        return y.astype(np.int64)
    if y.dtype.kind == "u":
        return y.astype(np.int64) if y.max() < _LONG else y
    whole = np.isfinite(y) & (y == np.round(y)) & (np.abs(y) <= EXACT)
    if not whole.all():
        row = int(np.argmin(whole))
        raise UserError(f"{where}: {y[row]} in row {row} (counting from 0) is no class; use integers or text")
    return y.astype(np.int64)


def same_length(where: str, x: np.ndarray, y: np.ndarray) -> None:
    """Refuses inputs and labels of different lengths."""
    if len(x) != len(y):
        raise UserError(f"{where}: {len(x)} inputs but {len(y)} labels; they must be equally many")
