"""`npz:PATH` and `npy:PATH`: arrays that numpy saved."""

import zipfile

import numpy as np

from unsupjax.data.checks import clean_inputs, encode_labels, same_length
from unsupjax.data.files import opened
from unsupjax.data.splits import ArraySplit, Parts
from unsupjax.errors import UserError

KEYS = "x_train, y_train, x_test, y_test; or X (or x) and y"


def open_npy(source: str, path: str, *, missing: bool) -> Parts:
    """One array of inputs, `[N, D]` or `[N, H, W, C]`, without labels."""
    return Parts(ArraySplit(clean_inputs(source, load_array(source, path), missing)), None, None)


def load_array(source: str, path: str) -> np.ndarray:
    """The one array of a file; UserError where it holds several."""
    x = _load(source, path)
    if not isinstance(x, np.ndarray):
        raise UserError(f"{source} is an archive of arrays; open it as 'npz:{path}'")
    return x


def open_npz(source: str, path: str, *, missing: bool) -> Parts:
    """The arrays x_train, y_train, x_test, y_test; or X (or x) and y, of which the program holds a part out.

    Labels are optional in both forms.
    """
    found = _load(source, path)
    if isinstance(found, np.ndarray):
        raise UserError(f"{source} is a single array; open it as 'npy:{path}'")
    x_key = next((key for key in ("x_train", "X", "x") if key in found), None)
    if x_key is None:
        raise UserError(f"{source} holds {sorted(found)}; name the arrays {KEYS}")
    train_keys = (x_key, "y_train" if x_key == "x_train" else "y")
    names = [train_keys] + ([("x_test", "y_test")] if "x_test" in found else [])
    xs = [clean_inputs(f"{source}[{x!r}]", found[x], missing) for x, _ in names]
    if len({x.shape[1:] for x in xs}) > 1:
        raise UserError(f"{source}: examples of x_train {xs[0].shape} and x_test {xs[1].shape} differ")
    label_names, ys = _labels(source, found, names, xs)
    train, *test = map(ArraySplit, xs, ys)
    return Parts(train, test[0] if test else None, label_names)


def _labels(source, found, names, xs):
    present = [y for _, y in names if y in found]
    if not present:
        return None, [None] * len(xs)
    if len(present) < len(names):
        raise UserError(f"{source} has only {present[0]!r}; save both y_train and y_test, or none")
    for x, y in zip(xs, present, strict=True):
        same_length(f"{source}[{y!r}]", x, found[y])
    return encode_labels(f"{source}[{present[0]!r}]", *(found[y] for y in present))


def _load(source: str, path: str) -> np.ndarray | dict[str, np.ndarray]:
    """The array, or the arrays by name; pickled objects are refused, as loading them would run code."""
    try:
        with opened(path) as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            return {key: loaded[key] for key in loaded.files}
    except FileNotFoundError:
        raise UserError(f"{source}: there is no file {path}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{source} is not a readable numpy file without pickled objects ({error})") from error
