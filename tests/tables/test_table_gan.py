"""Fitting and sampling: schema, reproducibility, rows asked for, saving, and tables that are refused or handled."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import arrays, tables
from unsupjax.data.columns import same as same_values
from unsupjax.errors import UserError
from unsupjax.run import loop
from unsupjax.tables import table_gan

pytestmark = pytest.mark.thorough

TINY = {
    "steps": 6,
    "modes": 2,
    "generator_features": (8,),
    "critic_features": (8,),
    "noise_dim": 2,
    "batch_size": 20,
}


@pytest.fixture(scope="module")
def table():
    """90 rows of every type: missing numbers and texts, a constant, and a category of one row."""
    random = np.random.default_rng(0)
    x = random.normal(50, 10, 90).round(2)
    x[:9] = np.nan
    city = random.choice(["Bonn", "Köln", ""], 90, p=[0.5, 0.3, 0.2])
    city[5] = "Ulm"
    years = random.integers(20, 60, 90)
    return tables.from_columns({"x": x, "years": years, "city": city, "one": [7] * 90, "flag": years > 40})


@pytest.fixture(scope="module")
def model(table):
    return tables.fit(jax.random.key(0), table, **TINY)


def same(a, b):
    return all(same_values(u, v).all() for u, v in zip(a.values, b.values, strict=True))


def test_samples_have_the_schema(tmp_path, table, model):
    new = tables.sample(model, jax.random.key(1), 3000)
    assert new.columns == table.columns and new.rows == 3000
    for column, real, values in zip(table.columns, table.values, new.values, strict=True):
        assert values.dtype.kind == real.dtype.kind
        if column.discrete:
            assert set(values.tolist()) <= set(real.tolist())
    assert set(new.values[1]) <= set(range(20, 60)) and set(new.values[3]) == {7.0}
    np.testing.assert_array_equal(new.values[0], new.values[0].round(2))
    assert 0.03 < np.isnan(new.values[0]).mean() < 0.25
    tables.write(tmp_path / "new.csv", new)
    again = tables.read(tmp_path / "new.csv", like=table.columns)
    assert same(again, new)


def test_six_steps_do_not_leave_the_copula(table, model):
    new = tables.sample(model, jax.random.key(1), 3000)
    assert tables.column_shapes(table, new) > 0.9


def test_the_same_key_gives_the_same(table, model):
    again = tables.fit(jax.random.key(0), table, **TINY)
    assert same(*(tables.sample(m, jax.random.key(1), 50) for m in (model, again)))
    assert not same(*(tables.sample(model, jax.random.key(k), 50) for k in (1, 2)))


def test_rows_asked_for(model):
    assert table_gan._wanted(model, "flag", "True").category == 1  # of the column of fewest categories
    assert table_gan._wanted(model, "city", "Ulm").category == 2 + 3
    for name, value in (
        ("city", "Köln"),
        ("city", "Ulm"),
        ("city", ""),
        ("one", "7"),
        ("one", 7),
        ("flag", "True"),
    ):
        new = tables.sample(model, jax.random.key(1), 40, where=(name, value))
        values = new.values[new.find(name)]
        assert new.rows == 40 and set(values.tolist()) == {7.0 if name == "one" else value}
    for where, message in (
        (("town", "Bonn"), "'town' is no column"),
        (("x", 50), "'x' is continuous.*'city'"),
        (("city", "Rom"), "no value 'Rom'; it has '', 'Bonn'"),
        (("one", "seven"), "'seven' is no number"),
    ):
        with pytest.raises(UserError, match=message):
            tables.sample(model, jax.random.key(1), 5, where=where)
    with pytest.raises(UserError, match="at least 1"):
        tables.sample(model, jax.random.key(1), 0)


def test_a_saved_model_gives_the_same_rows(tmp_path, model):
    tables.save(tmp_path / "model.npz", model)
    again = tables.load(tmp_path / "model.npz")
    assert same(*(tables.sample(m, jax.random.key(3), 60) for m in (model, again)))
    assert same(*(tables.sample(m, jax.random.key(3), 9, ("city", "Ulm")) for m in (model, again)))
    assert again.settings == model.settings and again.columns == model.columns and again.kind == model.kind
    assert [f.name for f in tmp_path.iterdir()] == ["model.npz"]


def test_files_that_are_no_model(tmp_path, model):
    path = tmp_path / "model.npz"
    with pytest.raises(UserError, match="no file"):
        tables.load(path)
    tables.save(path, model)
    whole = path.read_bytes()
    values, description = arrays.load(path)

    def foreign(told=description, **changed):
        kept = {k: v for k, v in (values | changed).items() if v is not None}
        arrays.save(path, kept, told)

    without = {k: v for k, v in description.items() if k != "rows"}
    renamed = json.loads(json.dumps(description).replace("years", "months", 1))

    bad = [
        (lambda: path.write_bytes(whole[: len(whole) // 2]), "damaged"),
        (lambda: path.write_bytes(b"a,b\n1,2\n"), "damaged"),
        (lambda: arrays.save(path, {"x": np.ones(3)}), "holds no model"),
        (lambda: foreign(**{"facts/latent/mean": np.zeros((2, 3))}), "damaged .*has shape"),
        (lambda: foreign(**{"facts/latent/mean": None}), "damaged"),
        (lambda: foreign(without), "of an earlier version of unsupjax; fit the model again"),
        (lambda: foreign(renamed), "damaged .*columns do not fit"),
        (lambda: foreign(description | {"settings": {"stepz": 3}}), "damaged"),
    ]
    for write, message in bad:
        write()
        with pytest.raises(UserError, match=message) as caught:
            tables.load(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"must end in \.npz"):
        tables.save(tmp_path / "model", model)
    with pytest.raises(UserError, match="cannot be written"):
        tables.save(tmp_path / "none" / "model.npz", model)


@pytest.mark.parametrize(
    "columns",
    [{"c": ["a", "b", "b"]}, {"x": [None, 1, 2, 30.5] * 9}],
    ids=["one column of texts", "one of few numbers, some missing"],
)
def test_small_tables(columns, monkeypatch):
    def traced(method, state, stored, *_):
        """The shapes of a step, without the time that compilation takes."""
        batch = jnp.resize(stored, (20, stored.shape[1]))
        batch = (batch, jnp.zeros(20, jnp.int32)) if method.wants.asks else batch
        new, _ = jax.eval_shape(method.step, state, batch)
        jax.tree.map(lambda a, b: chex.assert_shape(a, b.shape), new, state)
        return state

    monkeypatch.setattr(table_gan, "_train", traced)
    table = tables.from_columns(columns)
    new = tables.sample(tables.fit(jax.random.key(0), table, **TINY), jax.random.key(1), 25)
    assert new.columns == table.columns and new.rows == 25
    for real, values in zip(table.values, new.values, strict=True):
        if len(np.unique(real)) < 10:
            assert same_values(values[:, None], np.unique(real)).any(axis=1).all()


def test_refusals(table):
    for settings, message in (
        ({"steps": 0}, "steps=0"),
        ({"batch_size": 25, "pack": 10}, "multiple of pack=10"),
        ({"loss": "hinge"}, "choices are"),
        ({"ema": 1.0}, "ema=1.0"),
    ):
        with pytest.raises(UserError, match=message):
            tables.fit(jax.random.key(0), table, **settings)
    with pytest.raises(UserError, match="constant"):
        tables.fit(jax.random.key(0), tables.from_columns({"a": [1, 1], "b": ["", ""]}))
    with pytest.raises(UserError, match="'name' has 1001 categories in 1001 rows"):
        tables.fit(jax.random.key(0), tables.from_columns({"name": [f"n{i}" for i in range(1001)]}))


def test_a_loss_that_is_not_finite_is_told_by_the_loop():
    assert tables.Diverged is loop.Diverged
