"""Samples of tables against held-out rows, for a method that is as good as can be and for a poor one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from unsupjax.data.columns import typed
from unsupjax.data.kinds import Images
from unsupjax.data.kinds.table import fit
from unsupjax.errors import UserError
from unsupjax.evaluate import JUDGES, Facts, subject, synthetic_table
from unsupjax.methods.base import Method


def rows(n, seed):
    """A number, a date and a category that the number decides but for one row in ten."""
    random = np.random.default_rng(seed)
    x = random.normal(0, 1, n)
    when = np.array("2024-01-01", "datetime64[D]") + np.round(100 + 10 * x).astype(int)
    c = np.where((x > 0) ^ (random.random(n) < 0.1), "a", "b")
    texts = {"x": x.round(5).astype(str), "when": when.astype(str), "c": c}
    found = [typed("here", name, column, dates=True) for name, column in texts.items()]
    made = np.empty(n, [(column.name, values.dtype) for column, values in found])
    for column, values in found:
        made[column.name] = values
    return made, tuple(column for column, _ in found)


@pytest.fixture(scope="module")
def make():
    (train, columns), (test, _), (other, _) = (rows(n, seed) for seed, n in enumerate((400, 300, 400)))
    kind = fit(train, columns)
    encode = lambda state, x: x[:, :2]

    def make(samples=None):
        new = kind.prepare(other) if samples is None else samples(kind.prepare(other))
        method = Method(None, None, encode, sample=lambda state, key, n: jnp.asarray(new[:n]))
        parts = ((kind.prepare(part), None) for part in (train, test))
        return subject(method, jnp.zeros(()), jax.random.key(0), *parts)._replace(kind=kind)

    import sklearn.ensemble
    import sklearn.neighbors  # noqa: F401  limits are of libraries that are loaded

    with threadpool_limits(1):
        yield make


def test_good_and_poor_samples(make):
    good = synthetic_table(make(), target="c")
    assert (
        good["column_shapes"] > 0.9
        and good["pair_trends"] > 0.86
        and good["copies"] == 0
        and good["copies_test"] < 0.01
    )
    assert good["detection_boosting"] == pytest.approx(0.5, abs=0.1)
    assert (
        good["tstr_accuracy"] == pytest.approx(good["trtr_accuracy"], abs=0.06)
        and good["tstr_accuracy"] > 0.8
    )
    poor = synthetic_table(make(lambda x: np.column_stack([x[::-1, :1], x[:, 1:]])), n=300)
    assert (
        poor["column_shapes"] > 0.9
        and poor["pair_trends"] < good["pair_trends"] - 0.1
        and poor["detection_boosting"] > 0.8
    )
    assert not any(name.startswith("tstr") for name in poor)


def test_what_is_no_table_and_a_target_that_is_none(make):
    with pytest.raises(UserError, match="'synthetic_table' needs a table"):
        synthetic_table(make()._replace(kind=None))
    with pytest.raises(UserError, match=r"config.evaluate.synthetic_table: 'd' is no column"):
        synthetic_table(make(), target="d")
    with pytest.raises(UserError, match="needs data of the kind table, and this is images"):
        JUDGES["synthetic_table"].refuse("synthetic_table", {}, make().method, Facts(Images((8, 8, 1)), 9, 9))
    with pytest.raises(UserError, match=r"target='d' is no column; .*'c'"):
        JUDGES["synthetic_table"].refuse(
            "synthetic_table", {"target": "d"}, make().method, Facts(make().kind, 9, 9)
        )
