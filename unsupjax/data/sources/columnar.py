"""`parquet:PATH` and `arrow:PATH`: tables of typed columns; numbers, texts, dates, vectors, or encoded pictures."""

import contextlib
import functools
import io
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from unsupjax.data.checks import clean_inputs
from unsupjax.data.columns import EXACT, FEW, LARGEST, Column, date_format
from unsupjax.data.files import is_remote, opened
from unsupjax.data.sources import encoded, frames
from unsupjax.data.splits import Parts
from unsupjax.errors import UserError

_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")  # how pictures begin

logger = logging.getLogger(__name__)


def _open(
    source: str,
    path: str,
    *,
    suffix: str,
    read: Callable,
    label_column: str,
    leave_out: tuple[str, ...],
    missing: bool,
    columns: str,
    categories: tuple[str, ...],
    image_size: int,
    unreadable: float,
    alpha: str,
) -> Parts:
    """Opens a file, or a folder of them, whose names or folders tell the splits; the rest as `open_source` has it."""
    files = _files(source, path, suffix)
    tables = [_joined(source, names, read) for names in files.values() if names]
    if len({tuple(t.column_names) for t in tables}) > 1:
        raise UserError(
            f"{source}: the columns of train {tables[0].column_names} and test {tables[1].column_names} differ"
        )
    names = tables[0].column_names
    frames.check_left_out(source, names, leave_out)
    classes = _classes(tables[0].schema)
    label_column = label_column or _usual_label(source, classes)
    label = frames.label_index(source, names, label_column)
    kept = [name for i, name in enumerate(names) if i != label and name not in leave_out]
    if not kept:
        raise UserError(f"{source} has no columns but the label; leave config.data.label_column out")
    labels = [None if label is None else _labels(source, t.column(label)) for t in tables]
    labels = _encoded(source, labels, classes.get(label_column))
    if pictures := [name for name in kept if is_pictures(tables[0].column(name))]:
        options = {"image_size": image_size, "unreadable": unreadable, "alpha": alpha}
        return _of_pictures(source, tables, pictures, kept, labels, options)
    if image_size:
        raise UserError(
            f"config.data.image_size={image_size} is for pictures, and {source!r} has no column of them"
        )
    if (
        len(kept) == 1
        and (found := [vectors(source, t.column(kept[0]), missing) for t in tables])[0] is not None
    ):
        return frames.parts(found, None, labels)
    pairs = [[typed(source, n, t.column(n), columns, categories) for n in kept] for t in tables]
    if columns != "mixed" and not categories and all(c.numeric for c, _ in pairs[0]):
        _check_numbers(source, pairs, missing)
        made = [np.stack([v for _, v in p], axis=1) for p in pairs]
        return frames.parts(made, tuple(kept), labels)
    return frames.of_types(source, pairs, labels, columns, categories, missing)


def _read_parquet(name: str):
    from pyarrow import parquet

    with opened(name) as file:
        return parquet.read_table(file)


def _read_arrow(name: str):
    """Of what `datasets.save_to_disk` wrote, or of a file of Arrow's stream or file format."""
    import pyarrow as pa

    mapped = pa.memory_map(name)  # nothing is read before it is asked for
    try:
        return pa.ipc.open_stream(mapped).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_file(mapped).read_all()


def files_in_order(source: str, path: str, suffix: str) -> list[str]:
    """The files of all splits: those of training, then the others."""
    return [name for names in _files(source, path, suffix).values() for name in names]


def batches(source: str, files: Sequence[str], form: str) -> Iterator[Any]:
    """Tables of some rows each, in order, of which few are in memory at once."""
    import pyarrow as pa
    from pyarrow import parquet

    for name in files:
        with _reading(source, name):
            if form == "parquet":
                with opened(name) as file:
                    for batch in parquet.ParquetFile(file).iter_batches():
                        yield pa.Table.from_batches([batch])
            else:
                for batch in _read_arrow(name).to_batches():  # mapped, not read
                    yield pa.Table.from_batches([batch])


def joined(source: str, files: Sequence[str], form: str):
    """All rows of files as one table."""
    return _joined(source, list(files), _read_parquet if form == "parquet" else _read_arrow)


def outline(source: str, files: Sequence[str], form: str) -> tuple[Any, int]:
    """The schema of files, which they share, and how many rows they have together."""
    from pyarrow import parquet

    schemas, rows = [], 0
    for name in files:
        with _reading(source, name):
            if form == "parquet":
                with opened(name) as file:
                    found = parquet.ParquetFile(file)
                    schemas, rows = [*schemas, found.schema_arrow], rows + found.metadata.num_rows
            else:
                found = _read_arrow(name)
                schemas, rows = [*schemas, found.schema], rows + found.num_rows
    for name, schema in zip(files, schemas, strict=True):
        if schema.names != schemas[0].names:
            raise UserError(
                f"{source}: {files[0]} has the columns {schemas[0].names}, and {name} {schema.names}"
            )
    return schemas[0], rows


