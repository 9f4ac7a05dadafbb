"""Baskets: rows of items from ratings, texts and matrices; what is cut, merged and left out; what is refused."""

import json
import logging

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from unsupjax.data import arrays, open_source
from unsupjax.data.bags import Rows, SparseSplit, joined, unpadded
from unsupjax.data.kinds import Baskets, from_json
from unsupjax.data.stream import open_stream
from unsupjax.errors import UserError, closest

COUNTED = Baskets(3, ("a", "b", "c", "d"), (1, 1, 1, 1), True, '{"ngrams": 1, "stop_words": ""}')
PLAIN = Baskets(3, ("a", "b", "c", "10"))
TEXTS = ["red cat sat", "red red dog", "dog sat sat", "cat dog", "red cat dog mouse", "sat cat"]


def test_rows_are_padded_cut_and_numbered_anew():
    rows = joined([[3, 1], [], [0, 2, 1]], [[1, 2], [], [5, 1, 5]])
    np.testing.assert_array_equal(rows.padded(3, False), [[4, 2, 0], [0, 0, 0], [1, 3, 2]])
    np.testing.assert_array_equal(rows.padded(3, True)[2], [[1, 5], [3, 1], [2, 5]])
    again = unpadded(rows.padded(4, True))
    np.testing.assert_array_equal(again.items, rows.items)
    np.testing.assert_array_equal(again.counts, rows.counts)
    np.testing.assert_array_equal(again.starts, rows.starts)
    np.testing.assert_array_equal(rows.shortened(1).padded(1, False), [[2], [0], [2]])  # of 5 and 5 the last
    np.testing.assert_array_equal(Rows(rows.starts, rows.items).shortened(1).items, [1, 1])
    kept = rows.renumbered(np.array([-1, 0, 1, 2]))
    np.testing.assert_array_equal(kept.padded(2, False), [[3, 1], [0, 0], [2, 1]])
    np.testing.assert_array_equal(rows.select(np.array([2, 0])).items, [0, 2, 1, 3, 1])


def test_whatever_a_user_has_becomes_rows(caplog):
    expected = [[[1, 2], [3, 1], [0, 0]], [[0, 0], [0, 0], [0, 0]], [[4, 7], [0, 0], [0, 0]]]
    matrix = np.zeros((3, 4), int)
    matrix[0, [0, 2]], matrix[2, 3] = [2, 1], 7
    given = (
        [["a", "c", "a"], [], ["d"] * 7],
        [{"a": 2, "c": 1}, {}, {"d": 7, "b": 0}],
        sparse.csr_matrix(matrix),
    )
    for raw in given:
        np.testing.assert_array_equal(COUNTED.prepare(raw), expected)
    np.testing.assert_array_equal(COUNTED.prepare(np.array(expected)), expected)
    assert COUNTED.prepare([]).shape == (0, 3, 2)
    restored = COUNTED.restore(np.array(expected))
    assert restored.tolist() == [{"a": 2, "c": 1}, {}, {"d": 7}]
    assert PLAIN.prepare([["c", 10, "c"]]).tolist() == [[3, 4, 0]]
    assert PLAIN.restore(np.array([[0, 3, 1]])).tolist() == [["c", "a"]]
    scores = np.ones((2, 4), np.float32)
    assert PLAIN.restore(scores) is scores
    assert from_json(json.loads(json.dumps(COUNTED.to_json()))) == COUNTED
    with caplog.at_level(logging.WARNING):
        assert PLAIN.prepare([["zebra", "b"], ["a", "b", "c", "10"]]).tolist() == [[2, 0, 0], [2, 3, 4]]
    assert "1 names are of no known item" in caplog.text and "'zebra'" in caplog.text
    assert "1 of 2 rows have more than 3 items" in caplog.text


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("a b", "one row, where a list of rows belongs"),
        (["a b"], "row 0 .* is the text 'a b', where a list of names belongs"),
        ([["a"], 3], "row 1 .* is 3, where a list of names belongs"),
        ([["a", None]], "row 0 .* holds None, where names of items belong"),
        ([["a", 1.5]], "row 0 .* holds 1.5, where names of items belong"),
        ([{"a": -1}], "'a' counts -1, where whole numbers"),
        ([{"a": 1.5}], "'a' counts 1.5, where whole numbers"),
        (np.full((2, 3), 5), r"\(2, 3\), where \[N, 3\] belong, each from 0 \(none\) to 4"),
        (np.zeros((2, 3)), "float64 of shape .*, where a list of rows belongs"),
        (sparse.csr_matrix((2, 3)), r"\(2, 3\), where \[N, 4\] belongs"),
        (sparse.csr_matrix(np.array([[0.5, 0, 0, 0]])), "where counts belong"),
    ],
)
def test_what_is_no_row_is_refused(raw, message):
    with pytest.raises(UserError, match=message):
        PLAIN.prepare(raw)


