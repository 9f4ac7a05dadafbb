"""`csv:PATH`: a table of numbers, or of numbers, dates and categories, and perhaps a column of labels."""

import numpy as np

from unsupjax.data import delimited
from unsupjax.data.columns import Column, typed
from unsupjax.data.delimited import HEADERS, Delimited
from unsupjax.data.sources import frames
from unsupjax.data.splits import Parts
from unsupjax.errors import UserError, choose


def open_csv(
    source: str,
    path: str,
    *,
    label_column: str,
    leave_out: tuple[str, ...],
    missing: bool,
    columns: str,
    categories: tuple[str, ...],
    header: str,
    delimiter: str,
) -> Parts:
    """Every column but `label_column` is a feature; `delimited.read` says which file has a header."""
    choose("config.data.header", header, dict.fromkeys(HEADERS))
    if len(delimiter) > 1:
        raise UserError(f"config.data.delimiter={delimiter!r} must be one character, or empty to find it")
    found = delimited.read(source, path, header=header, delimiter=delimiter, named=label_column)
    label = frames.label_index(source, found.names, label_column)
    labels = None if label is None else np.array(found.columns[label].to_pylist(), str)
    frames.check_left_out(source, found.names, leave_out)
    features = found.without([*leave_out, *([found.names[label]] if label is not None else [])])
    if not features.columns:
        raise UserError(f"{source} has no rows with features; it needs a line of numbers for every example")
    if columns != "mixed" and not categories:
        matrix = np.stack([_numbers(features, i, missing) for i in range(len(features.names))], axis=1)
        return frames.parts([matrix], features.names, frames.labelled(source, [labels]))
    pairs = [_typed(features, i, columns, categories) for i in range(len(features.names))]
    return frames.of_types(source, [pairs], frames.labelled(source, [labels]), columns, categories, missing)


def _typed(found: Delimited, i: int, types: str, categories: tuple) -> tuple[Column, np.ndarray]:
    name = found.names[i]
    mend = f"set config.data.categories=({name!r},)"
    options = {"discrete": name in categories, "dates": types == "mixed", "mend": mend}
    return typed(found.where, name, found.columns[i], **options)


def _numbers(found: Delimited, i: int, missing: bool) -> np.ndarray:
    """A column of numbers, float64 `[N]`; UserError for the first text that is none, with its line."""
    values, bad = frames.as_numbers(found.columns[i], missing)
    if bad is not None:
        # Of all columns the first line that is wrong, as one who reads the file from its beginning finds it.
        rows = [
            (b, j) for j, c in enumerate(found.columns) if (b := frames.as_numbers(c, missing)[1]) is not None
        ]
        row, j = min(rows)
        raise frames.not_a_number(
            f"{found.where}: line {found.line(row)}", found.names[j], found.columns[j][row].as_py()
        )
    return values
