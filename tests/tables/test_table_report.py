"""Measures of synthetic tables on cases with a known answer."""

import numpy as np
import pytest

from unsupjax import tables
from unsupjax.errors import UserError
from unsupjax.evaluate.synthesis import table_trends as trends


def make(n, seed, shift=0.0, noise=0.3, columns=("x", "y", "c")):
    """x and y related, and a category that x decides but for one row in ten; y is missing now and then."""
    random = np.random.default_rng(seed)
    x = random.normal(shift, 1, n)
    y = x + random.normal(0, noise, n)
    c = np.where((x > 0) ^ (random.random(n) < 0.1), "a", "b")
    y[random.random(n) < 0.05] = np.nan
    parts = {"x": x, "y": y, "c": c}
    return tables.from_columns({name: parts[name] for name in columns})


def shuffled(table, seed=0):
    random = np.random.default_rng(seed)
    return table._replace(values=tuple(random.permutation(v) for v in table.values))


@pytest.fixture(scope="module")
def real():
    return make(600, 0), make(500, 1)


def test_identical_and_disjoint_tables(real):
    train, _ = real
    assert (
        tables.column_shapes(train, train)
        == tables.pair_trends(train, train)
        == tables.copies(train, train)
        == 1
    )
    far = train._replace(values=(train.values[0] + 100, train.values[1] + 100, np.array(["z"] * 600)))
    assert tables.column_shapes(train, far) == 0 and tables.copies(far, train) == 0
    numbers = [t._replace(columns=t.columns[:2], values=t.values[:2]) for t in (train, far)]
    assert tables.pair_trends(*numbers) == pytest.approx(1)  # which sees relations alone
    opposite = numbers[0]._replace(values=(train.values[0], -train.values[1]))
    rho = trends._spearman(*numbers[0].values)
    assert tables.pair_trends(numbers[0], opposite) == pytest.approx(1 - rho)


def test_shapes_and_trends_by_hand():
    a = tables.from_columns({"n": [0.5, 1.5, 2.5, 3.5], "c": ["p", "p", "q", "q"]})
    b = tables.from_columns({"n": [0.5, 0.5, 0.5, 3.5], "c": ["p", "q", "r", "r"]})
    # KS: F(0.5) is 1/4 and 3/4. Variation: (|2/4 - 1/4| + |2/4 - 1/4| + 2/4) / 2.
    assert tables.column_shapes(a, b) == pytest.approx(1 - (0.5 + 0.5) / 2)
    c, d = tables.from_columns({"a": "ppqq", "b": "stst"}), tables.from_columns({"a": "ppqq", "b": "sstt"})
    # Marginals agree, and half of each table of counts lies where the other has none.
    assert tables.column_shapes(c, d) == 1 and tables.pair_trends(c, d) == pytest.approx(0.5)
    assert np.isnan(tables.pair_trends(*(tables.from_columns({"a": "pq"}),) * 2))


def test_trends_with_a_category_see_numbers_by_decile(real):
    train, _ = real
    pair = [t._replace(columns=t.columns[::2], values=t.values[::2]) for t in (train, shuffled(train))]
    (x, c), (x_new, c_new) = (t.values for t in pair)
    edges = np.quantile(x, np.arange(1, 10) / 10)
    count = [np.zeros((10, 2)) for _ in range(2)]
    for table, numbers, letters in zip(count, (x, x_new), (c, c_new), strict=True):
        for v, k in zip(numbers, letters, strict=True):
            table[int((v >= edges).sum()), "ab".index(k)] += 1 / 600
    assert tables.pair_trends(*pair) == pytest.approx(1 - np.abs(count[0] - count[1]).sum() / 2)


@pytest.mark.thorough
def test_a_perfect_and_a_poor_table(real):
    train, test = real
    good = tables.report(train, test, make(600, 2), target="c")
    poor = tables.report(train, test, shuffled(train), target="c")
    for name in ("boosting", "logistic"):
        assert good[f"detection_{name}"] == pytest.approx(0.5, abs=0.06)
    assert poor["detection_boosting"] > 0.8 and poor["detection_logistic"] < 0.6  # which sees no relations
    assert good["column_shapes"] > 0.93 and poor["column_shapes"] > 0.93
    assert good["pair_trends"] > 0.9 > poor["pair_trends"]
    assert good["trtr_accuracy"] == poor["trtr_accuracy"] > 0.8
    assert good["tstr_accuracy"] == pytest.approx(good["trtr_accuracy"], abs=0.05)
    assert good["tstr_f1"] > 0.8 and poor["tstr_accuracy"] < 0.65 and poor["tstr_f1"] < 0.65
    assert good["closest_record"] == pytest.approx(1, abs=0.2) and poor["closest_record"] > 1.3
    assert good["copies"] == good["copies_test"] == 0


def test_copies(real):
    train, test = real
    half = tables.from_columns({"x": ["a", "b", "b", ""], "y": [1, 2, 3, None]})
    known = tables.from_columns({"x": ["b", "a", ""], "y": [2, 3, None]})
    assert tables.copies(half, known) == 0.5
    report = tables.report(train, test, train.take(np.arange(300)))
    assert report["copies"] == 1 and report["closest_record"] == 0
    assert not any(name.startswith(("tstr", "trtr")) for name in report)


def test_a_continuous_target(real):
    train, test = real
    found = tables.report(train, test, make(600, 2), target="x")
    assert found["trtr_r2"] > 0.85 and found["tstr_r2"] == pytest.approx(found["trtr_r2"], abs=0.05)
    assert tables.utility(shuffled(train), test, "x")["r2"] < 0.1
    one_class = train._replace(values=(*train.values[:2], np.array(["a"] * 600)))
    guess = tables.utility(one_class, test, "c")
    assert guess["accuracy"] == pytest.approx((test.values[2] == "a").mean())
    assert guess["f1"] == pytest.approx(guess["accuracy"] / (1 + guess["accuracy"]))


@pytest.mark.slow
def test_beside_the_baselines(real):
    train, test = real
    found = tables.compare(train, test, make(400, 2), target="c")
    assert list(found) == ["synthetic", "copula", "marginals"]
    assert len({tuple(r) for r in found.values()}) == 1
    assert found["marginals"]["detection_boosting"] > found["copula"]["detection_boosting"] + 0.1
    assert found["marginals"]["tstr_accuracy"] < found["copula"]["tstr_accuracy"]
    assert found["copula"]["closest_record"] < found["marginals"]["closest_record"]
    assert tables.report(train, test, make(400, 2), target="c") == found["synthetic"]


def test_tables_that_no_report_is_made_of(real):
    train, test = real
    with pytest.raises(UserError, match="the test table has columns"):
        tables.report(train, make(50, 0, columns=("y", "x", "c")), test)
    with pytest.raises(UserError, match="synthetic table has 9 rows"):
        tables.report(train, test, test.take(np.arange(9)))
    with pytest.raises(UserError, match="'d' is no column"):
        tables.report(train, test, test, target="d")
    with pytest.raises(UserError, match="only column"):
        tables.report(*[make(20, i, columns=("x",)) for i in range(3)], target="x")
    alone = tables.report(*[make(60, i, columns=("c",)) for i in range(3)])
    assert np.isnan(alone["pair_trends"]) and np.isnan(alone["closest_record"]) and alone["copies"] == 1
