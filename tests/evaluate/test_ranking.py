"""Ranking: by hand, against code of another kind, with ties and with users who have next to nothing."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.data.bags import unpadded
from unsupjax.data.kinds import Baskets
from unsupjax.errors import UserError
from unsupjax.evaluate import JUDGES, Facts, Subject, ranking
from unsupjax.evaluate.recommendation.ranking import fold
from unsupjax.methods import Method

V = 130


class Scores(NamedTuple):
    scores: jax.Array  # [V], for everyone


def known(state, x):
    """What is more popular is recommended, whoever asks."""
    return jnp.broadcast_to(state.scores[None], (len(x), len(state.scores)))


def judged(scores, train, test, method=None, **arguments):
    method = method or Method(None, None, None, recommend=known)
    size = len(scores)
    kind = Baskets(test.shape[1], tuple(map(str, range(size))))
    state = Scores(jnp.asarray(scores, jnp.float32))
    z = np.zeros((1, 1))
    key = jax.random.key(3)
    subject = Subject(method, state, key, train, None, test, None, z, z, None, kind=kind)
    return ranking(subject, **arguments)


def test_by_hand():
    """Items 1 to 5 (codes) are scored 5 to 1; the last of each row is hidden."""
    scores = np.array([5.0, 4, 3, 2, 1])
    train = np.array([[1, 2, 0], [1, 0, 0], [1, 2, 3]])
    test = np.array([[1, 2, 4], [5, 1, 0], [2, 0, 0], [0, 0, 0]])
    found = judged(scores, train, test, last=True, regularization=1.0)
    # The first user's item 4 comes behind 3: rank 2. The second's item 1 comes first. Two have nothing to be told.
    assert found["ranking_users"] == 2
    assert found["ndcg_100"] == pytest.approx((1 / np.log2(3) + 1) / 2)
    assert found["recall_20"] == found["recall_50"] == 1  # of five items all are among the first twenty
    assert found["coverage_20"] == 1
    # Of the first 3, 4, 5 (1, 0, 0 users), of the second 1, 2, 3, 4 (3, 2, 1, 0); hidden are 4 and 1 (0, 3).
    assert found["popularity_bias_20"] == pytest.approx((7 / 7) / 1.5)
    assert found["ndcg_100_popularity"] == pytest.approx(found["ndcg_100"], abs=0.12)  # 4 and 5 tie there


def test_against_code_of_another_kind():
    rng = np.random.default_rng(0)
    test = np.zeros((40, 90), int)
    for row in test:
        n = rng.integers(2, 90)
        row[:n] = rng.permutation(V)[:n] + 1
    scores = rng.permutation(V).astype(float)
    train = test[:, ::-1].copy()
    found = judged(scores, train, test, batch_size=7)
    told, hidden = fold(test, 0.8, False, _seed())
    ndcg, r20, r50 = [], [], []
    for t, h in zip(told, hidden, strict=True):
        t, h = set(t[t > 0] - 1), set(h[h > 0] - 1)
        ranked = sorted(set(range(V)) - t, key=lambda i: -scores[i])
        gain = sum(1 / np.log2(r + 2) for r, i in enumerate(ranked[:100]) if i in h)
        ndcg.append(gain / sum(1 / np.log2(r + 2) for r in range(min(len(h), 100))))
        r20.append(len(h & set(ranked[:20])) / min(20, len(h)))
        r50.append(len(h & set(ranked[:50])) / min(50, len(h)))
    np.testing.assert_allclose(found["ndcg_100"], np.mean(ndcg), rtol=1e-5)
    np.testing.assert_allclose(found["ndcg_100_error"], np.std(ndcg) / np.sqrt(40), rtol=1e-4)
    np.testing.assert_allclose(
        [found["recall_20"], found["recall_50"]], [np.mean(r20), np.mean(r50)], rtol=1e-5
    )
    x = np.zeros((40, V))
    rows = unpadded(train)
    x[rows.owners, rows.items] = 1
    p = np.linalg.inv(x.T @ x + 300 * np.eye(V))
    b = np.eye(V) - p / np.diag(p)

    def linear(state, x):
        from unsupjax.methods.parts.bags import dense

        return dense(x, V) @ jnp.asarray(b, jnp.float32)

    other = judged(scores, train, test, Method(None, None, None, recommend=linear))
    for key in ("ndcg_100", "recall_20", "recall_50", "coverage_20"):
        np.testing.assert_allclose(other[key], found[f"{key}_ease"], atol=1e-4)


def _seed():
    from unsupjax.evaluate.subject import host_seed

    return host_seed(jax.random.key(3))


def test_rows_are_folded():
    rng = np.random.default_rng(1)
    x = np.zeros((300, 12), int)
    for n, row in zip(rng.integers(1, 12, 300), x, strict=True):
        row[:n] = rng.permutation(40)[:n] + 1
    told, hidden = fold(x, 0.8, False, 0)
    n = (x > 0).sum(1)
    n = n[n > 1]
    np.testing.assert_array_equal((hidden > 0).sum(1), np.maximum(np.round(0.2 * n), 1))
    np.testing.assert_array_equal((told > 0).sum(1) + (hidden > 0).sum(1), n)
    for row, t, h in zip(x[(x > 0).sum(1) > 1], told, hidden, strict=True):
        assert set(t) | set(h) == set(row) | {0} and not (set(t) & set(h)) - {0}
    places = [
        list(row).index(h[0])
        for row, h in zip(x[(x > 0).sum(1) > 1], hidden, strict=True)
        if (row > 0).sum() == 5
    ]
    assert len(set(places)) == 5  # anywhere
    counted = np.stack([x, np.where(x > 0, x + 2, 0)], axis=2)
    np.testing.assert_array_equal(fold(counted, 0.8, False, 0).hidden[..., 0], hidden)
    two, ones = np.array([[3, 9, 0], [7, 0, 0]]), np.array([[3, 0, 0], [0, 0, 0]])
    assert fold(two, 0.8, False, 0).told.shape == (1, 3)
    with pytest.raises(UserError, match="no test row has two items"):
        fold(ones, 0.8, False, 0)


def test_equal_scores_favour_nobody():
    """A method that knows nothing finds a hidden item as often as chance does, wherever it is numbered."""
    rng = np.random.default_rng(2)
    test = np.stack([np.r_[1, 2 + rng.permutation(60)[:1]] for _ in range(400)])  # hidden: a low number
    found = judged(np.zeros(V), test, test[:, ::-1].copy(), last=True)
    assert found["recall_20"] in (0, 1)  # the same order for all, in which item 1 is anywhere
    spread = np.array([rng.permutation(V)[:2] + 1 for _ in range(400)])
    found = judged(np.zeros(V), spread, spread)
    assert abs(found["recall_20"] - 20 / 129) < 0.06


def test_what_is_asked_wrongly_is_refused():
    x = np.array([[1, 2], [2, 1]])
    with pytest.raises(UserError, match=r"fold_in=1.0 must be above 0"):
        judged(np.ones(3), x, x, fold_in=1.0)
    with pytest.raises(UserError, match="'ranking' needs a method with `recommend`"):
        judged(np.ones(3), x, x, Method(None, None, None))
    kind = Baskets(2, ("a", "b"), leave_last=True)
    with pytest.raises(UserError, match=r"set config.evaluate.ranking.last=True"):
        JUDGES["ranking"].check({"last": False}, Facts(kind, 2, 2))
    JUDGES["ranking"].check({"last": True}, Facts(kind, 2, 2))
    assert "ndcg_100_ease" not in judged(np.ones(3), x, x, most_items=2)
