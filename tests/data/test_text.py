"""Texts: tokenizers that give back what they were given, documents and packed rows, sources, and what is refused."""

import gzip
import json

import numpy as np
import pytest

from unsupjax.data import open_source, tokenizers
from unsupjax.data.kinds import Tokens, from_json
from unsupjax.data.kinds.tokens import fit_tokens
from unsupjax.data.tokenizers import PAD, START
from unsupjax.errors import UserError

TEXTS = [
    "To be, or not to be: that is the question.",
    "Ünïcödé, emoji 👩‍👩‍👧 and combining e\u0301;\ttabs\nand lines\r\n",
    "  two  blanks ", "", "\u00a0\u200b",
]  # fmt: skip


@pytest.fixture(params=["bytes", "chars", "bpe"])
def kind(request):
    if request.param == "bpe":
        pytest.importorskip("tokenizers")
    return fit_tokens(80, tokenizers.fit(request.param, TEXTS * 3, 0), "documents")


def test_texts_come_back_as_they_were(kind):
    rows = kind.prepare(TEXTS)
    assert (
        rows.shape == (5, 80)
        and rows.dtype.kind == "u"
        and (rows[:, 0] == START).all()
        and rows.max() < kind.size
    )
    assert kind.restore(rows).tolist() == TEXTS
    np.testing.assert_array_equal(kind.prepare(rows.astype(np.int64)), rows)
    assert kind.bytes(rows).sum() == sum(len(text.encode()) for text in TEXTS)
    again = from_json(json.loads(json.dumps(kind.to_json())))
    assert again == kind and isinstance(again, Tokens)
    np.testing.assert_array_equal(again.prepare(TEXTS), rows)
    seen = kind.see(rows)
    assert seen.dtype == np.int32


def words_of(kind, text):
    """Its words as `joins` divides it."""
    tokens = kind.stream([text])[1:]
    left, right = kind.joins()[:, tokens]
    begins = np.flatnonzero(~(left & np.roll(right, 1))[1:]) + 1
    return [kind.restore(part[None])[0] for part in np.split(tokens, begins)]


def test_words_are_told():
    text = "don't stop, Zürich état 42"
    expected = ["don", "'", "t", " ", "stop", ",", " ", "Zürich", " ", "état", " ", "42"]
    for name in ("bytes", "chars"):
        assert words_of(fit_tokens(9, tokenizers.fit(name, [text], 0), "documents"), text) == expected
    pytest.importorskip("tokenizers")
    pairs = fit_tokens(9, tokenizers.fit("bpe", ["a b"], 300), "documents")
    assert "".join(words_of(pairs, text)) == text and words_of(pairs, "ab zü, y") == [
        "ab",
        " ",
        "zü",
        ",",
        " ",
        "y",
    ]
    merged = fit_tokens(9, tokenizers.fit("bpe", ["he stops stop stops it"] * 9, 300), "documents")
    assert words_of(merged, "he stopsit stop") == ["he", " stopsit", " stop"]
    pieces = fit_tokens(
        9, tokenizers.fit("wordpiece", ["played, playing playedplaying"] * 9, 300), "documents"
    )
    assert words_of(pieces, "played, playedplaying") == ["played", ",", "playedplaying"]


def test_packed_rows_hold_every_token_once():
    kind = fit_tokens(10, tokenizers.fit("chars", TEXTS, 0), "packed")
    rows, stream = kind.packed(TEXTS), kind.stream(TEXTS)
    assert rows.shape[1] == 10
    again = np.concatenate([rows[:1, 0], rows[:, 1:].ravel()])
    np.testing.assert_array_equal(again[: len(stream)], stream)
    assert (again[len(stream) :] == PAD).all() and (rows[1:, 0] == rows[:-1, -1]).all()
    assert (stream == START).sum() == len(TEXTS)
    assert "".join(kind.restore(stream[None])) == "".join(TEXTS)


