"""Training by sampling: what is asked for, how often, and the rows that answer."""

import jax
import numpy as np

from unsupjax.tables.conditions import conditions, draw, draw_as_is

CODES = np.array([[0, 0]] * 80 + [[1, 0]] * 15 + [[2, 1]] * 4 + [[2, 2]])
SIZES = (3, 3)
N = 30_000


def frequencies(categories):
    return np.bincount(categories, minlength=sum(SIZES)) / len(categories)


def drawn(draw, found, n):
    return jax.jit(jax.vmap(lambda key: draw(found, key)))(jax.random.split(jax.random.key(0), n))


def test_categories_by_log_frequency_and_rows_that_have_them():
    found = conditions(CODES, SIZES)
    category, row = drawn(draw, found, N)
    expected = []
    for j in range(2):
        weight = [np.log(1 + (CODES[:, j] == k).sum()) for k in range(3)]
        expected += [w / sum(weight) / 2 for w in weight]
    np.testing.assert_allclose(frequencies(category), expected, atol=0.01)
    for c, r in zip(np.asarray(category)[:500], np.asarray(row)[:500], strict=True):
        assert CODES[r, c // 3] == c % 3
    of_one = np.asarray(row)[np.asarray(category) == 1]  # every row of a category is as frequent
    np.testing.assert_allclose(np.bincount(of_one, minlength=100)[80:95] / len(of_one), 1 / 15, atol=0.02)


def test_sampling_asks_for_categories_as_they_are():
    found = conditions(CODES, SIZES)
    category = drawn(draw_as_is, found, N)
    expected = [(CODES[:, j] == k).mean() / 2 for j in range(2) for k in range(3)]
    np.testing.assert_allclose(frequencies(category), expected, atol=0.01)


def test_columns_of_unequal_size():
    found = conditions(np.array([[0, 3], [1, 0], [1, 1], [0, 2]]), (2, 4))
    category, row = drawn(draw, found, 500)
    assert set(np.asarray(category).tolist()) == set(range(6))
    assert set(np.asarray(row)[np.asarray(category) == 5].tolist()) == {0}
