"""Examples as they come, for a model that is trained: all of a source in its order, a block at a time.

No labels are needed, nothing is held out, and nothing is fitted: what an example is, the model's kind says. Columns
that the model does not take and a user wants to see beside the results are carried along, as are the names of files.
"""

import functools
import inspect
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from unsupjax.data import delimited
from unsupjax.data.bags import SparseSplit
from unsupjax.data.columns import NOT_OBSERVED
from unsupjax.data.kinds import Baskets, Images, Kind, Table, Tokens, Windows
from unsupjax.data.kinds.columns import CATEGORIES, Column
from unsupjax.data.pictures import UnreadableImage, decode_image
from unsupjax.data.series import Series
from unsupjax.data.skipped import Skipped
from unsupjax.data.source import SOURCES, form_of, options_of, source_of
from unsupjax.data.sources import columnar, folder, frames, ratings, tar
from unsupjax.data.sources.bow import TABLES, open_bow
from unsupjax.data.sources.text import open_column
from unsupjax.data.splits import Split
from unsupjax.data.windowed import READERS, Windowed, cut
from unsupjax.errors import UserError, nearest

ALL = "all"  # of the columns, kept


class Block(NamedTuple):
    """Some examples beside each other.

    Attributes:
        start: the number of the first, from 0.
        carried: what stands beside each of them, by name.
        good: whether each could be read, bool `[n]`.
        raw: those that could, as `kind.prepare` takes them.
    """

    start: int
    carried: dict[str, Sequence]
    good: np.ndarray
    raw: Any


class Stream(NamedTuple):
    """A source, opened.

    Attributes:
        name: of the source.
        carried: the names of what stands beside each example.
        length: how many examples there are; None where only reading tells.
        blocks: `(size, part, parts) -> Iterator[Block]`: of the blocks of `size` examples, from `part` every parts-th.
    """

    name: str
    carried: tuple[str, ...]
    length: int | None
    blocks: Callable[[int, int, int], Iterator[Block]]


def open_stream(text: str, kind: Kind, options: Mapping[str, Any], keep: Sequence[str] = ()) -> Stream:
    """Opens a source for a model.

    Args:
        text: a source string, or a path.
        kind: what an example is to the model.
        options: of `unsupjax.data.open_source`, those that the model was trained with.
        keep: names of columns to be carried along, or `("all",)`; the label column and those left out in training are.

    Raises:
        UserError: no such source, or one whose examples are another thing than the model's.
    """
    if isinstance(kind, Windows) and os.path.exists(text):
        text = f"series:{text}"
    source = source_of(text)
    form, path = form_of(source)
    if isinstance(kind, Baskets):
        return _of_baskets(source, form, path, kind, options, keep)
    if isinstance(kind, Windows):
        return _of_windows(source, form, path, kind, options)
    if isinstance(kind, Images) and form in ("folder", "tar"):
        return _of_pictures(source, *_PICTURES[form](source, path), kind, options)
    if options.get("text_column") and form in ("csv", "parquet", "arrow"):
        if keep and tuple(keep) != (ALL,):
            raise UserError(
                "--keep is not for texts, whose rows are numbered as they stand in the table; leave it out"
            )
        how = options["header"], options["delimiter"]
        parts = open_column(source, form, path, options["text_column"], "", "", *how, empty=True)
        return _of_splits(source, [parts.train], kind, options)
    if form in ("parquet", "arrow"):
        return _of_tables(source, form, path, kind, options, keep)
    if form == "csv":
        _expect(source, kind, Table)
        return _of_lines(source, path, kind, options, keep)
    if keep and tuple(keep) != (ALL,):
        raise UserError(f"--keep={','.join(keep)} is for tables with named columns, and {source!r} is none")
    taken = options_of(form, options, strict=False)
    parts = SOURCES[form](source, path, **taken)
    return _of_splits(source, [s for s in (parts.train, parts.test) if s is not None], kind, options)


def is_columns(source: str) -> bool:
    """Whether a source string names a table of columns."""
    return source.partition(":")[0] in ("csv", "parquet", "arrow")


def _expect(source: str, kind: Kind, wanted: type) -> None:
    if not isinstance(kind, wanted):
        raise UserError(
            f"{source} holds rows of a table, and the model takes {kind.name} of shape {kind.shape}"
            + ("; name the column of texts: --text_column=" if isinstance(kind, Tokens) else "")
        )


def _files_of(source: str, path: str) -> tuple[list[str], Callable, list[str]]:
    """The pictures of a folder, or the one that a path names, how to read each, and their names."""
    if os.path.isfile(path):
        return [path], folder.read, [os.path.basename(path)]
    found = folder.images(source, path)
    return found, folder.read, [os.path.relpath(name, path).replace(os.sep, "/") for name in found]


