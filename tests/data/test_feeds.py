import numpy as np
import pytest

from unsupjax.data.feeds import example_order, fits_in_memory, resident, streaming

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
