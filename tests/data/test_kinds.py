"""What every kind must do, and what each does of its own."""

import datetime
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.data.columns import typed
from unsupjax.data.kinds import KINDS, Arrays, Baskets, Images, Table, Windows, from_json
from unsupjax.data.kinds.columns import Category, Date, Number
from unsupjax.data.kinds.table import fit
from unsupjax.data.kinds.tokens import fit_tokens
from unsupjax.errors import UserError

RNG = np.random.default_rng(0)
ROWS = RNG.normal(50, [1, 9, 200], (20, 3))
WORDS = fit_tokens(4, {"type": "chars", "characters": "abc"}, "documents")
ITEMS = Baskets(3, ("a", "b", "c", "d"), (2, 2, 2, 1))
CASES = {  # kind -> one of it, and raw examples
    "images": (Images((4, 3, 2)), RNG.integers(0, 256, (5, 4, 3, 2), np.uint8)),
    "table": (fit(ROWS, ("a", "b", "c")), ROWS),
    "arrays": (Arrays((4, 3)), RNG.normal(size=(5, 4, 3)).astype(np.float32)),
    "tokens": (WORDS, WORDS.prepare(["abc", "bca", "aab", "ccc", "bab"])),
    "windows": (Windows(4, ("a", "b", "c"), (1.0, 2.0, 3.0), (1.0, 5.0, 0.1)), RNG.normal(2, 3, (5, 4, 3))),
    "baskets": (ITEMS, ITEMS.prepare([["a", "c"], ["b"], [], ["d", "a", "b"], ["c"]])),
}
CHECKED = pytest.mark.parametrize("name", KINDS)
TEXTS = {
    "price": ["1.5", "2.25", "", "4", "NA", "8.5"],
    "city": ["Bonn", "", "Köln", "Bonn", "Ulm", "Bonn"],
    "rooms": ["1", "2", "?", "1", "2", "2"],
    "built": ["1999-12-31", "2024-02-29", "", "0987-01-02", "2000-01-01", "1970-01-01"],
    "sold": [f"2024-03-0{i} 1{i}:0{i}:59" for i in range(1, 7)],
}
RESTORED = {
    "price": [1.5, 2.25, np.nan, 4, np.nan, 8.5],
    "city": TEXTS["city"],
    "rooms": [1, 2, np.nan, 1, 2, 2],
    "built": TEXTS["built"],
    "sold": TEXTS["sold"],
}


def mixed_rows(texts=TEXTS):
    """A table of all types as a source of files reads it, and what its columns are."""
    found = [typed("here", name, column, dates=True) for name, column in texts.items()]
    rows = np.empty(len(texts["price"]), [(c.name, v.dtype) for c, v in found])
    for column, values in found:
        rows[column.name] = values
    return rows, tuple(column for column, _ in found)


@pytest.fixture(scope="module")
def mixed():
    rows, columns = mixed_rows()
    return fit(rows, columns, missing=True), rows


@CHECKED
def test_a_kind_survives_json(name):
    kind, _ = CASES[name]
    text = json.dumps(kind.to_json())
    assert from_json(json.loads(text)) == kind and json.dumps(from_json(json.loads(text)).to_json()) == text
    assert kind.name == name and hash(kind) == hash(from_json(kind.to_json()))