def _members_of(source: str, path: str) -> tuple[list, Callable, list[str]]:
    records = tar.records(source, path)
    return records, tar.read, [record.name for record in records]


_PICTURES = {"folder": _files_of, "tar": _members_of}


class _Decoder:
    """Encoded pictures as the model takes them; one that cannot be read is no good, and too many are refused."""

    def __init__(self, source: str, total: int, kind: Images, options: Mapping[str, Any]):
        """Of a source of so many pictures."""
        self._skipped = Skipped(source, total, options["unreadable"], setting="--unreadable")
        self._kind, self._options = kind, options

    def __call__(self, read: Callable, records: Sequence, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Whether each can be read, bool `[n]`, and those that can, `[m, H, W, C]`; they are numbered from `start`."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(functools.partial(self._decode, read), itertools.count(start), records))
        good = np.array([x is not None for x in found], bool)
        return good, np.array([x for x in found if x is not None], np.uint8).reshape(-1, *self._kind.shape)

    def _decode(self, read: Callable, number: int, record: Any) -> np.ndarray | None:
        where, file = read(record)
        wanted, options = self._kind.shape, self._options
        try:
            x = decode_image(where, file, wanted[-1], options["image_size"], options["alpha"])
        except UnreadableImage as error:
            self._skipped.add(number, error)
            return None
        if x.shape != wanted:
            raise UserError(
                f"{where} is a picture of shape {x.shape}, and the model takes {wanted}; resize it, or train with "
                "config.data.image_size, which resizes all"
            )
        return x


def _of_pictures(
    source: str, records: Sequence, read: Callable, names: Sequence[str], kind: Images, options: Mapping
) -> Stream:
    decode = _Decoder(source, len(records), kind, options)

    def blocks(size: int, part: int, parts: int) -> Iterator[Block]:
        for start in range(part * size, len(records), parts * size):
            rows = slice(start, start + size)
            yield Block(start, {"file": list(names[rows])}, *decode(read, records[rows], start))

    return Stream(source, ("file",), len(records), blocks)


def _of_splits(source: str, splits: list[Split], kind: Kind, options: Mapping[str, Any]) -> Stream:
    """Examples at random access: those of each split after those of the one before."""
    ends = np.cumsum([len(split) for split in splits])

    def gather(rows: np.ndarray) -> np.ndarray:
        which = np.searchsorted(ends, rows, side="right")
        return np.concatenate(
            [splits[i].gather(rows[which == i] - (ends[i] - len(splits[i])))[0] for i in np.unique(which)]
        )

    turn = (lambda x: np.moveaxis(x, 1, -1)) if options.get("channels_first") else (lambda x: x)

    def blocks(size: int, part: int, parts: int) -> Iterator[Block]:
        for start in range(part * size, int(ends[-1]), parts * size):
            rows = np.arange(start, min(start + size, int(ends[-1])))
            yield Block(start, {"row": rows}, np.ones(len(rows), bool), turn(gather(rows)))

    return Stream(source, ("row",), int(ends[-1]), blocks)


def _of_windows(source: str, form: str, path: str, kind: Windows, options: Mapping[str, Any]) -> Stream:
    """The windows of series, at every step."""
    taken = options_of(form, options, strict=False)
    found = SOURCES[form](source, path, **taken)
    if not isinstance(found, Windowed):
        raise UserError(f"{source} holds no series, and the model takes windows of them: series:FILE")
    _, _, split = cut(source, found._replace(train_end="1.0"), kind, True)

    def blocks(size: int, part: int, parts: int) -> Iterator[Block]:
        for start in range(part * size, len(split), parts * size):
            rows = np.arange(start, min(start + size, len(split)))
            raw = kind.restore(split.gather(rows)[0])
            yield Block(start, {"step": split.begins[rows]}, np.ones(len(rows), bool), raw)

    return Stream(source, ("step",), len(split), blocks)


def open_series(text: str, options: Mapping[str, Any]) -> list[Series]:
    """The series that a source string or a path names, as they are; labels need not be there.

    Raises:
        UserError: no series.
    """
    text = f"series:{text}" if os.path.exists(text) else text
    form, path = form_of(source_of(text))
    if form not in READERS:
        raise UserError(f"{text} is to be series, for a model of these: series:FILE or series:FOLDER")
    names = ("time_column", "label_column", "header", "delimiter", "timezone")
    how = {name: options[name] for name in names} | {"leave_out": tuple(options["leave_out"])}
    return READERS[form](text, path, **how)


def _of_baskets(
    source: str, form: str, path: str, kind: Baskets, options: Mapping[str, Any], keep: Sequence[str]
) -> Stream:
    """Texts, a table of them, or the rows of each user: all that there are, however few items they have."""
    if keep and tuple(keep) != (ALL,):
        raise UserError(
            f"--keep={','.join(keep)} is for tables, and the model takes {kind.name}; leave it out"
        )
    if kind.words:
        path = path if form == "bow" else source
        table = is_columns(path) or path.lower().removesuffix(".gz").endswith(tuple(TABLES))
        names = ("text_column", "header", "delimiter") if table else ()
        told = {name: options[name] for name in names if options.get(name)} | {"empty": True}
        split = open_bow(source, path, **told).train
    else:
        split, _ = open_users(source, kind, options)
    if not isinstance(split, SparseSplit):
        return _of_splits(source, [split], kind, options)

    def blocks(size: int, part: int, parts: int) -> Iterator[Block]:
        for start in range(part * size, len(split), parts * size):
            rows = np.arange(start, min(start + size, len(split)))
            beside = {"row": rows} if split.ids is None else {"user": split.ids[rows].tolist()}
            yield Block(start, beside, np.ones(len(rows), bool), split.named(rows))

    return Stream(source, ("row" if split.ids is None else "user",), len(split), blocks)


def open_users(text: str, kind: Kind, options: Mapping[str, Any]) -> tuple[SparseSplit, SparseSplit]:
    """All users of a table, each with the items that the model is told of, and with all that they took.

    Raises:
        UserError: no such table, or a model of another kind.
    """
    source = source_of(text)
    form, path = form_of(source)
    if not isinstance(kind, Baskets) or kind.words or form not in ("ratings", "csv", "parquet", "arrow"):
        raise UserError(
            f"{source} is to be a table of users and items, for a model of these, which is of {kind.name}"
        )
    taken = inspect.signature(ratings.open_users).parameters
    return ratings.open_users(source, path, **{name: v for name, v in options.items() if name in taken})


class _Columns(NamedTuple):
    """How the columns of a table meet those of a model.

    Attributes:
        taken: of each of the model's columns, its name in the table.
        carried: the names of the columns that stand beside the results.
    """

    taken: tuple[str, ...]
    carried: tuple[str, ...]


def _matched(
    source: str, names: Sequence[str], kind: Table, options: Mapping[str, Any], keep: Sequence[str]
) -> _Columns:
    """UserError where a column is missing, or one that the model does not know is not to be kept."""
    known = [name for name in (options["label_column"], *options["leave_out"]) if name in names]
    if keep != (ALL,) and (strange := [name for name in keep if name not in names]):
        raise UserError(f"--keep={strange[0]}: {source} has no such column; {nearest(strange[0], names)}")
    beside = [*known, *(keep if keep != (ALL,) else ())]
    features = [name for name in names if name not in beside]
    if not kind.named and len(features) == len(kind.columns):
        taken = tuple(features)
    else:
        if missing := [name for name in kind.names if name not in names]:
            raise UserError(
                f"{source}: the column {missing[0]!r} is missing; the model takes {', '.join(kind.names[:20])}, and "
                f"there are {', '.join(map(str, list(names)[:20]))}"
            )
        if extra := [name for name in features if name not in kind.names]:
            raise UserError(
                f"{source}: the model takes no column {extra[0]!r}; to have it beside the results, add "
                f"--keep={','.join(extra)}"
            )
        taken = kind.names
    return _Columns(taken, tuple(names) if keep == (ALL,) else tuple(n for n in names if n in beside))


def _of_lines(source: str, path: str, kind: Table, options: Mapping[str, Any], keep: Sequence[str]) -> Stream:
    """Lines of delimited text, of which few are in memory."""
    head = delimited.head(source, path, options["header"], options["delimiter"], named=kind.names)
    columns = _matched(source, head.names, kind, options, tuple(keep))

    return _rows(source, columns, kind, None, lambda: delimited.batches(head), _cells_of)


def rows_of(
    source: str, names: Sequence[str], kind: Table, options: Mapping[str, Any], keep: Sequence[str]
) -> Callable[[int, list[list[str]]], Block]:
    """`(start, rows of fields) -> Block`, for lines that come one by one."""
    import pyarrow as pa

    columns = _matched(source, names, kind, options, tuple(keep))

    def block(start: int, rows: list[list[str]]) -> Block:
        table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})
        return _block(source, columns, kind, start, table, _cells_of)

    return block


