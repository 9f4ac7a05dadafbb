"""Files of delimited text: what stands between fields, which line names the columns, and the texts of each column.

pyarrow reads them: it comes with tensorflow-datasets, keeps texts in about the memory of the file, and takes every way
to end a line. Python's own reader goes over the lines again where something is wrong, to say in which.
"""

import csv
import io
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from unsupjax.data.files import opened
from unsupjax.errors import UserError

DELIMITERS = {
    "\t": "tabs",
    ";": "semicolons",
    "|": "bars",
    ",": "commas",
}  # by what a file of several would mean
HEADERS = ("auto", "yes", "no")
_SAMPLE = 2**16  # bytes that tell the delimiter
_PART = 2**20  # bytes of a file that are read at once where few are to be in memory
_BLOCK = 2**24  # bytes, which a row must fit in
_WHOLE = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*")

logger = logging.getLogger(__name__)


class Delimited(NamedTuple):
    """The texts of a file.

    Attributes:
        where: names the file in errors.
        path: of the file.
        names: of the columns; "0", "1", ... where no line names them.
        columns: of each the texts `[N]`, pyarrow arrays of strings.
        named: whether a line names them.
        delimiter: between fields.
    """

    where: str
    path: str
    names: tuple[str, ...]
    columns: tuple[Any, ...]
    named: bool
    delimiter: str

    def line(self, row: int) -> int:
        """The line, from 1, at whose end a row ends, counted from 0."""
        for i, (line, _) in enumerate(_rows(self.where, self.path, self.delimiter)):
            if i == row + self.named:
                return line
        return 0

    def without(self, names: Sequence[str]) -> "Delimited":
        """All columns but these."""
        kept = [i for i, name in enumerate(self.names) if name not in names]
        return self._replace(
            names=tuple(self.names[i] for i in kept), columns=tuple(self.columns[i] for i in kept)
        )


def read(where: str, path: str, *, header: str = "auto", delimiter: str = "", named: str = "") -> Delimited:
    """Reads a file of delimited text.

    Args:
        where: names the file in errors.
        path: UTF-8, a header line or none, quotes around fields that hold delimiters or ends of lines.
        header: whether the first line names the columns, "yes" or "no"; "auto": where it holds no numbers, or over
            most columns of numbers a text, or ascending whole numbers over fractions, or 0, 1, 2, ... in order.
        delimiter: between fields; "": tabs, semicolons, bars or commas, whichever divides all lines alike.
        named: a name that the first line has, if it is a header.

    Raises:
        UserError: no such file, another encoding, an unclosed quote, lines of another number of fields, no rows, a
            column without a name, two of the same.
    """
    sample = _sample(where, path)
    delimiter = delimiter or _sniffed(sample)
    first = next(iter(_parsed(io.StringIO(sample), delimiter)), None)
    if first is None:
        first = next((row for _, row in _rows(where, path, delimiter)), None)
    if first is None:
        raise UserError(f"{where} is an empty file; it needs a row for every example")
    columns = _columns(where, path, delimiter, len(first))
    first = [name.strip() for name in first]
    head = header == "yes" or (header == "auto" and _is_header(first, columns, named))
    if not head:
        names = tuple(str(i) for i in range(len(first)))
        return Delimited(where, path, names, columns, False, delimiter)
    if header == "auto" and any(map(is_number, first)):
        logger.warning(
            "%s: the first line is taken for names: %s; config.data.header changes that", where, first[:5]
        )
    columns = tuple(column.slice(1) for column in columns)
    if not len(columns[0]):
        raise UserError(f"{where} has no rows below its header; it needs one for every example")
    found = Delimited(where, path, tuple(first), columns, True, delimiter)
    return _check_names(_without_index(found))


class Head(NamedTuple):
    """What the beginning of a file says.

    Attributes:
        where, path: of the file.
        names: of the columns, as in `Delimited`.
        named: whether a line names them.
        delimiter: between fields.
    """

    where: str
    path: str
    names: tuple[str, ...]
    named: bool
    delimiter: str


