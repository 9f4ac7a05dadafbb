"""A table that says what items are called: `--names=items.csv`."""

from unsupjax.data import delimited
from unsupjax.data.sources.ratings import USUAL
from unsupjax.errors import UserError

_TITLES = ("title", "name", "label", "description")


def read_titles(path: str) -> dict[str, str]:
    """From an item to its title: columns with usual names (item, item_id, movieId; title, name), or the first two.

    Raises:
        UserError: it cannot be read, or has one column.
    """
    if not path:
        return {}
    found = delimited.read(f"--names={path}", path)
    if len(found.names) < 2:
        raise UserError(f"--names={path} has one column; it needs two, of items and of titles")
    low = [name.lower() for name in found.names]
    item = next((low.index(name) for name in USUAL["item"] if name in low), 0)
    title = next(
        (low.index(name) for name in _TITLES if name in low and low.index(name) != item), 1 - min(item, 1)
    )
    pairs = zip(found.columns[item].to_pylist(), found.columns[title].to_pylist(), strict=True)
    return {key.strip(): value.strip() for key, value in pairs}