def _cells_of(source: str, start: int, name: str, column: Column, texts: Any, missing: bool) -> Any:
    """Texts of a file as `Table` takes them: categories as they stand there, dates "" where one is missing, numbers."""
    if isinstance(column, CATEGORIES) and not column.numeric:
        return texts.to_pylist()
    if getattr(column, "format", ""):
        return ["" if t.strip().lower() in NOT_OBSERVED else t for t in texts.to_pylist()]
    values, bad = frames.as_numbers(texts, missing or isinstance(column, CATEGORIES))
    if bad is not None:
        raise UserError(
            f"{source}: row {start + bad} (from 0, without the header), column {name!r} holds {texts[bad].as_py()!r}, "
            "and the model takes numbers there"
        )
    return values


def _values_of(source: str, start: int, name: str, column: Column, cells: Any, missing: bool) -> Any:
    """Cells of a typed column as `Table` takes them."""
    return columnar.typed(source, name, cells, "mixed", ())[1]


def _block(source: str, columns: _Columns, kind: Table, start: int, table: Any, convert: Callable) -> Block:
    raw = {
        column.name: convert(source, start, name, column, table.column(name), kind.missing)
        for name, column in zip(columns.taken, kind.columns, strict=True)
    }
    if not kind.named:  # by their places
        raw = (
            np.stack([np.asarray(v, np.float64) for v in raw.values()], axis=1) if kind.numbers_alone else raw
        )
    n = table.num_rows
    carried = {"row": np.arange(start, start + n)} if not columns.carried else {}
    carried |= {name: table.column(name).to_pylist() for name in columns.carried}
    return Block(start, carried, np.ones(n, bool), raw)


