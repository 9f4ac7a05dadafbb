"""`ratings:FILE`: who took what, a pair a row, as the basket of each user."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from unsupjax.data import delimited
from unsupjax.data.bags import Rows, SparseSplit
from unsupjax.data.sources import columnar, frames
from unsupjax.data.sources.encoded import TEST_NAMES, TRAIN_NAMES
from unsupjax.data.splits import Parts
from unsupjax.errors import UserError, nearest

USUAL = {  # what a column is -> how it is often called, in small letters
    "user": ("user", "user_id", "userid", "uid", "customer", "customer_id", "session", "session_id"),
    "item": ("item", "item_id", "itemid", "iid", "movie", "movie_id", "movieid", "product", "product_id"),
    "rating": ("rating", "ratings", "score", "stars"),
    "time": ("timestamp", "time", "date", "datetime", "unix_time"),
}
_PLACES = {name: str(i) for i, name in enumerate(USUAL)}  # of columns without names

logger = logging.getLogger(__name__)


class Pairs(NamedTuple):
    """Who took what, in the order of the file.

    Attributes:
        users, items: numbers of them, int32 `[T]`.
        user_names, item_names: what the numbers stand for.
    """

    users: np.ndarray
    items: np.ndarray
    user_names: tuple[str, ...]
    item_names: tuple[str, ...]


def open_ratings(
    source: str,
    path: str,
    *,
    user_column: str = "",
    item_column: str = "",
    rating_column: str = "",
    time_column: str = "",
    split_column: str = "",
    threshold: float = 0.0,
    min_items: int = 1,
    min_users: int = 1,
    leave_last: bool = False,
    header: str = "auto",
    delimiter: str = "",
) -> Parts:
    """The items of each user, by time where a column says it, else as they come; arguments as of `open_source`."""
    wanted = {"user": user_column, "item": item_column, "rating": rating_column, "time": time_column}
    table = _table(source, path, header, delimiter, wanted | {"split": split_column})
    pairs, keep = _pairs(source, table)
    if "rating" in table and threshold:
        keep = keep[_ratings(source, table["rating"])[keep] >= threshold]
    elif threshold:
        raise UserError(f"config.data.threshold={threshold} needs ratings, and {source} has no such column")
    whole, _ = _by_user(pairs, _frequent(source, pairs, keep, min_items, min_users))
    if leave_last and ("time" not in table or split_column):
        raise UserError(
            "config.data.leave_last and config.data.split_column both divide the data; leave one out"
            if split_column
            else f"config.data.leave_last needs a column of times, which {source} lacks; name config.data.time_column"
        )
    if leave_last:
        return _without_last(whole)
    if not split_column:
        return Parts(whole, None, None)
    part = dict(zip(pairs.user_names, _part_of_users(source, table["split"], pairs), strict=True))
    where = np.array([part[user] for user in whole.ids])
    train, test = (whole.select(np.flatnonzero(where == i)) for i in (0, 1))
    return Parts(train, test, None)


def open_users(
    source: str,
    path: str,
    *,
    user_column: str = "",
    item_column: str = "",
    rating_column: str = "",
    time_column: str = "",
    threshold: float = 0.0,
    header: str = "auto",
    delimiter: str = "",
) -> tuple[SparseSplit, SparseSplit]:
    """All users of a file: what they took, of ratings those of at least `threshold`; and all of it."""
    wanted = {"user": user_column, "item": item_column, "rating": rating_column, "time": time_column}
    table = _table(source, path, header, delimiter, wanted)
    whole, order = _by_user(*_pairs(source, table))
    if not threshold or "rating" not in table:
        return whole, whole
    high = _ratings(source, table["rating"])[order] >= threshold
    return dataclasses.replace(whole, rows=whole.rows.kept(high)), whole


def _pairs(source: str, table: dict[str, Any]) -> tuple[Pairs, np.ndarray]:
    """The pairs of a table, and which of its rows count, in order of time."""
    (users, user_names), (items, item_names) = (
        _numbered(source, table[what], what) for what in ("user", "item")
    )
    pairs = Pairs(users, items, user_names, item_names)
    return pairs, _newest(source, pairs, _times(source, table.get("time")))


def _by_user(pairs: Pairs, keep: np.ndarray) -> tuple[SparseSplit, np.ndarray]:
    """A row for each user of the pairs at `keep`, and where these stand in it."""
    order = keep[np.argsort(pairs.users[keep], kind="stable")]
    users, first = np.unique(pairs.users[order], return_index=True)
    rows = Rows(np.r_[first, len(order)].astype(np.int64), pairs.items[order])
    return SparseSplit(rows, pairs.item_names, ids=np.array(pairs.user_names, object)[users]), order


def _without_last(whole: SparseSplit) -> Parts:
    """Of users with two or more, the last item is not trained on; they are tested with all, in order.

    Those whose last item nobody else has are not tested: no model can know it.
    """
    rows, last = whole.rows, np.zeros(len(whole.rows.items), bool)
    many = np.flatnonzero(rows.lengths > 1)
    ends = rows.starts[1:][many] - 1
    last[ends] = True
    train = SparseSplit(rows.kept(~last), whole.names, ids=whole.ids)
    known = np.isin(rows.items[ends], train.rows.items)
    return Parts(train, whole.select(many[known]), None)


def _table(source: str, path: str, header: str, delimiter: str, wanted: dict[str, str]) -> dict[str, Any]:
    """The columns that are there, by what they are, as pyarrow's."""
    lower = path.lower().removesuffix(".gz")
    if lower.endswith((".parquet", ".arrow")):
        form = lower.rpartition(".")[2]
        table = columnar.joined(source, columnar.files_in_order(source, path, f".{form}"), form)
        names, columns, named = tuple(table.column_names), table.columns, True
    else:
        found = delimited.read(source, path, header=header, delimiter=delimiter, named=wanted["user"])
        names, columns, named = found.names, found.columns, found.named
    made = {}
    for what, given in wanted.items():
        name = _name(source, what, given, names, named)
        if name is not None:
            made[what] = columns[names.index(name)]
    return made