@CHECKED
def test_what_is_seen_is_as_its_example_and_is_restored(name):
    kind, raw = CASES[name]
    stored = kind.prepare(raw)
    seen = jax.jit(kind.see)(stored)
    assert (seen.shape[1:], seen.dtype) == (kind.example().shape, kind.example().dtype)
    np.testing.assert_array_equal(kind.see(seen), seen)  # what is seen already stays as it is
    restored = kind.restore(np.asarray(seen))
    if name == "table":
        restored = np.stack([restored[column] for column in kind.names], axis=1)
    if name in ("tokens", "baskets"):
        restored = kind.prepare(restored)
    np.testing.assert_allclose(restored, raw, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(kind.prepare(raw), stored)


@CHECKED
def test_examples_of_another_shape_or_dtype_are_refused(name):
    kind, raw = CASES[name]
    for wrong in (raw[:, :-1], raw.astype(str), raw[0]):
        with pytest.raises(UserError, match=r"belong"):
            kind.prepare(wrong)


@pytest.mark.parametrize(
    "content", [{}, {"kind": "sounds"}, {"kind": "images"}, {"kind": "images", "shape": 3}, 7]
)
def test_json_of_no_kind_is_refused(content):
    with pytest.raises(UserError, match="no kind of data of this version"):
        from_json(content)
    old = {"kind": "table", "columns": ["a", "b"], "mean": [1.0, 0.1], "std": [2.0, 1e-3], "missing": True}
    assert from_json(old) == Table((Number("a", 1.0, 2.0), Number("b", 0.1, 1e-3)), True)
    with pytest.raises(UserError, match="2 columns, 1 means"):
        from_json(old | {"mean": [1.0]})
    for columns in ([{"type": "sound", "name": "a"}], [{"type": "number", "nam": "a"}], ["a"]):
        with pytest.raises(UserError, match="no kind of data of this version"):
            from_json({"kind": "table", "columns": columns, "missing": False})


def test_pictures_are_seen_in_the_unit_interval():
    kind = Images((2, 1, 1))
    stored = jnp.array([0, 51, 255, 0], jnp.uint8).reshape(2, 2, 1, 1)
    np.testing.assert_allclose(kind.see(stored).ravel(), [0, 0.2, 1, 0])
    np.testing.assert_array_equal(kind.prepare(np.zeros((3, 2, 1), np.uint8)).shape, (3, 2, 1, 1))
    np.testing.assert_array_equal(kind.restore(np.array([-0.5, 0.2, 1.5])), [0, 51, 255])
    with pytest.raises(UserError, match="pictures are float64"):
        kind.prepare(np.zeros((3, 2, 1, 1)))
    with pytest.raises(UserError, match="pictures are uint16; give uint8"):
        kind.see(stored.astype(jnp.uint16))


@CHECKED
def test_what_is_of_another_shape_is_not_seen(name):
    kind, raw = CASES[name]
    stored = kind.prepare(raw)
    with pytest.raises(UserError, match="where the model takes"):
        jax.jit(kind.see)(np.moveaxis(stored, 0, -1))


def test_columns_are_matched_by_name():
    kind, raw = CASES["table"]
    named = {"c": raw[:, 2], "a": raw[:, 0], "b": raw[:, 1].tolist()}
    np.testing.assert_array_equal(kind.prepare(named), kind.prepare(raw))
    with pytest.raises(UserError, match="the column 'b' is missing"):
        kind.prepare({"a": raw[:, 0], "c": raw[:, 2]})
    with pytest.raises(UserError, match="the column 'd' is none of the model's"):
        kind.prepare(named | {"d": raw[:, 0]})
    with pytest.raises(UserError, match=r"row 0 .* column 'c' holds 'x', and the column holds numbers"):
        kind.prepare(named | {"c": ["x"] * len(raw)})
    with pytest.raises(UserError, match="differ in length"):
        kind.prepare(named | {"c": raw[:5, 2]})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_entry_that_is_no_number_is_named(value):
    kind, raw = CASES["table"]
    raw = raw.copy()
    raw[4, 1] = value
    with pytest.raises(UserError, match=r"row 4 \(from 0\), column 'b' holds (nan|inf)"):
        kind.prepare(raw)
    if np.isnan(value):
        assert np.isnan(kind._replace(missing=True).prepare(raw)[4, 1])


def test_rows_are_standardised_by_what_was_observed():
    x = ROWS.copy()
    x[:5, 0] = np.nan
    kind = fit(x, missing=True)
    np.testing.assert_allclose([c.mean for c in kind.columns], np.nanmean(x, axis=0))
    np.testing.assert_allclose([c.std for c in kind.columns], np.nanstd(x, axis=0))
    assert [c.std for c in fit(x, standardise=False).columns] == [1, 1, 1] and kind.names == ("0", "1", "2")


def test_numbers_are_stored_as_ever():
    """Bit for bit: one subtraction and one division in float64, rounded once."""
    x = np.random.default_rng(3).normal(1e6, [1, 9, 200], (20, 3))
    kind = fit(x)
    expected = ((x - np.mean(x, 0)) / np.std(x, 0)).astype(np.float32)
    np.testing.assert_array_equal(kind.prepare(x), expected)
    columns = kind.restore(expected)
    for j, values in enumerate(columns.values()):
        np.testing.assert_array_equal(
            values, np.float64(expected[:, j]) * kind.columns[j].std + kind.columns[j].mean
        )


def test_columns_of_all_types(mixed):
    kind, rows = mixed
    assert [type(c) for c in kind.columns] == [Number, Category, Category, Date, Date]
    assert kind.columns[1].values == ("", "Bonn", "Köln", "Ulm") and kind.columns[2].values == (
        1.0,
        2.0,
        None,
    )
    assert kind.shape == (1 + 4 + 3 + 1 + 1,) and kind.starts == (0, 1, 5, 8, 9)
    stored = kind.prepare(rows)
    np.testing.assert_array_equal(stored[:, 1:5], np.eye(4)[[1, 0, 2, 1, 3, 1]])
    np.testing.assert_array_equal(stored[:, 5:8], np.eye(3)[[0, 1, 2, 0, 1, 1]])
    assert np.isnan(stored).nonzero()[0].tolist() == [2, 2, 4] and abs(np.nanmean(stored[:, 8])) < 1e-6
    restored = kind.restore(np.asarray(kind.see(jnp.asarray(stored))))
    for name, values in RESTORED.items():
        (np.testing.assert_allclose if name == "price" else np.testing.assert_array_equal)(
            restored[name], np.array(values)
        )
    text = json.dumps(kind.to_json(), allow_nan=False)
    again = from_json(json.loads(text))
    assert again == kind and json.dumps(again.to_json()) == text and hash(again) == hash(kind)
    np.testing.assert_array_equal(again.prepare(RESTORED), stored)


def test_what_a_user_has_is_read(mixed):
    """Python's and numpy's dates, None for what is missing, columns in any order; samples go to the nearest day."""
    kind, rows = mixed
    stored = kind.prepare(rows)
    days = [None if not d else datetime.date.fromisoformat(d) for d in TEXTS["built"]]
    given = {
        "sold": np.array(TEXTS["sold"], "datetime64[s]"),
        "built": np.array(days, object),
        "city": [c or None for c in TEXTS["city"]],
        "price": [1.5, 2.25, None, 4, None, 8.5],
        "rooms": ["1", 2, None, 1, 2.0, 2],
    }
    np.testing.assert_array_equal(kind.prepare(given), stored)
    for near in (stored + 1e-6, stored - 1e-6):
        assert kind.restore(near)["built"].tolist() == TEXTS["built"]
    assert np.nanstd(stored[:, 8]) == pytest.approx(1) and np.nanstd(stored[:, 9]) == pytest.approx(1)
    late = kind.restore(np.full((1, 10), 1e9, np.float32))
    assert late["built"][0] == "9999-12-31" and late["sold"][0] == "9999-12-31 23:59:59"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "city",
            "Rom",
            r"row 4 \(from 0\), column 'city' holds 'Rom', and the column holds one of '', 'Bonn', 'Köln'",
        ),
        ("rooms", 7, r"row 4 .* column 'rooms' holds 7.0, and the column holds one of 1.0, 2.0, None"),
        ("rooms", "many", r"row 4 .* column 'rooms' holds 'many', and the column holds numbers"),
        (
            "built",
            "1.2.99",
            r"row 4 .* column 'built' holds '1.2.99', and the column holds dates such as 2024-12-31",
        ),
        ("price", "x", r"row 4 .* column 'price' holds 'x', and the column holds numbers"),
        ("price", np.inf, r"row 4 .* column 'price' holds inf, which is no number"),
    ],
)
def test_an_entry_that_its_column_cannot_hold_is_named(mixed, name, value, message):
    given = {k: list(v) for k, v in RESTORED.items()}
    given[name][4] = value
    with pytest.raises(UserError, match=message):
        mixed[0].prepare(given)


