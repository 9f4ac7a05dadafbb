"""A table that says what items are called: `--names=items.csv`."""

from unsupjax.data import delimited
from unsupjax.data.sources.ratings import USUAL
from unsupjax.errors import UserError, nearest

_TITLES = ("title", "name", "label", "description")


def read_titles(path: str) -> dict[str, str]:
    """From an item to its title: columns with usual names (item, item_id, movieId; title, name), or the first two.

    Raises:
        UserError: it cannot be read, or has one column.
    """
    if not path:
        return {}
    found, low, item = _read(path)
    title = next(
        (low.index(name) for name in _TITLES if name in low and low.index(name) != item), 1 - min(item, 1)
    )
    return _by_item(found, item, title)


def read_labels(path: str, column: str) -> dict[str, list[str]]:
    """From an item to the words of a column, divided by `|` or, where there is none, by spaces.

    Raises:
        UserError: the table cannot be read, or has no such column.
    """
    if not column:
        return {}
    found, _, item = _read(path)
    if column not in found.names:
        raise UserError(f"--labels={column}: {path} has no such column; {nearest(column, found.names)}")
    cells = _by_item(found, item, found.names.index(column))
    return {key: value.split("|" if "|" in value else None) for key, value in cells.items()}


def _read(path: str) -> tuple:
    """The table, its names in small letters, and the column of items."""
    found = delimited.read(f"--names={path}", path)
    if len(found.names) < 2:
        raise UserError(f"--names={path} has one column; it needs two, of items and of titles")
    low = [name.lower() for name in found.names]
    return found, low, next((low.index(name) for name in USUAL["item"] if name in low), 0)


def _by_item(found, item: int, column: int) -> dict[str, str]:
    pairs = zip(found.columns[item].to_pylist(), found.columns[column].to_pylist(), strict=True)
    return {key.strip(): (value or "").strip() for key, value in pairs}
