"""Results in files, written as they come: whole at the end, or not there at all."""

import contextlib
import csv
import errno
import os
import pathlib
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from unsupjax.errors import UserError, nearest

UNITS = {errno.ENOSPC: "make room there", errno.EDQUOT: "make room there"}

Values = np.ndarray | Mapping[str, np.ndarray]


class Pngs:
    """A folder of pictures, named as those that they were made of."""

    takes_blanks = False  # a picture that could not be read has none

    def __init__(self, path: pathlib.Path):
        """Makes the folder."""
        path.mkdir(exist_ok=True)
        self._path = path

    def write(self, carried: Mapping[str, Sequence], name: str, values: Values) -> None:
        """A file for each of `[n, H, W, C]`."""
        if not isinstance(values, np.ndarray) or values.ndim != 4:
            raise UserError(
                f"a folder is for pictures, and these are none: --out={name}.csv, .parquet, .npy or .npz"
            )
        if values.dtype != np.uint8 and not (values.dtype == np.uint16 and values.shape[-1] == 1):
            raise UserError(
                f"PNG has no form for pictures of {values.dtype} and {values.shape[-1]} channels: --out={name}.npy"
            )
        if values.shape[-1] == 2:
            raise UserError(f"PNG has no form for pictures of 2 channels: --out={name}.npy")
        from PIL import Image

        [(by, names)] = [(k, v) for k, v in carried.items() if k in ("file", "row")]
        for label, picture in zip(names, values, strict=True):
            relative = (
                pathlib.PurePosixPath(label) if by == "file" else pathlib.PurePosixPath(f"{label:08d}.png")
            )
            target = self._path / relative.with_suffix(".png")
            if target.exists():  # a.jpg beside a.png
                target = target.with_name(relative.name + ".png")
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture if picture.shape[-1] > 1 else picture[..., 0]).save(target)

    def close(self) -> None:
        """Nothing is left to do."""


class Folder:
    """A folder of files."""

    def __init__(self, path: pathlib.Path):
        """Makes the folder."""
        path.mkdir(exist_ok=True)
        self._path = path

    def write(self, name: str, content: bytes) -> None:
        """A file, in the folders that lead to it."""
        target = self._path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def close(self) -> None:
        """Nothing is left to do."""


class Npy:
    """One array `[N, ...]`."""

    takes_blanks = True

    def __init__(self, path: pathlib.Path):
        """Begins the file."""
        self._file, self._shape, self._dtype = path.open("wb+"), None, None

    def write(self, carried: Mapping[str, Sequence], name: str, values: Values) -> None:
        """Appends `[n, ...]`."""
        if not isinstance(values, np.ndarray) or values.dtype == object:
            raise UserError("texts and rows of named columns are no array: --out=NAME.csv or NAME.parquet")
        if self._shape is None:
            self._shape, self._dtype = (0, *values.shape[1:]), values.dtype
            self._header()
        self._file.write(np.ascontiguousarray(values).tobytes())
        self._shape = (self._shape[0] + len(values), *self._shape[1:])

    def _header(self) -> None:
        """Numpy leaves room in it for a longer first axis."""
        described = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": self._shape,
        }
        np.lib.format.write_array_header_1_0(self._file, described)

    def close(self) -> None:
        """Writes how long the array became."""
        if self._shape is not None:
            self._file.seek(0)
            self._header()
        self._file.close()


class Npz:
    """The array as `x`, and beside it what was carried along."""

    takes_blanks = True

    def __init__(self, path: pathlib.Path):
        """Begins the file; the array waits beside it."""
        self._path, self._beside = path, path.with_name(path.name + ".npy")
        self._array, self._carried = Npy(self._beside), {}

    def write(self, carried: Mapping[str, Sequence], name: str, values: Values) -> None:
        """Appends `[n, ...]`."""
        self._array.write(carried, name, values)
        for key, column in carried.items():
            self._carried.setdefault(key, []).extend(column)

    def close(self) -> None:
        """Joins both."""
        self._array.close()
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            archive.write(self._beside, "x.npy")
            for key, column in self._carried.items():
                with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                    values = np.array(column)
                    np.lib.format.write_array(
                        file, values if values.dtype.kind != "O" else values.astype(str)
                    )
        self._beside.unlink()


class Csv:
    """Text, with names in the first line; numbers in the shortest form that reads back the same."""

    takes_blanks = True

    def __init__(self, path: pathlib.Path):
        """Begins the file."""
        self._file, self._named = path.open("w", newline="", encoding="utf-8"), False
        self._writer = csv.writer(self._file, lineterminator="\n")

    def write(self, carried: Mapping[str, Sequence], name: str, values: Values) -> None:
        """Appends rows."""
        columns = _beside(carried, name, values)
        if not self._named:
            self._writer.writerow(columns)
            self._named = True
        self._writer.writerows(zip(*map(_texts, columns.values()), strict=True))

    def close(self) -> None:
        """Ends the file."""
        self._file.close()


class Lines(Csv):
    """Rows of text on standard output, each there at once."""

    def __init__(self):
        """Names come with the first row."""
        self._file, self._named = sys.stdout, False
        self._writer = csv.writer(self._file, lineterminator="\n")

    def write(self, carried: Mapping[str, Sequence], name: str, values: Values) -> None:
        """Prints rows."""
        super().write(carried, name, values)
        self._file.flush()