def write(path, *rows):
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return f"ratings:{path}"


def named(split):
    return split.named(np.arange(len(split)))


def test_ratings_become_baskets_in_order_of_time(tmp_path, caplog):
    rows = [("userId", "movieId", "rating", "timestamp")]
    rows += [
        (7, 3, 5, 40),
        (7, 10, 4, 20),
        (7, 3, 1, 10),
        (8, 3, 2, 5),
        (8, 10, 5, 1),
        (9, 10, 3, 7),
        (9, 3, 4, 6),
    ]
    source = write(tmp_path / "r.csv", *rows)
    with caplog.at_level(logging.WARNING):
        found = open_source(source, holdout=0.34)
    assert "1 rows repeat a user and an item" in caplog.text
    whole = named(found.train) + named(found.test)
    assert sorted(whole) == [["10", "3"], ["10", "3"], ["3", "10"]]
    assert found.kind.counted is False and found.kind.words == "" and len(found.test) == 1
    high = open_source(source, holdout=0.34, threshold=3.5)
    assert sum(map(len, named(high.train) + named(high.test))) == 4
    x, _ = arrays(found.train)
    assert x.dtype == np.int32 and x.shape == (2, found.kind.length)
    keys = [found.members().keys for found in (found, open_source(source, holdout=0.5))]
    np.testing.assert_array_equal(*keys)


def test_all_sorts_of_files_give_the_same(tmp_path):
    users, items = np.repeat(np.arange(20), 4), np.random.default_rng(0).integers(0, 9, 80)
    source = write(tmp_path / "a.csv", ("user", "item"), *zip(users, items, strict=True))
    bare = write(tmp_path / "b.csv", *zip(users, items, strict=True))
    parquet.write_table(pa.table({"who": users, "what": items}), tmp_path / "c.parquet")
    packed = f"ratings:{tmp_path / 'c.parquet'}"
    columns = {"user_column": "who", "item_column": "what"}
    opened = open_source(source), open_source(bare, header="no"), open_source(packed, **columns)
    for other in opened[1:]:
        assert other.kind == opened[0].kind
        np.testing.assert_array_equal(arrays(other.test)[0], arrays(opened[0].test)[0])


def test_too_few_are_left_out_until_all_have_enough(tmp_path, caplog):
    """Item z goes for want of users, then user c for want of items, then item y of users, and so on: a chain."""
    pairs = [
        ("a", "w"),
        ("a", "x"),
        ("b", "w"),
        ("b", "x"),
        ("c", "y"),
        ("c", "z"),
        ("d", "w"),
        ("d", "x"),
        ("d", "y"),
    ]
    source = write(tmp_path / "r.csv", ("user", "item"), *pairs)
    with caplog.at_level(logging.WARNING):
        found = open_source(source, min_items=2, min_users=2, holdout=0.4)
    assert (
        "6 of 9 pairs are left: 3 users with at least 2 items, 2 items with at least 2 users" in caplog.text
    )
    assert {name for row in named(found.train) + named(found.test) for name in row} == {"w", "x"}
    with pytest.raises(UserError, match=r"no user is left with config.data.min_items=4"):
        open_source(source, min_items=4)


