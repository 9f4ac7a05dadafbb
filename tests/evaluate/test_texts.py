"""Judges and figures of texts: hidden words that are found, what counted words tell, and what lies near what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from unsupjax.data import tokenizers
from unsupjax.data.kinds import Baskets
from unsupjax.data.kinds.tokens import fit_tokens
from unsupjax.data.words import fit_words
from unsupjax.errors import UserError
from unsupjax.evaluate import FIGURES, JUDGES, Facts, masked_accuracy, sentence_pairs, subject, text_baselines
from unsupjax.evaluate.language.sentence_pairs import read_pairs
from unsupjax.methods.base import Filled, Method

RNG = np.random.default_rng(0)
WORDS = {
    0: ["apple", "pear", "plum", "cherry", "grape"],
    1: ["hammer", "nail", "screw", "plank", "drill"],
    2: ["river", "lake", "ocean", "pond", "stream"],
}
COMMON = ["with", "from", "this", "that"]


def documents(n):
    y = np.arange(n) % 3
    texts = [" ".join([*RNG.choice(WORDS[label], RNG.integers(2, 5)), *RNG.choice(COMMON, 2)]) for label in y]
    return texts, y


@pytest.fixture(scope="module")
def texts():
    """Three subjects, of which a code counts the letters."""
    train, test = documents(60), documents(30)
    kind = fit_tokens(48, tokenizers.fit("chars", train[0], 0), "documents")
    letters = jax.nn.one_hot(jnp.arange(kind.size), kind.size)
    encode = lambda state, x: letters[x].sum(1)[:, 2:]

    def fill(state, key, x):
        hidden = jnp.zeros(x.shape, bool).at[:, 3:5].set(x[:, 3:5] > 1)
        return Filled(hidden, jnp.where(hidden, jnp.where(jnp.arange(x.shape[1])[None] == 3, x, 2), x))

    method = Method(None, None, encode, fill=fill)
    rows = [(kind.prepare(x).astype(np.int32), y) for x, y in (train, test)]
    made = subject(method, None, jax.random.key(0), *rows)
    return made._replace(kind=kind), train[0], test[0]


def test_hidden_words_that_are_found(texts):
    made = texts[0]
    found = masked_accuracy(made, batch_size=7)
    usual = np.bincount(made.x_train[made.x_train > 1]).argmax()
    at = made.x_test[:, 3:5]
    right = (at[:, 0] == at[:, 0]).sum() + (at[:, 1] == 2).sum()
    assert found["masked_accuracy"] == pytest.approx(right / at.size)
    assert found["masked_accuracy_unigram"] == pytest.approx((at == usual).mean())
    empty = made._replace(x_test=np.eye(2, 48, dtype=np.int32)[[0, 0]])
    with pytest.raises(UserError, match="texts with words, and none has any"):
        masked_accuracy(empty)


def test_counted_words(texts):
    made, train, test = texts
    counts = CountVectorizer().fit(train)
    n, m = (counts.transform(t).toarray().astype(float) for t in (train, test))
    weight = 1 + np.log((1 + len(n)) / (1 + (n > 0).sum(0)))
    n, m = (np.where(a > 0, 1 + np.log(np.maximum(a, 1)), 0) * weight for a in (n, m))
    n, m = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (n, m))
    y, y_test = made.y_train, made.y_test
    order = np.asarray(jax.random.permutation(made.key, 60))
    rows = np.concatenate([order[y[order] == c][:2] for c in range(3)])
    found = text_baselines(made, fractions=(0.1, 1.0), components=3)
    assert set(found) == {f"{name}_accuracy{f}" for name in ("tfidf", "lsa") for f in ("_0.1", "")}
    for f, part in (("_0.1", rows), ("", slice(None))):
        twin = LogisticRegression(C=10, max_iter=1000).fit(n[part], y[part])
        assert found[f"tfidf_accuracy{f}"] == pytest.approx(twin.score(m, y_test))
        basis = np.linalg.svd(n, full_matrices=False)[2][:3].T
        twin = LogisticRegression(C=10, max_iter=1000).fit(n[part] @ basis, y[part])
        assert found[f"lsa_accuracy{f}"] == pytest.approx(twin.score(m @ basis, y_test), abs=0.04)
    assert found["tfidf_accuracy"] == 1
    with pytest.raises(UserError, match="must be in"):
        text_baselines(made, fractions=(2.0,))
    blank = made._replace(x_train=np.ones((60, 48), np.int32))
    with pytest.raises(UserError, match="text_baselines: empty vocabulary"):
        text_baselines(blank)


def test_what_lies_near(texts):
    made, _, test = texts
    shown = []
    FIGURES["nearest_texts"].run(made, shown.append, words=20, documents=2)
    text = shown[0].texts[0].get_text()
    near = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ") and "," in line}
    # Letters alone: "stream" shares most of its own with "grape" or "hammer".
    assert set(near) == {w for words in WORDS.values() for w in words} | set(COMMON)
    assert all(word not in line.split(maxsplit=1)[1] for word, line in near.items())
    assert sum(f"  {t}" in text for t in test) >= 2 and text.count("-> ") == 2
    with pytest.raises(UserError, match="no training document has two words"):
        FIGURES["nearest_texts"].run(made._replace(x_train=made.x_train[:0]), shown.append)


def test_pairs_of_sentences(texts, tmp_path):
    made = texts[0]
    path = tmp_path / "pairs.tsv"
    pairs = [
        ("5.0", "apple pear", "pear apple"),
        ("3.5", "apple pear", "apple plum"),
        ("0.2", "apple", "nail screw"),
    ]
    path.write_text("".join("\t".join(pair) + "\n" for pair in pairs))
    found = sentence_pairs(made, path=str(path))
    assert found == {f"spearman{name}": 1.0 for name in ("", "_tfidf_words", "_tfidf_characters")}
    path.write_text("".join("\t".join(pair) + "\n" for pair in [pairs[0], ("9", *pairs[2][1:]), pairs[1]]))
    assert sentence_pairs(made, path=str(path))["spearman"] == pytest.approx(-0.5)
    for content, message in (
        ("1\ta\n", "has 2 columns"),
        ("1\ta\tb\nx\ta\tb\n", "line 2: 'x' is no number"),
        ("1\ta\tb\n1\ta\tc\n", "all pairs are equally alike"),
    ):
        path.write_text(content)
        with pytest.raises(UserError, match=message):
            sentence_pairs(made, path=str(path))
    with pytest.raises(UserError, match="path is empty"):
        sentence_pairs(made)
    with pytest.raises(UserError, match=r"cannot be read: .*No such file"):
        sentence_pairs(made, path=str(tmp_path / "none.tsv"))
    (tmp_path / "pairs.csv").write_text('score,a,b\n5,"apple pear",pear apple\n0,apple,nail\n')
    assert sentence_pairs(made, path=str(tmp_path / "pairs.csv"))["spearman"] == pytest.approx(1)
    # As the STS benchmark has quotes.
    (tmp_path / "quoted.txt").write_text('5\t"A man\tA man" eats\n0\tb\tc\n')
    assert read_pairs(str(tmp_path / "quoted.txt"))[1] == ['"A man', "b"]


@pytest.mark.parametrize("counted", [True, False])
def test_rows_of_words_are_texts_too(texts, tmp_path, counted):
    _, train, test = texts
    limits = {"ngrams": 1, "stop_words": "", "vocabulary": 0, "min_df": 1, "max_df": 1.0}
    names, words = fit_words("bow:here", train, **limits)
    kind = Baskets(8, names, counted=counted, words=words, in_order=not counted)
    made = texts[0]
    tokens = text_baselines(made, components=3)
    eye = jnp.eye(kind.size + 1)
    encode = lambda state, x: eye[x[..., 0] if counted else x].sum(1)[:, 1:]
    rows = [(kind.prepare(x), y) for x, y in ((train, made.y_train), (test, made.y_test))]
    bags = subject(Method(None, None, encode), None, jax.random.key(0), *rows)._replace(kind=kind)
    assert text_baselines(bags, components=3)["tfidf_accuracy"] == tokens["tfidf_accuracy"]
    shown = []
    FIGURES["nearest_texts"].run(bags, shown.append, words=3, documents=2)
    assert shown[0].texts[0].get_text().count("-> ") == 2
    path = tmp_path / "pairs.tsv"
    path.write_text("5\tapple pear\tpear apple\n3\tapple pear\tapple plum\n0\tapple\tnail screw\n")
    assert sentence_pairs(bags, path=str(path))["spearman"] == pytest.approx(1)
    users = Facts(kind._replace(words=""), 60, 30)
    with pytest.raises(UserError, match="'sentence_pairs' needs texts, and this is baskets of none"):
        JUDGES["sentence_pairs"].refuse("sentence_pairs", {"path": str(path)}, bags.method, users)