class Parquet:
    """Typed columns, compressed."""

    takes_blanks = True

    def __init__(self, path: pathlib.Path):
        """The file begins with the first rows, which say what the columns are."""
        self._path, self._writer = path, None

    def write(self, carried: Mapping[str, Sequence], name: str, values: Values) -> None:
        """Appends rows."""
        import pyarrow as pa
        from pyarrow import parquet

        columns = {key: pa.array(column) for key, column in _beside(carried, name, values).items()}
        if self._writer is None:
            empty = {k: c.cast(pa.string()) for k, c in columns.items() if pa.types.is_null(c.type)}
            schema = pa.record_batch(columns | empty).schema
            self._writer = parquet.ParquetWriter(self._path, schema)
        table = pa.table(columns)
        self._writer.write_table(table.cast(self._writer.schema))

    def close(self) -> None:
        """Ends the file."""
        if self._writer is not None:
            self._writer.close()


WRITERS = {".csv": Csv, ".parquet": Parquet, ".npy": Npy, ".npz": Npz, "": Pngs}


def _beside(carried: Mapping[str, Sequence], name: str, values: Values) -> dict[str, Any]:
    """What was carried along, and the results beside it."""
    made = columns_of(name, values)
    if twice := next((column for column in made if column in carried), None):
        raise UserError(
            f"the source has a column {twice!r} as well, which is kept beside the result: choose with --keep=NAMES"
        )
    return {**carried, **made}


def _texts(column: Sequence) -> list[str]:
    """As they are written; what is missing is empty."""
    if isinstance(column, np.ndarray):
        texts = column.astype(str).tolist()
        return ["" if t == "nan" else t for t in texts] if column.dtype.kind == "f" else texts
    return ["" if value is None or value != value else str(value) for value in column]


def columns_of(name: str, values: Values) -> dict[str, Any]:
    """Results as columns: of one number `name`, of several `name0`, `name1`, ...

    Raises:
        UserError: they are pictures.
    """
    if isinstance(values, Mapping):
        return dict(values)
    if values.ndim > 2:
        raise UserError(
            f"results of shape {values.shape[1:]} have no form in columns: --out=FOLDER (PNG files), NAME.npy or "
            "NAME.npz"
        )
    return {name: values} if values.ndim == 1 else {f"{name}{i}": column for i, column in enumerate(values.T)}


def check_columns(path: str, overwrite: bool, what: str) -> type:
    """`check` of a path for what is a table, such as "recommendations are a table"."""
    if pathlib.Path(path).suffix.lower() not in (".csv", ".parquet"):
        raise UserError(f"--out={path}: {what}; name a .csv or .parquet file")
    return check(path, overwrite)


def check(path: str, overwrite: bool) -> type:
    """The writer of a path, by its suffix.

    Raises:
        UserError: no such suffix, something is there, or it cannot be written.
    """
    target = pathlib.Path(path)
    if target.suffix.lower() not in WRITERS:
        raise UserError(
            f"--out={path}: there is no form for {target.suffix!r}; {nearest(target.suffix, filter(None, WRITERS))}, "
            "or a folder of PNG files"
        )
    writer = WRITERS[target.suffix.lower()]
    if writer is not Pngs and target.is_dir():
        raise UserError(f"--out={path} is a folder; name a file in it")
    if writer is Pngs and target.is_file():
        raise UserError(f"--out={path} is a file; name a folder, or a file with a suffix")
    is_there = any(target.iterdir()) if target.is_dir() else target.exists()
    if is_there and not overwrite:
        raise UserError(f"--out={path} is there already: choose another, or add --overwrite")
    parent = next(p for p in target.absolute().parents if p.exists())
    if not os.access(parent, os.W_OK):
        raise UserError(f"--out={path}: {parent} is not writable; choose another folder")
    return writer


@contextlib.contextmanager
def opened(path: str, writer: type) -> Iterator[Any]:
    """A writer whose file, or folder, lies at `path` once all of it was written; else what was there still does.

    Raises:
        UserError: the disk is full or cannot be written; half of a result is never left.
    """
    target = pathlib.Path(path)
    partial = target.with_name(target.name + ".partial")
    made = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove(partial)
        made = writer(partial)
        yield made
        made.close()
        _put(partial, target)
    except BaseException as error:
        with contextlib.suppress(Exception):
            made.close()
        for left in (partial, partial.with_name(partial.name + ".npy")):
            _remove(left)
        if isinstance(error, OSError) and not isinstance(error, UserError):
            mend = UNITS.get(error.errno, "make it writable, or choose another place")
            raise UserError(f"--out={path} cannot be written ({error.strerror or error}): {mend}") from error
        raise


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _put(partial: pathlib.Path, target: pathlib.Path) -> None:
    """In the place of a file; into a folder beside what else is there."""
    if not target.is_dir():
        partial.replace(target)
        return
    for file in sorted(p for p in partial.rglob("*") if p.is_file()):
        place = target / file.relative_to(partial)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)
    shutil.rmtree(partial)
