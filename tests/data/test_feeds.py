import numpy as np
import pytest

from unsupjax.data.feeds import (
    by_category,
    example_order,
    fits_in_memory,
    resident,
    streaming,
)

X = np.arange(10, dtype=np.uint8)[:, None] * np.ones((1, 3), np.uint8)


def batches(feed, start, stop):
    """All batches of a feed as one array [steps, B, 3]."""
    blocks = list(feed.blocks(start, stop))
    return np.concatenate([np.stack([feed.batch(row, *feed.shared) for row in block]) for block in blocks])


def make(kind, seed=0, steps_per_call=3, rows=None):
    if kind == "resident":
        return resident(X, 4, seed, steps_per_call, rows)
    return streaming(lambda index: X[index], len(X), 4, seed, steps_per_call, rows)


def test_every_epoch_is_a_permutation_and_no_two_are_alike():
    epochs = example_order(np.arange(50), 10, seed=0).reshape(5, 10)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(10), (5, 1)))
    assert len({tuple(e) for e in epochs}) == 5
    assert not np.array_equal(epochs, example_order(np.arange(50), 10, seed=1).reshape(5, 10))


def test_order_depends_on_the_position_alone():
    positions = np.random.default_rng(0).integers(0, 1000, (7, 5))
    np.testing.assert_array_equal(
        example_order(positions, 10, 0), example_order(np.arange(1000), 10, 0)[positions]
    )


@pytest.mark.parametrize("kind", ["resident", "streaming"])
def test_a_feed_started_in_the_middle_goes_on_as_if_undisturbed(kind):
    feed = make(kind)
    whole = batches(feed, 0, 8)
    assert whole.shape == (8, 4, 3) and whole.dtype == np.uint8
    np.testing.assert_array_equal(batches(feed, 5, 8), whole[5:])
    assert [len(b) for b in feed.blocks(0, 8)] == [3, 3, 2]
    # 8 steps of 4 are 3.2 epochs of 10: nothing is dropped at the end of an epoch.
    np.testing.assert_array_equal(np.bincount(whole[:, :, 0].ravel()[:30]), 3)


def test_both_feeds_give_the_same_batches():
    np.testing.assert_array_equal(batches(make("resident"), 0, 8), batches(make("streaming"), 0, 8))
    assert not np.array_equal(batches(make("resident", seed=1), 0, 8), batches(make("resident"), 0, 8))


@pytest.mark.parametrize("kind", ["resident", "streaming"])
def test_processes_read_their_rows_and_no_others(kind):
    """Whichever rows each has, all together have every example of an epoch once."""
    whole = batches(make(kind), 0, 5)
    shares = [batches(make(kind, rows=np.array(rows)), 0, 5) for rows in ([0, 3], [1], [2])]
    np.testing.assert_array_equal(shares[0], whole[:, [0, 3]])
    seen = np.concatenate([share[..., 0] for share in shares], axis=1)
    np.testing.assert_array_equal(np.bincount(seen.ravel()), 2)  # 20 positions are two epochs of 10


def test_a_reader_that_fails_is_heard():
    def broken(index):
        raise OSError("disk gone")

    with pytest.raises(Exception, match="disk gone"):
        list(streaming(broken, 10, 4, 0, 3).blocks(0, 8))


def test_what_fits_in_memory():
    assert fits_in_memory(2**20)
    assert not fits_in_memory(2**50)


def test_a_system_that_does_not_tell_its_memory(monkeypatch):
    monkeypatch.delattr("os.sysconf")  # as on Windows
    assert fits_in_memory(2**20) and not fits_in_memory(2**33)


CODES = np.array([[0, 0]] * 80 + [[1, 0]] * 15 + [[2, 1]] * 4 + [[2, 2]])


def test_categories_by_log_frequency_and_examples_that_have_them():
    example, category = by_category(CODES, (3, 3), 100, 0)(0, 300)
    assert example.shape == category.shape == (300, 100) and example.dtype == category.dtype == np.int32
    example, category = example.ravel(), category.ravel()
    expected = []
    for j in range(2):
        weight = [np.log(1 + (CODES[:, j] == k).sum()) for k in range(3)]
        expected += [w / sum(weight) / 2 for w in weight]
    np.testing.assert_allclose(np.bincount(category, minlength=6) / 30_000, expected, atol=0.01)
    assert (CODES[example, category // 3] == category % 3).all()
    of_one = example[category == 1]  # every example of a category is as frequent
    np.testing.assert_allclose(np.bincount(of_one, minlength=100)[80:95] / len(of_one), 1 / 15, atol=0.02)


def test_columns_of_unequal_size_and_a_category_of_no_example():
    example, category = by_category(np.array([[0, 3], [1, 0], [1, 1], [0, 0]]), (2, 5), 500, 0)(0, 1)
    assert set(category.ravel().tolist()) == {0, 1, 2, 3, 5}
    assert set(example[category == 5].tolist()) == {0}


def pairs(feed):
    """Examples and categories `[steps, B]` of the batches of steps 2 to 8."""
    blocks = [feed.batch(block, *feed.shared) for block in feed.blocks(2, 9)]
    examples, categories = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return examples.reshape(7, -1), categories


@pytest.mark.parametrize("kind", ["resident", "streaming"])
@pytest.mark.parametrize("steps", [1, 3])
def test_draws_follow_from_seed_and_step_alone(kind, steps):
    x = np.arange(100)[:, None]

    def feed(seed=5, rows=None):
        chosen = by_category(CODES, (3, 3), 8, seed, rows)
        if kind == "resident":
            return resident(x, 8, seed, steps, rows, chosen)
        return streaming(lambda index: x[index], 100, 8, seed, steps, rows, chosen=chosen)

    whole, expected = pairs(feed()), by_category(CODES, (3, 3), 8, 5)(0, 9)
    for a, b in zip(whole, expected, strict=True):
        np.testing.assert_array_equal(a, b[2:])
    for a, b in zip(pairs(feed(rows=np.array([1, 6]))), whole, strict=True):
        np.testing.assert_array_equal(a, b[:, [1, 6]])
    assert not np.array_equal(pairs(feed(6))[0], whole[0])