def _name(source: str, what: str, given: str, names: Sequence[str], named: bool) -> str | None:
    if given:
        if given not in names:
            raise UserError(
                f"{source}: config.data.{what}_column={given!r} is no column; {nearest(given, names)}"
            )
        return given
    if what not in USUAL:
        return None
    low = {name.lower(): name for name in reversed(names)}
    found = next((low[usual] for usual in USUAL[what] if usual in low), None)
    if found is None and not named and _PLACES[what] in names:
        found = _PLACES[what]
    if found is None and what in ("user", "item"):
        raise UserError(
            f"{source} has no column that is called a {what}; name it: config.data.{what}_column, one of "
            f"{', '.join(map(repr, names[:20]))}"
        )
    return found


def _numbered(source: str, column: Any, what: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Of each cell the number of its name, int32 `[T]`, and the names: numbers by their size, texts by the alphabet."""
    import pyarrow as pa
    from pyarrow import compute

    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (
        pa.types.is_integer(column.type)
        or pa.types.is_string(column.type)
        or pa.types.is_large_string(column.type)
    ):
        raise UserError(
            f"{source}: the column of {what}s holds {column.type}, where texts or whole numbers belong"
        )
    coded = column.dictionary_encode()
    values = [None if v is None else str(v).strip() for v in coded.dictionary.to_pylist()]
    codes = compute.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    empty = np.array([not v for v in values] + [True])  # -1: null
    if (bad := empty[codes]).any():
        raise UserError(f"{source}: row {int(bad.argmax())} (from 0, without the header) names no {what}")
    numeric = all(v.isdecimal() and (v == "0" or v[0] != "0") for v in values)
    names = sorted(set(values), key=(lambda v: (len(v), v)) if numeric else None)
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[v] for v in values], np.int32)[codes], tuple(names)


def _times(source: str, column: Any) -> np.ndarray | None:
    """Something that grows with time, `[T]`."""
    if column is None:
        return None
    import pyarrow as pa

    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_temporal(column.type):
        return column.to_numpy(zero_copy_only=False).astype("datetime64[us]").astype(np.int64)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column.to_numpy(zero_copy_only=False)
    values, bad = frames.as_numbers(column, False)
    if bad is None:
        return values
    try:
        return np.array(column.to_pylist(), "datetime64[us]").astype(np.int64)
    except ValueError as error:
        raise UserError(
            f"{source}: the column of times holds neither numbers nor dates such as 2024-12-31 ({error}); name another "
            "config.data.time_column"
        ) from None


def _ratings(source: str, column: Any) -> np.ndarray:
    import pyarrow as pa

    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        values, bad = frames.as_numbers(column, False)
        if bad is not None:
            raise UserError(
                f"{source}: row {bad} (from 0, without the header) has the rating {column[bad].as_py()!r}, which is no "
                "number"
            )
        return values
    return column.to_numpy(zero_copy_only=False).astype(np.float64)


def _newest(source: str, pairs: Pairs, times: np.ndarray | None) -> np.ndarray:
    """The rows that count, by time: of those of one user and item the last."""
    order = np.arange(len(pairs.users)) if times is None else np.argsort(times, kind="stable")
    key = pairs.users[order].astype(np.int64) * len(pairs.item_names) + pairs.items[order]
    _, last = np.unique(key[::-1], return_index=True)
    if more := len(key) - len(last):
        logger.warning(
            "%s: %d rows repeat a user and an item that others hold; the last of them counts", source, more
        )
    return order[np.sort(len(key) - 1 - last)]


def _frequent(source: str, pairs: Pairs, keep: np.ndarray, min_items: int, min_users: int) -> np.ndarray:
    """Without users of too few items and items of too few users, again and again until all have enough."""
    if min_items < 1 or min_users < 1:
        raise UserError(
            f"config.data.min_items={min_items} and config.data.min_users={min_users} must be at least 1"
        )
    before = len(keep)
    while True:
        users, items = pairs.users[keep], pairs.items[keep]
        enough = np.bincount(users, minlength=1)[users] >= min_items
        enough &= np.bincount(items, minlength=1)[items] >= min_users
        if enough.all():
            break
        keep = keep[enough]
    if not len(keep):
        raise UserError(
            f"{source}: no user is left with config.data.min_items={min_items}, config.data.min_users={min_users} and "
            "config.data.threshold; lower them"
        )
    if len(keep) < before:
        logger.warning(
            "%s: %d of %d pairs are left: %d users with at least %d items, %d items with at least %d users",
            *(source, len(keep), before, len(np.unique(users)), min_items, len(np.unique(items)), min_users),
        )
    return keep


def _part_of_users(source: str, column: Any, pairs: Pairs) -> np.ndarray:
    """Of each user: 0 is trained on, 1 is tested, -1 is neither."""
    coded, names = _numbered(source, column, "split")
    names = [name.lower() for name in names]
    test = next((name for name in TEST_NAMES if name in names), None)
    if test is None or not set(names) & set(TRAIN_NAMES):
        raise UserError(f"{source}: the column of splits holds {names[:5]}, and not train and test")
    part = np.array([0 if name in TRAIN_NAMES else 1 if name == test else -1 for name in names])
    of_user = np.full(len(pairs.user_names), -2)
    of_user[pairs.users] = part[coded]
    if (wrong := of_user[pairs.users] != part[coded]).any():
        name = pairs.user_names[pairs.users[wrong.argmax()]]
        raise UserError(f"{source}: user {name!r} is in two splits; a user belongs to one")
    return of_user
