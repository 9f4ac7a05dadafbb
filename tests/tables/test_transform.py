"""Rows as vectors and back, against plain loops."""

import numpy as np
import pytest

from unsupjax.errors import UserError
from unsupjax.tables import from_columns, transform


@pytest.fixture(scope="module")
def mixed():
    """400 rows: two bumps with an atom and missing numbers, integers on a grid, categories, and constants."""
    random = np.random.default_rng(0)
    bumps = np.where(random.random(400) < 0.4, random.normal(-5, 0.5, 400), random.normal(3, 1, 400)).round(3)
    bumps[:60], bumps[60:80] = 0, np.nan
    return from_columns(
        {
            "bumps": random.permutation(bumps),
            "years": random.integers(20, 50, 400),
            "city": random.choice(["Bonn", "Köln", "Trier"], 400, p=[0.7, 0.2, 0.1]),
            "answer": random.choice([1.0, 2.0, np.nan], 400),
            "one": ["same"] * 400,
            "void": [None] * 400,
        }
    )


def test_encode_against_a_loop(mixed):
    found = transform.fit(mixed)
    vectors = transform.encode(found, mixed)
    assert vectors.shape == (400, found.width) and vectors.dtype == np.float32
    spans = {(s.column, s.kind): (s.start, s.start + s.size) for s in found.spans}
    for part in found.continuous:
        (scalar, _), (low, high) = spans[part.column, "scalar"], spans[part.column, "mode"]
        for row, x in zip(vectors, mixed.values[part.column], strict=True):
            assert row[low:high].sum() == 1
            k = row[low:high].argmax()
            if np.isnan(x):
                assert np.isnan(part.mean[k]) and row[scalar] == 0
            elif part.scale[k] == 0:
                assert part.mean[k] == x and row[scalar] == 0
            else:
                assert not (part.mean[part.scale == 0] == x).any()
                assert row[scalar] == pytest.approx(
                    np.clip((x - part.mean[k]) / (4 * part.scale[k]), -1, 1), abs=1e-6
                )
    for part in found.discrete:
        low, high = spans[part.column, "category"]
        for row, x in zip(vectors, mixed.values[part.column], strict=True):
            k = row[low:high].argmax()
            assert row[low:high].sum() == 1
            assert part.categories[k] == x or (x != x and np.isnan(part.categories[k]))


def test_modes_are_drawn_by_their_responsibilities():
    part = transform.Continuous(
        0,
        np.array([0.7, 0.3]),
        np.array([0.0, 2.0]),
        np.array([1.0, 0.5]),
        np.zeros(0),
        np.array([-9.0, 9.0]),
    )
    column = from_columns({"x": [0.5, 1.5]}).columns
    table = transform.Table(column, (np.full(20_000, 1.0),))
    mode = transform.encode(transform.Transform(column, (part,), (), ()), table)[:, 1:].mean(axis=0)
    p = np.array([0.7 * np.exp(-0.5), 0.3 / 0.5 * np.exp(-2)])
    np.testing.assert_allclose(mode, p / p.sum(), atol=0.012)


def test_decode_undoes_encode(mixed):
    found = transform.fit(mixed)
    again = transform.decode(found, transform.encode(found, mixed))
    assert again.columns == mixed.columns
    for column, a, b in zip(mixed.columns, mixed.values, again.values, strict=True):
        if column.discrete or column.name == "years":
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
            far = np.abs(a - b) > 2e-3  # but what is 4 deviations from its mode
            assert np.nansum(far) <= 4


def test_decode_stays_within_the_column(mixed):
    found = transform.fit(mixed)
    random = np.random.default_rng(1)
    table = transform.decode(found, random.normal(0, 3, (2000, found.width)))
    years, bumps = mixed.values[1], mixed.values[0]
    assert set(table.values[1]) <= set(years)
    assert np.nanmin(table.values[0]) >= np.nanmin(bumps) and np.nanmax(table.values[0]) <= np.nanmax(bumps)
    np.testing.assert_array_equal(table.values[0], table.values[0].round(3))


def test_modes(mixed):
    part = next(p for p in transform.fit(mixed).continuous if p.column == 0)
    spread = part.scale > 0
    assert part.mean[~spread & ~np.isnan(part.mean)].tolist() == [0]
    assert part.weight.sum() == pytest.approx(1)
    assert part.weight[np.isnan(part.mean)] == pytest.approx(20 / 400)
    assert part.weight[part.mean == 0] == pytest.approx(60 / 400)
    assert np.abs(part.mean[spread][:, None] - [-5, 3]).min(axis=0).max() < 0.5
    assert len(transform.fit(mixed, modes=1).continuous[0].mean) < len(part.mean)


def test_constants_are_kept(mixed):
    found = transform.fit(mixed)
    assert [i for i, _ in found.constants] == [4, 5]
    table = transform.decode(found, np.zeros((3, found.width)))
    assert table.values[4].tolist() == ["same"] * 3 and table.values[5].tolist() == [""] * 3


def test_refusals():
    with pytest.raises(UserError, match="every column of the table is constant"):
        transform.fit(from_columns({"a": [1, 1], "b": ["x", "x"]}))
    with pytest.raises(UserError, match="'name' has 1001 categories in 1001 rows"):
        transform.fit(from_columns({"name": [f"n{i}" for i in range(1001)]}))
    found = transform.fit(from_columns({"a": ["x", "y"]}))
    with pytest.raises(UserError, match="no category 'z'"):
        transform.encode(found, from_columns({"a": ["x", "z"]}))