def test_tokenizers_of_others(tmp_path):
    library = pytest.importorskip("tokenizers")
    theirs = library.Tokenizer(library.models.WordLevel({"hello": 0, "world": 1, "?": 2}, unk_token="?"))
    theirs.pre_tokenizer = library.pre_tokenizers.Whitespace()
    theirs.save(str(tmp_path / "tokenizer.json"))
    kind = fit_tokens(5, tokenizers.fit(str(tmp_path / "tokenizer.json"), [], 0), "documents")
    assert kind.size == 5 and kind.prepare(["world hello you"]).tolist() == [[1, 3, 2, 4, 0]]
    (tmp_path / "bad.json").write_text("{}")
    for path, message in (("bad.json", "holds no tokenizer"), ("none.json", "cannot be read")):
        with pytest.raises(UserError, match=message):
            tokenizers.fit(str(tmp_path / path), [], 0)
    pieces = fit_tokens(9, tokenizers.fit("wordpiece", ["Playing played plays"] * 9, 300), "documents")
    assert pieces.restore(pieces.prepare(["Playing"]))[0] == "playing"


def test_what_has_no_form_is_refused():
    kind = fit_tokens(9, tokenizers.fit("chars", ["abc"], 0), "documents")
    for raw, message in (
        (["abc", "abd"], r"text 1 \(from 0\), character 2 is 'd'"),
        ("abc", "one text; give a list"),
        (["abc", None], r"text 1 \(from 0\) is NoneType"),
        (np.zeros((2, 8), int), r"tokens are of shape \(2, 8\), where \[N, 9\]"),
        (np.full((2, 9), 5), "each from 0 to 4"),
    ):
        with pytest.raises(UserError, match=message):
            kind.prepare(raw)
    with pytest.raises(UserError, match="tokens"):
        kind.see(np.zeros((2, 9), np.float32))
    with pytest.raises(UserError, match=r"the texts have 3 characters, more than .*vocabulary=4"):
        tokenizers.fit("chars", ["abc"], 4)
    with pytest.raises(UserError, match="did you mean 'bytes'"):
        tokenizers.fit("byte", ["abc"], 0)


def test_a_stream_is_divided_in_its_order(tmp_path):
    text = "".join(chr(97 + i % 26) for i in range(1000))
    (tmp_path / "t.txt").write_text(text)
    source = open_source(f"text:{tmp_path / 't.txt'}", layout="packed", context=9)
    assert source.kind.size == 28 and source.label_names is None
    joined = lambda split: "".join(
        source.kind.restore(np.concatenate([split.x[0, :1], split.x[:, 1:].ravel()])[None])
    )
    assert joined(source.train) + joined(source.test) == text and len(joined(source.test)) == 100
    again = open_source(
        f"text:{tmp_path / 't.txt'}", kind=source.kind, known=source.members(), layout="packed", context=9
    )
    np.testing.assert_array_equal(again.train.x, source.train.x)
    with gzip.open(tmp_path / "t.txt.gz", "wt") as file:
        file.write(text)
    assert len(open_source(f"text:{tmp_path / 't.txt.gz'}", layout="packed", context=9).train) == len(
        source.train
    )


