"""Examples keep their split, whatever becomes of the data set."""

import numpy as np
import pytest
from PIL import Image

from unsupjax.data import arrays, open_source
from unsupjax.data.members import TEST, TRAIN, digest, keys, repeated
from unsupjax.data.splits import ArraySplit
from unsupjax.errors import UserError

X = np.random.default_rng(0).normal(size=(60, 4))
X[30] = X[7]  # copies have keys of their own
NAMES = np.array(["a", "b", "c"])[np.arange(60) * 3 // 60]


@pytest.fixture
def save(tmp_path):
    def write(x, y=NAMES, **more):
        np.savez(tmp_path / "x.npz", X=x, y=y[: len(x)], **more)
        return f"npz:{tmp_path / 'x.npz'}"

    return write


def rows(split):
    return {row.tobytes() for row in arrays(split)[0]}


def test_classes_are_held_out_alike(save):
    for holdout, each in ((0.2, 4), (0.5, 10)):
        y = arrays(open_source(save(X), holdout=holdout).test)[1]
        assert np.bincount(y).tolist() == [each] * 3
    uneven = np.array(["a", "b"])[(np.arange(60) < 50).astype(int)]
    y = arrays(open_source(save(X, uneven), holdout=0.25).test)[1]
    assert len(y) == 15 and np.abs(np.bincount(y) - [2.5, 12.5]).max() <= 0.5
    loose = arrays(open_source(save(X), stratified=False).test)[1]
    assert len(loose) == 12


def test_members_say_where_each_example_went(save):
    source = open_source(save(X), examples=40)
    known = source.members()
    assert [(known.parts == part).sum() for part in (TRAIN, TEST, 2)] == [40, 12, 8]
    again = open_source(save(X), examples=40, known=known)
    assert rows(again.train) == rows(source.train) and rows(again.test) == rows(source.test)
    assert digest(again.members()) == digest(known)
    other = open_source(save(X), examples=40, known=known, split_seed=5)
    assert rows(other.test) == rows(source.test)  # what is known is not divided again


@pytest.mark.parametrize("change", ["grown", "shrunk", "turned", "edited"])
def test_a_changed_data_set_is_refused_or_keeps_its_members(save, change):
    source = open_source(save(X), standardise=False)
    known = source.members()
    more = np.concatenate([np.random.default_rng(1).normal(size=(20, 4)), X])
    edited = X.copy()
    edited[3, 2] += 1e-9
    x = {"grown": more, "shrunk": X[5:], "turned": X[::-1], "edited": edited}[change]
    open_ = lambda **options: open_source(
        save(x, np.resize(NAMES, len(x))), standardise=False, known=known, **options
    )
    said = {
        "grown": "0 are gone, and 20 are new",
        "shrunk": "5 are gone, and 0 are new",
        "edited": "1 are gone, and 1",
    }
    if change != "turned":
        with pytest.raises(UserError, match=f"{said[change]}.*config.data.changed='keep'"):
            open_()
    kept = open_(changed="keep")
    assert not rows(kept.test) & rows(source.train) and not rows(kept.train) & rows(source.test)
    assert len(kept.train) + len(kept.test) == len(x)
    if change == "grown":
        assert rows(source.test) < rows(kept.test) and len(kept.test) == 16


def test_a_test_split_of_its_own_is_watched_too(save):
    source = open_source(save(X, x_train=X, x_test=X[:9]))
    assert len(source.test) == 9
    with pytest.raises(UserError, match="1 are gone, and 0 are new"):
        open_source(save(X, x_train=X, x_test=X[:8]), known=source.members())


def test_test_examples_that_are_training_examples_are_counted(save):
    both = open_source(save(X, x_train=X[:40], x_test=X[35:]))
    assert repeated(both.members(), both.train) == 5
    x = np.repeat(np.arange(20.0)[:, None], 3, axis=1)
    source = open_source(save(np.concatenate([x, x])))
    twice = source.members()
    assert repeated(twice, source.train) == sum(
        k in set(twice.keys[twice.parts == TRAIN]) for k in twice.keys[twice.parts == TEST]
    )


def test_a_folder_that_grew(tmp_path):
    for i in range(20):
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / f"b{i:02d}.png")
    source = open_source(f"folder:{tmp_path}")
    for i in range(20, 30):
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / f"a{i:02d}.png")
    with pytest.raises(UserError, match="10 are new"):
        open_source(f"folder:{tmp_path}", known=source.members())
    kept = open_source(f"folder:{tmp_path}", known=source.members(), changed="keep")
    assert not rows(kept.test) & rows(source.train) and rows(source.test) < rows(kept.test)


def test_keys_tell_texts_and_numbers_apart_whatever_their_width():
    def table(texts):
        types = [("a", f"U{max(map(len, texts))}"), ("b", float)]
        return np.array(list(zip(texts, [1.0, 2.0, np.nan], strict=True)), types)

    short, long = (keys(ArraySplit(table(texts))) for texts in (["x", "y", "z"], ["x", "y", "a long text"]))
    assert (short[:2] == long[:2]).all() and short[2] != long[2] and len(set(short)) == 3
    wide = np.zeros((3, 5), np.uint8)
    wide[1, 4], wide[2, 3] = 1, 1
    assert len(set(keys(ArraySplit(wide)))) == 3