open_parquet = functools.partial(_open, suffix=".parquet", read=_read_parquet)
open_arrow = functools.partial(_open, suffix=".arrow", read=_read_arrow)


def _files(source: str, path: str, suffix: str) -> dict[str, list[str]]:
    """The files of each split; those that a cache left beside them are none."""
    if is_remote(path) or os.path.isfile(path):
        return {"train": [path], "test": []}
    if not os.path.isdir(path):
        raise UserError(f"{source}: there is no file or folder {path}")
    found = []
    for folder, folders, names in os.walk(path):
        folders.sort()
        listed = _listed(os.path.join(folder, "state.json"))
        for name in sorted(names):
            if name.endswith(suffix) and (not listed or name in listed) and not name.startswith((".", "_")):
                found.append(os.path.relpath(os.path.join(folder, name), path).replace(os.sep, "/"))
    if not found:
        raise UserError(f"{source}: there are no {suffix} files in {path}")
    splits = encoded.split_by_name(source, found)
    return {split: [os.path.join(path, name) for name in names] for split, names in splits.items()}


def _listed(state: str) -> set[str]:
    """The files that `datasets` says its data are in."""
    try:
        with open(state) as file:
            return {entry["filename"] for entry in json.load(file)["_data_files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


@contextlib.contextmanager
def _reading(source: str, name: str) -> Iterator[None]:
    """Tells of a file that cannot be read by a `UserError`."""
    import pyarrow as pa

    try:
        yield
    except OSError as error:
        raise UserError(f"{source}: cannot open {name} ({error.strerror or error})") from error
    except pa.ArrowException as error:
        raise UserError(f"{source}: {name} is damaged or of another format ({str(error)[:200]})") from error


def _joined(source: str, names: list[str], read: Callable):
    import pyarrow as pa

    tables = []
    for name in names:
        with _reading(source, name):
            tables.append(read(name))
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise UserError(f"{source}: its files have different columns ({str(error)[:200]})") from error
    if not table.num_rows:
        raise UserError(f"{source} has no rows; it needs one for every example")
    return table


def _classes(schema) -> dict[str, tuple[str, ...]]:
    """The names of the classes of columns of labels, as `datasets` keeps them with a table."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return {n: tuple(f["names"]) for n, f in features.items() if f.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _usual_label(source: str, classes: dict) -> str:
    if len(classes) == 1:
        [name] = classes
        logger.warning(
            "%s: the column %r holds the labels; config.data.label_column changes that", source, name
        )
        return name
    return ""


def _labels(source: str, column) -> np.ndarray:
    if column.null_count:
        raise UserError(
            f"{source}: {column.null_count} rows have no label; remove them, or leave label_column out"
        )
    values = column.to_pylist()
    return np.array(values) if not isinstance(values[0], bytes) else np.array(values, object)


def _encoded(
    source: str, labels: list, classes: tuple[str, ...] | None
) -> tuple[tuple[str, ...] | None, list]:
    """Label names and the labels of each split as indices into them."""
    fit = lambda y: y.dtype.kind in "iu" and 0 <= y.min() <= y.max() < len(classes)
    if classes and labels[0] is not None and all(map(fit, labels)):
        return classes, [y.astype(np.int32) for y in labels]
    return frames.labelled(source, labels)


def is_pictures(column) -> bool:
    """Whether a column holds encoded pictures: `datasets` keeps them as bytes and a path."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return False
    first = next((cell.as_py() for cell in column if cell.is_valid), b"")
    return first.startswith(_MAGIC)


class Cells:
    """`record -> (name, file)` of a column of pictures. Picklable."""

    def __init__(self, source: str, columns: Sequence[Any], start: int = 0):
        """Of splits, or of rows from `start` on."""
        self.source, self.columns, self.start = source, columns, start

    def __call__(self, record: tuple[int, int]) -> tuple[str, io.BytesIO | str]:
        split, row = record
        cell = self.columns[split][row].as_py()
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        name = f"row {self.start + row} (from 0) of {self.source}"
        if content is None and isinstance(cell, dict) and cell.get("path"):
            return cell["path"], cell["path"]
        return name, io.BytesIO(content or b"")


def _of_pictures(
    source: str, tables: list, pictures: list[str], kept: list[str], labels: tuple, options: dict
) -> Parts:
    if len(pictures) > 1:
        raise UserError(
            f"{source}: {pictures!r} hold pictures; name all but one of them in config.data.leave_out"
        )
    if others := [name for name in kept if name not in pictures]:
        logger.warning("%s: not read beside the pictures: %s", source, ", ".join(map(repr, others)))
    names, ys = labels
    read = Cells(source, [t.column(pictures[0]) for t in tables])
    splits = [
        ([(i, row) for row in range(t.num_rows)], y) for i, (t, y) in enumerate(zip(tables, ys, strict=True))
    ]
    return encoded.parts(source, splits, read, names, key=_Content(read), **options)


class _Content:
    """What tells a picture of a table from others."""

    def __init__(self, read: Cells):
        self.read = read

    def __call__(self, record) -> bytes:
        name, file = self.read(record)
        return file.getvalue() if isinstance(file, io.BytesIO) else name.encode()


def vectors(source: str, column, missing: bool) -> np.ndarray | None:
    """A column of lists of equally many numbers, `[N, D]` or of more axes; None where it is no such."""
    import pyarrow as pa

    kind, depth = column.type, 0
    while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind, depth = kind.value_type, depth + 1
    if not depth or not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        return None
    flat, sides = column.combine_chunks(), []
    flat = flat.chunk(0) if isinstance(flat, pa.ChunkedArray) else flat
    for _ in range(depth):
        lengths = _lengths(flat)
        if len(lengths) != 1 or None in lengths:
            raise UserError(
                f"{source}: lists of {sorted(map(str, lengths))[:5]} numbers in a column; make them equally long"
            )
        sides.append(lengths.pop())
        flat = flat.flatten()
    x = flat.to_numpy(zero_copy_only=False).reshape(len(column), *sides)
    return clean_inputs(source, x, missing)


def _lengths(lists) -> set[int | None]:
    """How many entries the lists of a column have."""
    import pyarrow as pa

    fixed = pa.types.is_fixed_size_list(lists.type)
    return {lists.type.list_size} if fixed else set(lists.value_lengths().to_pylist())


def typed(source: str, name: str, column, types: str, categories: tuple) -> tuple[Column, np.ndarray]:
    """A column's type and values, as `unsupjax.data.columns.Table` has them; what is text stays text."""
    import pyarrow as pa
    from pyarrow import compute

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        column = column.cast(pa.large_string())
    kind = column.type
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind) and not pa.types.is_time(kind):
        moments = column.cast(pa.timestamp("s"), safe=False)
        form = "%Y-%m-%d %H:%M:%S"
        clock = (compute.hour, compute.minute, compute.second)
        if not any(compute.any(compute.not_equal(part(moments), 0)).as_py() for part in clock):
            form = "%Y-%m-%d"
        texts = compute.fill_null(compute.strftime(moments, format=form), "")
        return Column(name, "date", False, format=form), np.array(texts.to_pylist(), str)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        values = np.array(compute.fill_null(column, "").to_pylist(), str)
        observed = [t for t in np.unique(values).tolist() if t]
        form = date_format(observed) if types == "mixed" and name not in categories else ""
        return Column(name, "date" if form else "text", not form, format=form), values
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        values = column.cast(pa.int8()) if pa.types.is_boolean(kind) else column
        limits = compute.min_max(values).as_py()
        if max(abs(limits["min"] or 0), abs(limits["max"] or 0)) > EXACT:
            raise UserError(
                f"{source}: column {name!r} holds integers beyond 2^53, which numbers cannot tell apart; name it in "
                "config.data.leave_out"
            )
        values = _floats(values)
        few = len(np.unique(values[~np.isnan(values)])) <= FEW
        return Column(name, "integer", few or name in categories), values
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return Column(name, "float", name in categories, (0, 18)), _floats(column)
    raise UserError(
        f"{source}: column {name!r} holds {kind}, neither numbers nor texts; name it in config.data.leave_out, or "
        "all others where it holds vectors or pictures"
    )


def _floats(column) -> np.ndarray:
    import pyarrow as pa

    return np.array(column.cast(pa.float64()).to_numpy(), np.float64)


def _check_numbers(source: str, pairs: list, missing: bool) -> None:
    """Refuses the first number that is missing, where none may be, or beyond float32."""
    for column, values in (pair for split in pairs for pair in split):
        wrong = ~(np.abs(values) <= LARGEST) & ~(missing & np.isnan(values))
        if wrong.any():
            row = int(wrong.argmax())
            gone = np.isnan(values[row])
            mend = (
                "set config.data.missing=True if the entry was not observed" if gone else "mend or remove it"
            )
            raise UserError(
                f"{source}: row {row} (from 0), column {column.name!r} holds "
                f"{'nothing' if gone else values[row]}, not a number of float32; {mend}"
            )
