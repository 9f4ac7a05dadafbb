"""What holds for every source: splits, standardisation, one-class learning, errors in the arguments."""

import gzip
import inspect

import numpy as np
import pytest

from unsupjax.data import arrays, open_source
from unsupjax.data.kinds import Images, Table
from unsupjax.data.kinds.columns import Number
from unsupjax.data.sources import digits
from unsupjax.errors import UserError


@pytest.fixture
def table(tmp_path):
    """A path maker for npz files of a labelled table: 40 rows, 3 features, labels 0 and 1."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(7, 2, (40, 3)), (np.arange(40) % 4 == 0).astype(int)

    def save(name="table.npz", **saved):
        np.savez(tmp_path / name, **(saved or {"X": x, "y": y}))
        return f"npz:{tmp_path / name}"

    save.x, save.y = x, y
    return save


def test_digits():
    source = open_source("digits")
    assert source.name == "digits" and source.kind == Images((8, 8, 1))
    assert source.label_names == tuple("0123456789")
    assert (len(source.train), len(source.test)) == (1438, 359)
    x, y = arrays(source.train)
    assert x.shape == (1438, 8, 8, 1) and x.dtype == np.uint8 and (x.min(), x.max()) == (0, 255)
    assert y.dtype == np.int32 and set(y) == set(range(10))
    image, label = source.train[5]
    assert (image == x[5]).all() and label == y[5]


@pytest.mark.parametrize("there", [True, False], ids=["its file", "scikit-learn"])
def test_digits_are_those_of_scikit_learn(there, monkeypatch):
    from sklearn.datasets import load_digits

    if not there:
        monkeypatch.setattr(digits.pathlib.Path, "exists", lambda path: False)
    parts, known = digits.open_digits("digits", ""), load_digits()
    np.testing.assert_array_equal(parts.train.x[..., 0], np.round(known.images * 255 / 16))
    np.testing.assert_array_equal(parts.train.y, known.target)
    assert parts.label_names == tuple(map(str, known.target_names))


def test_splits_are_disjoint_complete_and_follow_the_seed(table):
    parts = [open_source(table(), split_seed=seed, holdout=0.3, standardise=False) for seed in (0, 0, 1)]
    rows = [[arrays(split)[0] for split in (part.train, part.test)] for part in parts]
    assert [len(split) for split in rows[0]] == [28, 12]
    for a, b in zip(rows[0], rows[1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not (rows[0][1] == rows[2][1]).all()
    together = np.sort(np.concatenate(rows[0]), axis=0)
    np.testing.assert_array_equal(together, np.sort(table.x.astype(np.float32), axis=0))


def test_limit_is_a_nested_random_subset():
    train = open_source("digits").train
    small, large = arrays(train, 20), arrays(train, 100)
    np.testing.assert_array_equal(small[0], large[0][:20])
    np.testing.assert_array_equal(small[1], large[1][:20])
    assert not (small[1] == arrays(train)[1][:20]).all()
    np.testing.assert_array_equal(arrays(train, 10**6)[0], arrays(train)[0])
    with pytest.raises(UserError, match=r"limit=0"):
        arrays(train, 0)


def test_standardise_uses_the_training_split_only(tmp_path, table):
    train, test = np.array([[0.0, 5], [2, 5], [4, 5]]), np.array([[100.0, 5], [2, 6]])
    source = open_source(table(x_train=train, x_test=test))
    std = np.sqrt(8 / 3)
    np.testing.assert_allclose(arrays(source.train)[0], (train - [2, 5]) / [std, 1], rtol=1e-6)
    np.testing.assert_allclose(arrays(source.test)[0], (test - [2, 5]) / [std, 1], rtol=1e-6)
    assert source.kind == Table((Number("0", 2.0, pytest.approx(std)), Number("1", 5.0, 1.0)))
    assert arrays(source.train)[0].dtype == np.float32


def test_standardises_before_rounding_to_float32(table):
    """Float32 keeps 128 seconds of a time stamp: the statistics must see the stored precision."""
    x = 1.6e9 + np.arange(30.0)[:, None]
    z, _ = arrays(open_source(table(X=x)).train)
    assert len(np.unique(z)) == 24


def test_constant_column_whose_mean_is_rounded(table):
    z, _ = arrays(open_source(table(X=np.full((30, 1), 0.1))).train)
    np.testing.assert_allclose(z, 0, atol=1e-6)


def test_a_given_kind_replaces_the_fit(table):
    kind = Table.of_statistics([1.0, 2.0, 3.0], [1.0, 10.0, 100.0])
    source = open_source(table(), kind=kind)
    plain, _ = arrays(open_source(table(), standardise=False).train)
    np.testing.assert_allclose(arrays(source.train)[0], (plain - [1, 2, 3]) / [1, 10, 100], rtol=1e-5)
    assert source.kind == kind


@pytest.mark.parametrize("source", ["digits", None])
def test_a_kind_that_does_not_fit(table, source):
    with pytest.raises(UserError, match=r"and the model was trained on table of shape \(2,\)"):
        open_source(source or table(), kind=Table.of_statistics([0.0, 0.0], [1.0, 1.0]))


def test_unstandardised_table(table):
    source = open_source(table(), standardise=False)
    assert [c.mean for c in source.kind.columns] == [0.0] * 3 and arrays(source.train)[0].mean() > 5


def test_one_class_protocol(table):
    source = open_source(table(), normal_label=0, holdout=0.5, standardise=False)
    assert (len(source.train), len(source.test)) == (15, 25)
    assert (arrays(source.train)[1] == 0).all()
    x, y = arrays(source.test)
    assert (y == 0).sum() == 15 and (y == 1).sum() == 10
    rows = np.concatenate([arrays(source.train)[0], x])
    np.testing.assert_array_equal(np.sort(rows, 0), np.sort(table.x.astype(np.float32), 0))


def test_one_class_keeps_a_test_split_of_the_source(table):
    x, y = table.x, table.y
    source = open_source(table(x_train=x, y_train=y, x_test=x[:7], y_test=y[:7]), normal_label=1)
    assert (len(source.train), len(source.test)) == (10, 7)


def test_one_class_finds_numeric_labels_by_their_value(table):
    source = open_source(table(X=table.x, y=table.y + 1), normal_label=1, holdout=0.5)
    assert source.label_names == ("1", "2") and len(source.train) == 15
    with pytest.raises(UserError, match=r"normal_label=0 is no label; choices: 1, 2"):
        open_source(table(X=table.x, y=table.y + 1), normal_label=0)


@pytest.mark.parametrize(
    "labels, written",
    [
        (("ok", "bad"), "ok"),
        ((1, 0), 1),
        ((-1, 1), -1),
        ((-1, 1), ("-1",)),
        ((7, 3), 7.0),
        ((True, False), True),
        (("02", "2"), "02"),
    ],
)
def test_the_normal_class_is_named_as_it_is_written(table, labels, written):
    source = open_source(table(X=table.x, y=np.array(labels)[table.y]), normal_label=written, holdout=0.5)
    assert len(source.train) == 15 and (arrays(source.train)[1] == source.normal[0]).all()
    assert source.label_names[source.normal[0]] in (str(labels[0]), "1")


def test_several_classes_are_normal(table):
    names = np.array(["a", "b", "c"])[np.arange(40) % 3]
    source = open_source(table(X=table.x, y=names), normal_label=("c", "a"), holdout=0.5)
    assert source.normal == (2, 0) and set(arrays(source.train)[1]) == {0, 2}
    mixed = open_source(table(X=table.x, y=names), normal_label="b", contaminated=True, holdout=0.5)
    assert mixed.normal == (1,) and set(arrays(mixed.train)[1]) == {0, 1, 2}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"normal_label": 2}, r"normal_label=2 is no label; choices: 'bad', 'ok'"),
        ({"normal_label": -1}, r"normal_label=-1 is no label"),
        ({"normal_label": ("ok", "bad")}, "names all classes"),
        ({"contaminated": True}, "needs to know what is normal"),
    ],
)
def test_a_normal_class_that_there_is_not_is_refused(table, options, message):
    names = np.array(["ok", "bad"])[table.y]
    with pytest.raises(UserError, match=message):
        open_source(table(X=table.x, y=names), holdout=0.5, **options)


def test_one_class_needs_labels(table):
    with pytest.raises(UserError, match=r"normal_label=0 needs labels"):
        open_source(table(X=table.x), normal_label=0)


@pytest.mark.parametrize(
    "source, options, message",
    [
        ("didgits", {}, "did you mean 'digits'"),
        ("", {}, "config.data.source=''"),
        ("mnist", {}, "for example 'tfds:mnist'"),
        ("npz", {}, "should have the form 'npz:PATH'"),
        ("tfds:", {}, "should have the form 'tfds:NAME'"),
        ("digits:8", {}, "should have the form 'digits'"),
        ("digits", {"holdout": 1.0}, "config.data.holdout=1.0"),
        ("digits", {"holdout": -0.1}, "config.data.holdout=-0.1"),
        ("digits", {"holdout": 0.0}, "the test split is empty; change config.data.holdout"),
        ("digits", {"holdout": 0.9999}, "the training split is empty"),
        ("folder:x", {"unreadable": 1.0}, "config.data.unreadable=1.0 must be a fraction"),
        ("folder:x", {"unreadable": -0.1}, "config.data.unreadable=-0.1"),
        ("folder:x", {"unreadable": float("nan")}, "config.data.unreadable=nan"),
        ("digits", {"image_size": 16}, "config.data.image_size=16"),
        ("folder:x", {"image_size": -1}, "config.data.image_size=-1"),
        ("digits", {"label_column": "y"}, "config.data.label_column='y'"),
        ("digits", {"normal_label": 10}, "config.data.normal_label=10 is no label"),
    ],
)
def test_arguments_that_are_refused(source, options, message):
    with pytest.raises(UserError, match=message):
        open_source(source, **options)


def test_every_user_option_has_a_plain_default():
    """The config section `data` is checked against this signature."""
    parameters = inspect.signature(open_source).parameters
    options = {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    options = {name: p for name, p in options.items() if name not in ("kind", "known")}
    assert all(type(p.default) in (bool, int, float, str, tuple) for p in options.values())
    assert all(f"{name}: " in open_source.__doc__ for name in options)


@pytest.mark.parametrize(
    "labels, names",
    [
        (np.array(["02139", "2139"]), ("02139", "2139")),
        (np.array([2**53, 2**53 + 1]), (str(2**53), str(2**53 + 1))),
        (np.array([str(2**53), str(2**53 + 1)]), (str(2**53), str(2**53 + 1))),
        (np.array([2**64 - 1, 2**64 - 2], np.uint64), (str(2**64 - 2), str(2**64 - 1))),
        (np.array(["1.0", "10.0"]), ("1", "10")),
        (np.array([b"caf\xc3\xa9", b"bar"]), ("bar", "café")),
        (np.array(["10", "9"]), ("9", "10")),
    ],
)
def test_labels_that_differ_are_different_classes(table, labels, names):
    assert open_source(table(X=table.x, y=labels[table.y])).label_names == names


def test_plain_paths_say_what_they_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "a,b\n" + "".join(f"{i},{i / 2}\n" for i in range(20))
    (tmp_path / "t.csv").write_text(rows)
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        file.write(rows)
    np.save(tmp_path / "t.npy", np.arange(40.0).reshape(20, 2))
    (tmp_path / "digits").mkdir()  # the word stays the data set
    for path in ("t.csv", "t.csv.gz", "t.npy"):
        assert len(open_source(path).train) == 16
    assert open_source("digits").kind.shape == (8, 8, 1)
    (tmp_path / "t.dat").write_text(rows)
    with pytest.raises(UserError, match=r"no suffix that says what it holds; .* say it: csv:t.dat"):
        open_source("t.dat")
    with pytest.raises(UserError, match="no such file or folder"):
        open_source("nothing.csv")
