"""Named arrays and a description in one `.npz` file without pickle: reading a file runs nothing that is in it."""

import json
import pathlib
import zipfile
import zlib
from typing import Any

import numpy as np

from unsupjax.errors import UserError

FORMAT = "unsupjax"
VERSION = 1
_HEADER = "__header__"
_DAMAGE = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def save(path: str | pathlib.Path, arrays: dict[str, np.ndarray], description: dict[str, Any] | None = None):
    """Writes arrays of numpy or JAX under their names, and beside them what JSON can say.

    `save("codes.npz", codebooks._asdict())` keeps the result of a function.

    Args:
        path: of the file, whole: no suffix is appended. A file there is replaced once the new one is complete.
        arrays: by name; numbers, booleans or strings, no Python objects.
        description: strings, finite numbers, booleans, None, and lists and dicts of them.

    Raises:
        UserError: an array of Python objects; a description that JSON has no form for; a path that cannot be written.
    """
    path = pathlib.Path(path)
    arrays = {name: np.asarray(value) for name, value in arrays.items()}
    for name, value in arrays.items():
        if value.dtype.hasobject or value.dtype.kind == "V":
            raise UserError(
                f"{path}: {name!r} of dtype {value.dtype} has no form in a .npz file without pickle"
            )
    header = {"format": FORMAT, "version": VERSION, "description": description or {}}
    try:
        arrays[_HEADER] = np.array(json.dumps(header, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: the description has no form in JSON: {error}") from error
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
        partial.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error}") from error


def load(path: str | pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the description that `save` wrote.

    Raises:
        UserError: there is no such file, it is damaged, none of ours, or of a later version.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"{path} is no file")
    try:
        with np.load(path, allow_pickle=False) as file:
            if _HEADER not in file.files:
                raise UserError(f"{path} was not written by this package: it has no {_HEADER!r}")
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop(_HEADER)))
        ours, version, description = header["format"] == FORMAT, int(header["version"]), header["description"]
    except UserError:
        raise
    except (*_DAMAGE, AttributeError, TypeError) as error:
        cause = str(error).split(". ")[0]  # numpy goes on to advise pickle
        raise UserError(f"{path} is damaged or no .npz file of this package: {cause}") from error
    if not ours or not isinstance(description, dict):
        raise UserError(f"{path} was not written by this package")
    if version > VERSION:
        raise UserError(f"{path} has format version {version}; this package reads up to {VERSION}: update it")
    return arrays, description
