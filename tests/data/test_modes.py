"""Numbers by their modes and back, against plain loops; and tables of them."""

import json

import numpy as np
import pytest

from unsupjax.data import arrays, open_source
from unsupjax.data.columns import Table, typed
from unsupjax.data.kinds import Modes, from_json
from unsupjax.data.kinds.modes import fit_modes
from unsupjax.data.kinds.table import fit
from unsupjax.errors import UserError


@pytest.fixture(scope="module")
def table():
    """400 rows: two bumps with an atom and missing numbers, integers on a grid, dates, categories, and constants."""
    random = np.random.default_rng(0)
    bumps = np.where(random.random(400) < 0.4, random.normal(-5, 0.5, 400), random.normal(3, 1, 400)).round(3)
    bumps[:60], bumps[60:80] = 0, np.nan
    columns = {
        "bumps": ["" if np.isnan(x) else str(x) for x in random.permutation(bumps)],
        "years": random.integers(20, 50, 400).astype(str),
        "day": [f"20{n // 12 + 10}-{n % 12 + 1:02}-28" for n in random.integers(0, 100, 400)],
        "city": random.choice(["Bonn", "Köln", "Trier"], 400, p=[0.7, 0.2, 0.1]).tolist(),
        "answer": random.choice(["1", "2", ""], 400).tolist(),
        "one": ["1.5"] * 400,
        "void": [""] * 400,
    }
    found = [typed("here", name, texts, dates=True) for name, texts in columns.items()]
    return Table(*(tuple(part) for part in zip(*found, strict=True)))


@pytest.fixture(scope="module")
def kind(table):
    return fit(table.structured(), table.columns, missing=True, numbers="modes")


def test_entries_against_a_loop(table, kind):
    stored = kind.prepare(table.structured())
    assert stored.shape == (400, kind.shape[0]) and stored.dtype == np.float32
    assert [c.type for c in kind.columns] == 3 * ["modes"] + 2 * ["category"] + ["modes", "category"]
    for column, start, values in zip(kind.columns, kind.starts, kind.read(table.structured()), strict=True):
        for row, x in zip(stored[:, start : start + column.width], values, strict=True):
            hot = row[row.size - column.width + (column.type == "modes") :]
            k = hot.argmax()
            assert hot.sum() == 1
            if column.type == "category":
                assert column.values[k] == x or (x != x and column.values[k] is None)
            elif np.isnan(x):
                assert column.mean[k] is None and row[0] == 0
            elif column.scale[k] == 0:
                assert column.mean[k] == x and row[0] == 0
            else:
                assert x not in [m for m, s in zip(column.mean, column.scale, strict=True) if s == 0]
                assert row[0] == pytest.approx((x - column.mean[k]) / (4 * column.scale[k]), rel=1e-5)


def test_modes_are_drawn_by_their_responsibilities():
    column = Modes("x", (0.7, 0.3), (0.0, 2.0), (1.0, 0.5), (), (-9.0, 9.0), (0, 18))
    mode = column.encode(np.full(20_000, 1.0))[:, 1:].mean(axis=0)
    p = np.array([0.7 * np.exp(-0.5), 0.3 / 0.5 * np.exp(-2)])
    np.testing.assert_allclose(mode, p / p.sum(), atol=0.012)
    # One row after another, and alike in another column: other draws.
    draws = [c.encode(np.full(500, 1.0))[:, 1] for c in (column, column, column._replace(name="y"))]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).mean() > 0.2


def test_rows_are_restored_to_the_last_digit(table, kind):
    stored = kind.prepare(table.structured())
    restored = kind.restore(stored)
    for column, values in zip(table.columns, table.values, strict=True):
        np.testing.assert_array_equal(restored[column.name], values)
    text = json.dumps(kind.to_json(), allow_nan=False)
    again = from_json(json.loads(text))
    assert again == kind and hash(again) == hash(kind) and json.dumps(again.to_json()) == text
    np.testing.assert_array_equal(again.prepare(restored), stored)


def test_what_is_restored_stays_within_the_column(table, kind):
    random = np.random.default_rng(1)
    restored = kind.restore(random.normal(0, 3, (2000, *kind.shape)))
    bumps = restored["bumps"]
    assert set(restored["years"]) <= set(table.values[1]) and set(restored["day"]) <= set(table.values[2])
    assert np.nanmin(bumps) >= np.nanmin(table.values[0]) and np.nanmax(bumps) <= np.nanmax(table.values[0])
    np.testing.assert_array_equal(bumps, bumps.round(3))
    assert set(restored["one"]) == {1.5} and set(restored["void"]) == {""}


def test_modes(table, kind):
    column = kind.columns[0]
    mean, scale, weight = (np.array(part, float) for part in (column.mean, column.scale, column.weight))
    assert mean[scale == 0].tolist()[:1] == [0] and np.isnan(mean[-1]) and column.mean[-1] is None
    assert weight.sum() == pytest.approx(1) and weight[-1] == pytest.approx(20 / 400)
    assert weight[mean == 0] == pytest.approx(60 / 400)
    assert np.abs(mean[scale > 0][:, None] - [-5, 3]).min(axis=0).max() < 0.5
    assert len(fit_modes("x", table.values[0], modes=1).mean) < len(mean)
    assert kind.columns[5].mean == (1.5,) and kind.columns[6].values == ("",)
    nothing = fit_modes("x", np.full(5, np.nan))
    assert nothing.mean == (None,) and np.isnan(nothing.decode(nothing.encode(np.full(3, np.nan)))).all()


def test_missing_numbers_have_a_mode_where_there_may_be_some():
    x = np.arange(30.0)
    column = fit_modes("x", x, missing=True)
    assert column.mean[-1] is None and column.weight[-1] == 0
    assert np.isnan(column.decode(column.encode(np.array([3.0, np.nan])))).tolist() == [False, True]
    kind = fit(x[:, None], numbers="modes", missing=True)
    with pytest.raises(
        UserError, match=r"row 1 .* holds nan, and the column holds numbers of which none was missing"
    ):
        kind.prepare({"0": [3.0, np.nan]})


def test_sources_of_numbers_by_modes(tmp_path):
    x = np.random.default_rng(0).normal(size=(50, 2))
    np.savez(tmp_path / "a.npz", x=np.column_stack([x, np.arange(50) % 3]))
    source = open_source(f"npz:{tmp_path / 'a.npz'}", numbers="modes", categories=("2",))
    assert [c.type for c in source.kind.columns] == ["modes", "modes", "category"]
    rows = np.column_stack(list(source.kind.restore(arrays(source.train)[0]).values()))
    assert {tuple(row) for row in rows[:, :2].round(5)} <= {tuple(row) for row in x.round(5)}
    again = open_source(f"npz:{tmp_path / 'a.npz'}", numbers="modes", categories=("2",), kind=source.kind)
    np.testing.assert_array_equal(arrays(again.train)[0], arrays(source.train)[0])
    with pytest.raises(UserError, match="numbers='mode' is unknown; did you mean 'modes'"):
        open_source(f"npz:{tmp_path / 'a.npz'}", numbers="mode")
    with pytest.raises(UserError, match="numbers='modes' is for tables"):
        open_source("digits", numbers="modes")