def test_documents_of_lines_folders_and_columns(tmp_path, caplog):
    lines = [f"line {i} of many" for i in range(20)]
    (tmp_path / "l.txt").write_text("\n".join([*lines, "", "  "]))
    source = open_source(f"lines:{tmp_path / 'l.txt'}", context=20)
    found = {*source.kind.restore(source.train.x), *source.kind.restore(source.test.x)}
    assert found == set(lines) and len(source.train) == 16
    for i, text in enumerate(lines):
        path = tmp_path / "f" / ("odd" if i % 2 else "even") / f"{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    labelled = open_source(f"text:{tmp_path / 'f'}", context=20)
    assert labelled.label_names == ("even", "odd")
    texts = labelled.kind.restore(labelled.train.x)
    assert all(int(t.split()[1]) % 2 == y for t, y in zip(texts, labelled.train.y, strict=True))
    rows = [
        "body,topic,part",
        *(f'"{t}, really",{i % 3},{"test" if i > 14 else "train"}' for i, t in enumerate(lines)),
    ]
    (tmp_path / "t.csv").write_text("\n".join([*rows, " ,1,train"]))
    options = {"text_column": "body", "label_column": "topic", "context": 30}
    table = open_source(f"csv:{tmp_path / 't.csv'}", split_column="part", **options)
    assert (len(table.train), len(table.test), table.label_names) == (15, 5, ("0", "1", "2"))
    assert "1 of 21 documents are empty" in caplog.text
    assert table.kind.restore(table.train.x)[0] == "line 0 of many, really"


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"abc\xffdef", {}, r"t.txt: byte 3 \(from 0\) of text 0 .* is not UTF-8.*'bytes'"),
        (b"a b c d", {"layout": "packed", "context": 64}, "have 6 bytes, fewer than an example holds tokens"),
        (b"", {}, "too short to be divided"),
        (b"a b c d e f g h i j k", {"context": 0}, "context=0 must be at least 1"),
        (b"a b c d e f g h i j k", {"layout": "rows"}, "layout='rows' is unknown"),
        (b"a b c d e f g h i j k", {"text_column": "x"}, "is for tables in files"),
        (b"abcdefghijklmnopqr" * 3 + b"XYZ", {}, "in no text that the model was trained on"),
    ],
)
def test_texts_that_are_none(tmp_path, content, options, message):
    (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        open_source(f"text:{tmp_path / 't.txt'}", **options)


def test_options_of_texts_are_for_texts(tmp_path):
    with pytest.raises(UserError, match="tokenizer='bpe' is for texts, and 'digits' holds none"):
        open_source("digits", tokenizer="bpe")
    (tmp_path / "n.csv").write_text("a,b\n" + "1,2\n" * 9)
    with pytest.raises(UserError, match="is no column"):
        open_source(f"csv:{tmp_path / 'n.csv'}", text_column="c")
    with pytest.raises(UserError, match="there are no texts"):
        open_source(f"text:{tmp_path / '*.md'}")


@pytest.mark.thorough
def test_docstrings_are_always_there():
    source = open_source("docstrings", context=50, tokenizer="bytes")
    assert len(source.train) + len(source.test) > 1500 and {"stats", "linalg"} <= set(source.label_names)


@pytest.mark.parametrize("setting", [{"columns": "mixed"}, {"leave_out": ("b",)}, {"user_column": "b"}])
def test_what_says_nothing_of_a_column_of_texts(tmp_path, setting):
    (tmp_path / "t.csv").write_text("a,b\n" + "some words,1\n" * 9)
    with pytest.raises(
        UserError, match=f"config.data.{next(iter(setting))}=.* says nothing of a column of texts"
    ):
        open_source(f"csv:{tmp_path / 't.csv'}", text_column="a", **setting)


def test_bytes_that_are_no_text(tmp_path):
    content = b"caf\xe9 " * 50
    (tmp_path / "t.txt").write_bytes(content)
    source = open_source(f"text:{tmp_path / 't.txt'}", tokenizer="bytes", context=400)
    (row, _), (rest, _) = source.train[0], source.test[0]
    tokens = np.concatenate([row[row > START], rest[rest > START]]) - 2
    assert tokens.astype(np.uint8).tobytes() == content
    with pytest.raises(UserError, match=r"byte 3 .* is not UTF-8"):
        fit_tokens(9, tokenizers.fit("chars", ["caf\u00e9"], 0), "documents").prepare(["caf\udce9"])
    (tmp_path / "l.txt").write_bytes(b"plain words\ncaf\xe9 au lait\n" * 9)
    with pytest.raises(UserError, match=r"l.txt: byte 3 .* is not UTF-8: save the file in that encoding$"):
        open_source(f"bow:lines:{tmp_path / 'l.txt'}")
