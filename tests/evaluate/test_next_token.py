"""Cross-entropy of held-out text: of a network, and of models that count, against dictionaries of counts."""

import collections
import gzip
import math

import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.data.kinds.tokens import fit_tokens
from unsupjax.errors import UserError
from unsupjax.evaluate import Subject, next_token
from unsupjax.evaluate.language.ngrams import kneser_ney
from unsupjax.methods import Method

RNG = np.random.default_rng(0)
D = 0.75


def oracle(train, rows, order, size):
    """Counts in dictionaries, a token at a time."""
    grams = {
        n: collections.Counter(tuple(train[i : i + n]) for i in range(len(train) - n + 1))
        for n in range(1, order + 2)
    }
    before = {n: collections.Counter(gram[1:] for gram in grams[n + 1]) for n in range(1, order + 1)}

    def p(token, context, n, highest):
        if n == 0:
            return 1 / size
        lower = p(token, context, n - 1, False)
        if len(context) < n - 1:
            return lower
        count, head = (grams if highest else before)[n], context[len(context) - n + 1 :]
        after = {g: c for g, c in count.items() if g[:-1] == head}
        total = sum(after.values())
        if total == 0:
            return lower
        kept = max(count.get((*head, token), 0) - D, 0)
        return (kept + sum(min(c, D) for c in after.values()) * lower) / total

    found = [p(row[t], tuple(row[:t]), order, True) for row in rows for t in range(1, len(row)) if row[t]]
    return -sum(map(math.log, found))


def test_counts_are_those_of_dictionaries():
    train = RNG.integers(1, 6, 150)
    rows = RNG.integers(1, 7, (4, 9))  # with a token that was never seen
    rows[:2, 7:] = 0
    expected = [oracle(train.tolist(), rows.tolist(), n, 7) for n in (1, 2, 3, 5)]
    np.testing.assert_allclose(kneser_ney(train, rows, (1, 2, 3, 5), 7), expected, rtol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_sum_to_one(order):
    train, context = RNG.integers(1, 5, 80), [2, 3]
    each = [kneser_ney(train, np.array([[*context, token, 0]]), (order,), 6)[0] for token in range(1, 6)]
    first = kneser_ney(train, np.array([context]), (order,), 6)[0]
    p = np.exp(first - np.array(each))
    uniform = np.exp(
        first - kneser_ney(train, np.array([[*context, 5, 0]]), (order,), 6)[0]
    )  # as unseen as padding is
    assert p.sum() + uniform == pytest.approx(1, abs=1e-9)


def judged(log_p, texts=("abcabc", "aab")):
    kind = fit_tokens(8, {"type": "chars", "characters": "abcé"}, "documents")
    x = kind.prepare(list(texts)).astype(np.int32)
    function = lambda state, x: (jnp.full(x[:, 1:].shape, log_p), x[:, 1:] != 0)
    method = Method(None, None, None, token_log_prob=function)
    return Subject(method, None, None, x, None, x, None, x, x, None, kind=kind), x


def test_bits_are_of_bytes_of_text():
    subject, x = judged(-math.log(4), ("abcé", "é"))
    found = next_token(subject, orders=(1, 2))
    assert found["validation_loss"] == pytest.approx(math.log(4), rel=1e-6)
    assert found["perplexity"] == pytest.approx(4, rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(2 * 5 / 7, rel=1e-6)  # five tokens, seven bytes
    stream = np.concatenate([x[:1, 0], x[:, 1:].ravel()])
    stream = stream[stream != 0]
    expected = oracle(stream.tolist(), x.tolist(), 2, 6) / math.log(2) / 7
    assert found["bits_per_byte_2gram"] == pytest.approx(expected, rel=1e-9)
    text = "abcéé".encode()
    assert found["bits_per_byte_gzip"] == 8 * len(gzip.compress(text, 9)) / 7
    assert found["bits_per_byte_xz"] > found["bits_per_byte_gzip"]


def test_what_cannot_be_judged():
    subject, _ = judged(-1.0)
    with pytest.raises(UserError, match="must be at least 1"):
        next_token(subject, orders=(0,))
    with pytest.raises(UserError, match="a method with `token_log_prob`"):
        next_token(subject._replace(method=Method(None, None, None)))