def test_dates_and_categories_need_names(mixed):
    with pytest.raises(UserError, match=r"columns by their names belong .* 'price', 'city'"):
        mixed[0].prepare(np.zeros((3, 10)))
    with pytest.raises(
        UserError, match=r"'built' holds nan, which is no number; train with config.data.missing=True"
    ):
        mixed[0]._replace(missing=False).prepare(
            {k: v[3:4] if k == "price" else v[2:3] for k, v in RESTORED.items()}
        )


def test_categories_of_an_array_of_numbers():
    x = np.column_stack([ROWS[:, 0], np.arange(20) % 3])
    kind = fit(x[:10], ("a", "b"), categories=("b",), whole=np.vstack([x, [[0.0, 7.0]]]))
    assert kind.columns[1] == Category("b", (0.0, 1.0, 2.0, 7.0))
    np.testing.assert_allclose(kind.columns[0][1:], fit(x[:10]).columns[0][1:], rtol=1e-12)
    with pytest.raises(UserError, match=r"config.data.categories: 'c' is no column; .*'a', 'b'"):
        fit(x, ("a", "b"), categories=("c",))
    with pytest.raises(UserError, match="column 'b' has 1001 categories in 1001 rows, above 1000; remove it"):
        fit(np.column_stack([np.ones(1001), np.arange(1001.0)]), ("a", "b"), categories=("b",))