def head(where: str, path: str, header: str = "auto", delimiter: str = "", named: Sequence[str] = ()) -> Head:
    """The columns of a file that is read a part at a time, by `batches`; arguments and errors as of `read`.

    Args:
        where, path, header, delimiter: as of `read`.
        named: names of columns, one of which the first line has if it is a header.
    """
    sample = _sample(where, path)
    delimiter = delimiter or _sniffed(sample)
    rows = _parsed(io.StringIO(sample), delimiter) or [row for _, row in _rows(where, path, delimiter)][:1]
    if not rows:
        raise UserError(f"{where} is an empty file; it needs a row for every example")
    first = [name.strip() for name in rows[0]]
    is_header = header == "yes" or bool(set(named) & set(first) and not all(map(is_number, first)))
    if not is_header and header == "auto":
        import pyarrow as pa

        even = [row for row in rows if len(row) == len(first)]
        is_header = _is_header(
            first, [pa.chunked_array([list(column)]) for column in zip(*even, strict=True)], ""
        )
    if not is_header:
        return Head(where, path, tuple(str(i) for i in range(len(first))), False, delimiter)
    names = tuple(name or ("index" if i == 0 else "") for i, name in enumerate(first))
    return _check_names(Head(where, path, names, True, delimiter))


def batches(head: Head) -> Iterator[Any]:
    """The texts of a file as tables of columns of strings, some rows each, of which few are in memory at once."""
    import pyarrow as pa
    from pyarrow import csv as reader

    strings = {name: pa.string() for name in head.names}
    try:
        with _faults(head.where, head.path), opened(head.path) as file:
            found = reader.open_csv(
                file,
                read_options=reader.ReadOptions(
                    column_names=list(head.names), skip_rows=int(head.named), block_size=_PART
                ),
                parse_options=reader.ParseOptions(delimiter=head.delimiter, newlines_in_values=True),
                convert_options=reader.ConvertOptions(column_types=strings, strings_can_be_null=False),
            )
            for batch in found:
                yield pa.Table.from_batches([batch])
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        if "Empty CSV file" in str(error):
            return
        _diagnose(head.where, head.path, head.delimiter)
        raise UserError(
            f"{head.where} is not text with {DELIMITERS.get(head.delimiter, repr(head.delimiter))} between columns "
            f"({str(error).strip()[:200]})"
        ) from error


def _sample(where: str, path: str) -> str:
    """The whole lines at the beginning of a file."""
    with _faults(where, path), opened(path) as file:
        content = file.read(_SAMPLE)
    if b"\0" in content:
        _diagnose(where, path, ",")
    text = content.decode("utf-8-sig", errors="replace")
    lines = text.splitlines(keepends=True)
    return "".join(lines if len(content) < _SAMPLE else lines[:-1])


def _sniffed(sample: str) -> str:
    """The delimiter that divides the lines of a sample into equally many fields, more than one."""
    for delimiter in DELIMITERS:
        widths = {len(row) for row in _parsed(io.StringIO(sample), delimiter)}
        if len(widths) == 1 and widths != {1}:
            return delimiter
    return max(DELIMITERS, key=lambda d: (sample.partition("\n")[0].count(d), d == ","))


def _parsed(text: Iterable[str], delimiter: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(text, delimiter=delimiter) if row]
    except csv.Error:
        return []


def _columns(where: str, path: str, delimiter: str, width: int) -> tuple:
    """Of every column its texts, with those of the first line."""
    import pyarrow as pa
    from pyarrow import csv as reader

    strings = {f"f{i}": pa.string() for i in range(width)}
    try:
        with _faults(where, path), opened(path) as file:
            table = reader.read_csv(
                file,
                read_options=reader.ReadOptions(autogenerate_column_names=True, block_size=_BLOCK),
                parse_options=reader.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=reader.ConvertOptions(column_types=strings, strings_can_be_null=False),
            )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        _diagnose(where, path, delimiter)
        raise UserError(
            f"{where} is not text with {DELIMITERS[delimiter]} between columns ({str(error).strip()[:200]})"
        ) from error
    if _unbalanced(path):
        _diagnose(where, path, delimiter)
    return tuple(table.columns)