def test_items_that_nobody_of_training_has_are_unknown(tmp_path):
    rows = [
        ("u1", "a", "train"),
        ("u1", "b", "train"),
        ("u2", "a", "test"),
        ("u2", "z", "test"),
        ("u3", "a", "val"),
    ]
    source = write(tmp_path / "r.csv", ("user", "item", "part"), *rows)
    found = open_source(source, split_column="part")
    assert found.kind.names == ("a", "b") and found.kind.frequency == (1, 1)
    assert named(found.train) == [["a", "b"]] and named(found.test) == [["a"]]
    again = open_source(source, split_column="part", kind=found.kind._replace(names=("b", "q", "a")))
    assert again.test[0][0].tolist() == [3, 0]
    source = write(tmp_path / "s.csv", ("user", "item", "part"), *rows, ("u1", "c", "test"))
    with pytest.raises(UserError, match="user 'u1' is in two splits"):
        open_source(source, split_column="part")


def test_the_last_item_of_every_user_is_left_out_of_training(tmp_path):
    rows = [
        ("a", "x", 3),
        ("a", "y", 1),
        ("b", "y", 9),
        ("b", "x", 2),
        ("c", "x", 1),
        ("d", "x", 1),
        ("d", "w", 2),
    ]
    source = write(tmp_path / "r.csv", ("user", "item", "time"), *rows)
    found = open_source(source, leave_last=True)
    assert named(found.train) == [["y"], ["x"], ["x"], ["x"]] and found.kind.leave_last
    assert named(found.test) == [["y", "x"], ["x", "y"]]  # what d took last nobody else has
    dates = write(
        tmp_path / "t.csv", ("user", "item", "time"), *[(u, i, f"2024-03-0{t}") for u, i, t in rows]
    )
    np.testing.assert_array_equal(arrays(open_source(dates, leave_last=True).test)[0], arrays(found.test)[0])


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("user,thing\n1,2\n", {}, "no column that is called a item; name it: config.data.item_column"),
        (
            "user,item\n1,2\n",
            {"user_column": "usr"},
            "config.data.user_column='usr' is no column; did you mean 'user'",
        ),
        ("user,item\n1,2\n,3\n", {}, r"row 1 \(from 0, without the header\) names no user"),
        ("user,item\n1,2\n", {"threshold": 4.0}, "needs ratings"),
        ("user,item,rating\n1,2,x\n", {"threshold": 4.0}, "row 0 .* has the rating 'x', which is no number"),
        ("user,item,time\n1,2,soon\n", {}, "neither numbers nor dates"),
        ("user,item\n1,2\n", {"leave_last": True}, "needs a column of times"),
        ("user,item\n1,2\n", {"min_items": 0}, "must be at least 1"),
        ("user,item\n1,2\n1,3\n", {}, "the test split is empty"),
        ("user,item\n1,2\n", {"min_df": 3}, "config.data.min_df=3 is for bow: sources"),
        ("user,item\n1,2\n", {"tokenizer": "bytes"}, "is for texts as tokens"),
        ("user,item\n1,2\n", {"longest": -1}, "config.data.longest=-1"),
    ],
)
def test_ratings_that_say_nothing_are_refused(tmp_path, text, options, message):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        open_source(f"ratings:{tmp_path / 'r.csv'}", **options)


def test_options_of_baskets_are_for_baskets():
    with pytest.raises(UserError, match=r"config.data.min_items=2 is for ratings sources, not 'digits'"):
        open_source("digits", min_items=2)
    for name, value in {"longest": 3, "ngrams": 2, "stop_words": "english"}.items():
        with pytest.raises(UserError, match=f"config.data.{name}=.* is for bow: "):
            open_source("digits", **{name: value})