def _is_one_vector(schema: Any) -> bool:
    import pyarrow as pa

    kinds = [field.type for field in schema]
    return any(
        pa.types.is_list(k) or pa.types.is_large_list(k) or pa.types.is_fixed_size_list(k) for k in kinds
    )


def _rows(
    source: str, columns: _Columns, kind: Table, length: int | None, tables: Callable, convert: Callable
) -> Stream:
    def blocks(size: int, part: int, parts: int) -> Iterator[Block]:
        for i, table in enumerate(_recut(tables(), size)):
            if i % parts == part:
                yield _block(source, columns, kind, i * size, table, convert)

    return Stream(source, columns.carried or ("row",), length, blocks)


def _recut(tables: Iterator, size: int) -> Iterator:
    """Tables of `size` rows each, but for the last, of tables of any."""
    import pyarrow as pa

    held, rows = [], 0
    for table in itertools.chain(tables, [None]):
        if table is not None:
            held, rows = [*held, table], rows + table.num_rows
        if rows < size and table is not None:
            continue
        whole = pa.concat_tables(held) if held else None
        cut = 0
        while rows - cut >= size:
            yield whole.slice(cut, size)
            cut += size
        if table is None and rows > cut:
            yield whole.slice(cut)
        held, rows = ([whole.slice(cut)] if rows > cut else []), rows - cut


def _of_tables(
    source: str, form: str, path: str, kind: Kind, options: Mapping[str, Any], keep: Sequence[str]
) -> Stream:
    """Typed columns: of numbers and texts, of vectors, or of encoded pictures."""
    files = columnar.files_in_order(source, path, f".{form}")
    schema, length = columnar.outline(source, files, form)
    names = list(schema.names)
    tables = functools.partial(columnar.batches, source, files, form)
    if isinstance(kind, Table) and not _is_one_vector(schema):
        return _rows(
            source, _matched(source, names, kind, options, tuple(keep)), kind, length, tables, _values_of
        )
    beside = {options["label_column"], *options["leave_out"], *keep}
    others = [name for name in names if name not in beside]
    if len(others) != 1:
        raise UserError(
            f"{source} has the columns {', '.join(names)}, and the model takes one, of {kind.name} of shape "
            f"{kind.shape}; name the others: --keep={','.join(others[:-1])}"
        )
    carried = tuple(names) if tuple(keep) == (ALL,) else tuple(n for n in names if n in beside)
    carried = tuple(name for name in carried if name != others[0])
    decode = _Decoder(source, length, kind, options)

    def blocks(size: int, part: int, parts: int) -> Iterator[Block]:
        for i, table in enumerate(_recut(tables(), size)):
            if i % parts != part:
                continue
            start, n = i * size, table.num_rows
            beside = {"row": np.arange(start, start + n)}
            beside |= {name: table.column(name).to_pylist() for name in carried}
            cells = table.column(others[0])
            if isinstance(kind, Images) and columnar.is_pictures(cells):
                read = columnar.Cells(source, [cells], start)
                yield Block(start, beside, *decode(read, [(0, row) for row in range(n)], start))
                continue
            x = columnar.vectors(source, cells, True)
            if x is None:
                raise UserError(
                    f"{source}: column {others[0]!r} holds {cells.type}, and the model takes {kind.name}"
                )
            yield Block(start, beside, np.ones(n, bool), x)

    return Stream(source, ("row", *carried), length, blocks)