def _unbalanced(path: str) -> bool:
    """Whether the quotes of a file are not even: one may be open to its end, and pyarrow takes that for a field."""
    with opened(path) as file:
        return sum(chunk.count(b'"') for chunk in iter(lambda: file.read(_BLOCK), b"")) % 2 == 1


def _diagnose(where: str, path: str, delimiter: str) -> None:
    """Raises the `UserError` of the first line that is wrong, if one is."""
    width = 0
    for line, row in _rows(where, path, delimiter):
        width = width or len(row)
        if len(row) != width:
            raise UserError(
                f"{where}: line {line} has {len(row)} columns where the first has {width}; make them equal, and quote "
                f"fields that hold {DELIMITERS.get(delimiter, repr(delimiter))}"
            )


def _rows(where: str, path: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of its last line, from 1."""
    start = 1
    try:
        with (
            _faults(where, path),
            opened(path) as raw,
            io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file,
        ):
            reader = csv.reader(_text(where, file), delimiter=delimiter, strict=True)
            for row in reader:
                if row:
                    yield reader.line_num, row
                start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{where}: the row that begins in line {start} is not text with "
            f"{DELIMITERS.get(delimiter, repr(delimiter))} between columns ({error}); close its quotes"
        ) from error


def _text(where: str, file: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        if "\0" in line:
            raise UserError(f"{where}: line {number} holds NUL bytes, as UTF-16 does; save it as UTF-8 text")
        yield line


class _faults:
    """Tells of a file that cannot be opened or decoded by a `UserError`."""

    def __init__(self, where: str, path: str):
        self.where, self.path = where, path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, traceback) -> None:
        if isinstance(error, UnicodeDecodeError):
            line = _first_undecodable(self.path)
            raise UserError(
                f"{self.where}: line {line} is not UTF-8 text; save the file in that encoding"
            ) from error
        if isinstance(error, OSError) and not isinstance(error, UserError):
            raise UserError(f"{self.where}: cannot open {self.path} ({error.strerror or error})") from error


def _first_undecodable(path: str) -> int:
    """The first line, from 1, that is not UTF-8: a reader decodes many at once and cannot say."""
    with opened(path) as file:
        return next((number for number, line in enumerate(file, 1) if not _is_utf8(line)), 1)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_number(text: str) -> bool:
    """Whether a text is a number, with a point or a comma before its fraction."""
    return bool(_NUMBER.fullmatch(text))


def _is_header(first: list[str], columns: Sequence, named: str) -> bool:
    numbers = [is_number(name) for name in first]
    if named in first or not any(numbers):
        return True
    below = [[text.as_py().strip() for text in column.slice(1, 100)] for column in columns]
    if all(numbers):  # as in "2019", "2020" over fractions, or the 0, 1, 2 that pandas writes
        if len(first) > 3 and first == [str(i) for i in range(len(first))]:
            return True
        ascending = all(map(_WHOLE.fullmatch, first)) and sorted(set(first)) == first
        return ascending and all(texts and not any(map(_WHOLE.fullmatch, texts)) for texts in below)
    over = [not n and texts and all(map(is_number, texts)) for n, texts in zip(numbers, below, strict=True)]
    return 2 * sum(map(bool, over)) > len(first)


def _without_index(found: Delimited) -> Delimited:
    """Without the column that numbers the rows, which pandas writes and gives no name."""
    if found.names[0] not in ("", "Unnamed: 0") or len(found.names) == 1:
        return found
    column = found.columns[0]
    start = column[0].as_py()
    if start not in ("0", "1") or any(t.as_py() != str(i) for i, t in enumerate(column, int(start))):
        return found
    logger.warning("%s: the first column has no name and numbers the rows: it is left out", found.where)
    return found._replace(names=found.names[1:], columns=found.columns[1:])


def _check_names(found):
    names = found.names
    for i, name in enumerate(names):
        if not name:
            raise UserError(
                f"{found.where}: the first line gives column {i + 1} no name; give every column one of its own"
            )
        if names.index(name) < i:
            raise UserError(
                f"{found.where}: columns {names.index(name) + 1} and {i + 1} are both named {name!r}; rename one"
            )
    return found