def test_words_are_counted_as_scikit_learn_counts_them(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("\n".join(TEXTS))
    found = open_source(f"bow:lines:{path}", holdout=0.34, min_df=1, ngrams=2, max_df=0.9)
    train = [TEXTS[i] for i in range(6) if not any(np.array_equal(found.kind.prepare([TEXTS[i]])[0], t) for t, _ in
             [found.test[j] for j in range(2)])]  # fmt: skip
    made = CountVectorizer(min_df=1, max_df=0.9, ngram_range=(1, 2)).fit(train)
    assert found.kind.names == tuple(made.get_feature_names_out())
    dense = np.zeros((len(found.train), found.kind.size), int)
    for row, (codes, _) in zip(dense, [found.train[i] for i in range(4)], strict=True):
        for item, count in codes:
            row[item - 1] += count if item else 0
    np.testing.assert_array_equal(dense, made.transform(train).toarray())
    stored = found.kind.prepare(["red RED dog?", "nothing known 123"])
    assert found.kind.restore(stored).tolist()[1] == {}
    np.testing.assert_array_equal(from_json(found.kind.to_json()).prepare(["red RED dog?"])[0], stored[0])


def test_words_are_limited(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text,topic\n" + "\n".join(f"the {t},{i % 2}" for i, t in enumerate(TEXTS * 2)) + "\n")
    columns = {"text_column": "text", "label_column": "topic"}
    found = open_source(f"bow:{path}", vocabulary=2, stop_words="english", **columns)
    assert found.label_names == ("0", "1") and found.kind.size == 2 and "the" not in found.kind.names
    for options, message in (
        ({"min_df": 40}, "no word is in at least config.data.min_df=40"),
        ({"min_df": 0}, "must be at least 1"),
        ({"max_df": 1.5}, "above 0 and at most 1"),
        ({"stop_words": "french"}, "config.data.stop_words='french' is unknown"),
        ({"context": 9}, "is for texts as tokens"),
        ({"text_column": ""}, "name the column of texts"),
        ({"as_arrays": True, "text_column": "txt"}, "is no column"),
    ):
        with pytest.raises(UserError, match=message):
            open_source(f"bow:{path}", **columns | options)
    with pytest.raises(UserError, match="of what"):
        open_source("bow:digits")
    (tmp_path / "one.txt").write_text("a single document\n")
    with pytest.raises(UserError, match=r"split is empty|no word is in"):
        open_source(f"bow:lines:{tmp_path / 'one.txt'}", holdout=0.0)


def test_texts_without_a_known_word_are_told(caplog):
    assert COUNTED._replace(names=("cat", "dog")).rows(["cat", "zebra", "dog", ""]).lengths.tolist() == [
        1,
        0,
        1,
        0,
    ]
    assert (
        "2 of 4 texts have no word that the model knows" in caplog.text
        and "row 1 (from 0): 'zebra'" in caplog.text
    )
    assert closest("cats", ["cat", "dog", "cat"]) == "did you mean 'cat'?"


def test_counts_that_scipy_saved(tmp_path):
    counts = CountVectorizer().fit_transform(TEXTS)
    words = ["cat", "dog", "mouse", "red", "sat"]
    for name, rows in (("train", counts[:4]), ("test", counts[4:])):
        sparse.save_npz(tmp_path / f"{name}_bow.npz", rows)
        (tmp_path / f"{name}_labels.txt").write_text("\n".join("xy"[i % 2] for i in range(rows.shape[0])))
    source = f"bow:{tmp_path / 'train_bow.npz'}"
    with pytest.raises(UserError, match="the words are missing"):
        open_source(source)
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    found = open_source(source, min_df=1)
    assert found.kind.names == ("cat", "dog", "red", "sat") and found.label_names == ("x", "y")
    assert named(found.train)[1] == {"red": 2, "dog": 1} and named(found.test)[0] == {
        "red": 1,
        "cat": 1,
        "dog": 1,
    }
    np.testing.assert_array_equal(found.kind.prepare(TEXTS[:1]), found.train[0][0][None])  # new texts
    assert open_source(source, vocabulary=3, min_df=1).kind.names == ("dog", "red", "sat")
    (tmp_path / "vocab.txt").write_text("\n".join(words[:-1]))
    with pytest.raises(UserError, match=r"has 5 columns, and .* 4 words"):
        open_source(source)


def test_new_rows_of_a_trained_model(tmp_path):
    path = tmp_path / "r.csv"
    write(path, ("user", "item"), ("ann", "a"), ("ann", "zzz"), ("bob", "10"))
    stream = open_stream(
        str(path), PLAIN, {"user_column": "", "min_items": 3, "text_column": "", "leave_last": True}
    )
    [block] = stream.blocks(10, 0, 1)
    assert (
        block.carried["user"] == ["ann", "bob"] and block.raw == [["a", "zzz"], ["10"]] and stream.length == 2
    )
    lines = tmp_path / "t.txt"
    lines.write_text("a b\nc\n")
    [block] = open_stream(f"bow:lines:{lines}", COUNTED, {}).blocks(10, 0, 1)
    assert list(block.raw) == ["a b", "c"]
    (tmp_path / "t.csv").write_text("text,other\na d,1\n,2\nb,3\n")
    for source in (f"bow:{tmp_path / 't.csv'}", str(tmp_path / "t.csv")):
        [block] = open_stream(source, COUNTED, {"text_column": "text"}).blocks(10, 0, 1)
        assert list(block.raw) == ["a d", "", "b"] and COUNTED.prepare(list(block.raw)).shape == (3, 3, 2)
    [block] = open_stream(f"bow:lines:{lines}", COUNTED, {"text_column": "text"}).blocks(10, 0, 1)
    assert len(block.raw) == 2


def test_no_more_than_a_batch_is_ever_padded():
    """Of 1e6 items and rows of up to a thousand, memory is that of the items that there are."""
    rng = np.random.default_rng(0)
    lengths = np.r_[1000, rng.integers(1, 5, 9999)]
    rows = Rows(np.r_[0, np.cumsum(lengths)], rng.integers(0, 10**6, lengths.sum()).astype(np.int32))
    split = SparseSplit(rows, range(10**6), 1000)
    assert split.rows.items.nbytes + split.rows.starts.nbytes < 10**6
    assert split.gather(np.arange(32))[0].shape == (32, 1000)


def test_texts_in_order_keep_their_words_as_they_are_read(tmp_path, caplog):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    source = open_source(f"bow:lines:{path}", in_order=True, holdout=0.2, stop_words="")
    kind = source.kind
    assert kind.in_order and kind.names == ("cat", "dog", "red", "sat") and not kind.counted
    x, _ = arrays(source.train)
    assert x.dtype == np.int32 and x.shape == (len(source.train), kind.length)
    assert kind.restore(kind.prepare(["Red mouse red, dog!"])).tolist() == [["red", "red", "dog"]]
    assert kind.prepare([["red", "red", "dog"]]).tolist() == kind.prepare(["red red dog"]).tolist()
    bags = open_source(f"bow:lines:{path}", holdout=0.2)
    assert kind.frequency == bags.kind.frequency  # texts, not words
    with caplog.at_level(logging.WARNING):
        long = kind._replace(length=2).prepare(["sat red cat dog"])
    assert kind.restore(long).tolist() == [["sat", "red"]] and "cut to the first" in caplog.text
    assert from_json(json.loads(json.dumps(kind.to_json()))) == kind
    with pytest.raises(UserError, match="texts or lists of words in their order"):
        kind.prepare(sparse.eye(4, format="csr", dtype=int))
    with pytest.raises(UserError, match="by single words"):
        open_source(f"bow:lines:{path}", in_order=True, ngrams=2)
    with pytest.raises(UserError, match="in_order=True is for bow: sources"):
        open_source("digits", in_order=True)
