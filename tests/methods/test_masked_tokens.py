"""Hidden words: their share, what is never hidden, the loss at chosen tokens alone, and padding that nobody sees."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unsupjax import methods, models

NETWORK = models.Transformer(9, 40, 16, 1, 2, zero_init=False)
ROWS = jnp.tile(jnp.array([[1, *range(2, 9), *range(2, 9), 1, *range(2, 9), 0, 0, 0]]), (400, 1))


class Spy:
    """A network that keeps what it was shown, and whose logits are the same everywhere."""

    def __init__(self):
        self.vocabulary, self.dropout, self.shown = 9, 0.0, []

    def clone(self, **changes):
        assert changes == {"causal": False, "vocabulary": 10}
        return self

    def init(self, key, x, method):
        return {"params": {"w": jnp.zeros(10)}}

    def apply(self, variables, x, segments=None, method=None):
        if method == "logits":
            return jnp.broadcast_to(variables["params"]["w"], (*x.shape[:2], 10))
        self.shown.append((x, segments))
        return jnp.zeros((*x.shape, 1))


def stepped(step=0, rows=ROWS, **changes):
    spy = Spy()
    method = methods.masked_tokens(spy, optax.sgd(1.0), **changes)
    state = method.init(jax.random.key(0), rows)._replace(step=jnp.asarray(step, jnp.int32))
    state, metrics = method.step(state, rows)
    return *[np.asarray(a) for a in spy.shown[-1]], state, metrics


def test_shares_are_those_asked_for():
    shown, segments, _, _ = stepped(share=0.2, masked=0.5, random=0.25)
    real = np.asarray(ROWS) > 1
    changed = (shown != np.asarray(ROWS)) & real
    assert (shown == ROWS)[~real].all()
    chosen = 4 * len(ROWS)  # a fifth of 21
    np.testing.assert_allclose((shown == 9).sum() / chosen, 0.5, atol=0.04)
    # Another token may be the same by chance, one time in seven.
    np.testing.assert_allclose((changed & (shown != 9)).sum() / chosen, 0.25 * 6 / 7, atol=0.04)
    assert shown[real].min() == 2
    np.testing.assert_array_equal(np.unique(segments), [-1, 1, 2])
    assert (stepped(step=1)[0] != stepped()[0]).any(), "anew at each step"
    assert ((stepped(share=0.2, masked=1.0, random=0.0)[0] == 9).sum(1) == 4).all(), "of each row"
    everywhere = (stepped(share=0.2, masked=1.0, random=0.0)[0] == 9).mean(0)[real[0]]
    np.testing.assert_allclose(everywhere, 4 / 21, atol=0.07)


def test_the_loss_is_of_chosen_tokens_alone():
    shown, _, state, metrics = stepped(masked=1.0, random=0.0)
    chosen = shown == 9
    assert metrics["loss"] == pytest.approx(np.log(7), rel=1e-5), "of the seven tokens that a text may hold"
    # Softmax of zeros: a step of 1 moves by the share of each token among the chosen less a seventh.
    share = np.bincount(np.asarray(ROWS)[chosen], minlength=10) / chosen.sum()
    expected = np.where((np.arange(10) > 1) & (np.arange(10) < 9), share - 1 / 7, 0)
    np.testing.assert_allclose(state.params["w"], expected, rtol=1e-4, atol=1e-6)


class Pieces:
    """Words of a token from 2 to 5 and as many from 6 to 8 as follow it."""

    def joins(self):
        return np.array([np.arange(9) > 5, np.arange(9) > 1])


def test_all_tokens_of_a_word_are_hidden_or_none():
    row = [1, 2, 6, 7, 3, 4, 6, 5, 2, 7, 8, 3, 4, 8, 5, 5, 3, 2, 4, 6, 1, 2, 6, 7, 7, 4, 0, 0]
    rows = jnp.tile(jnp.array([row]), (200, 1))
    hidden = stepped(rows=rows, share=0.3, masked=1.0, random=0.0, kind=Pieces())[0] == 9
    word = np.cumsum(~((np.array(row) > 5) & (np.roll(row, 1) > 1)))
    real = np.array(row) > 1
    for w in np.unique(word[real]):
        of_word = hidden[:, (word == w) & real]
        assert (of_word.all(1) | ~of_word.any(1)).all()
        assert 0.1 < of_word.mean() < 0.4
    assert hidden.sum(1).max() == round(0.3 * real.sum()) and hidden.sum(1).min() >= 4
    # One word that is longer than the share: so many of its tokens.
    long = jnp.tile(jnp.array([[1, 2, 6, 6, 6, 6, 6, 6, 6, 6]]), (3, 1))
    hidden = stepped(rows=long, share=0.3, masked=1.0, random=0.0, kind=Pieces())[0] == 9
    np.testing.assert_array_equal(hidden.sum(1), 3)
    alone = stepped(rows=rows, share=0.3, masked=1.0, random=0.0, kind=Pieces(), whole_words=False)[0] == 9
    assert (alone[:, 2] != alone[:, 3]).any()


def test_rows_without_words():
    rows = jnp.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 5, 0, 0]])
    shown, _, _, metrics = stepped(rows=rows, masked=1.0, random=0.0)
    np.testing.assert_array_equal(shown, [[1, 0, 0, 0], [0, 0, 0, 0], [1, 9, 0, 0]])
    assert metrics["loss"] == pytest.approx(np.log(7), rel=1e-5)
    assert np.isfinite(stepped(rows=rows[:2])[3]["loss"])


def test_what_is_filled_in():
    method = methods.masked_tokens(NETWORK, optax.sgd(0.1), share=0.3)
    state = jax.jit(method.init)(jax.random.key(0), ROWS[:4])
    hidden, filled, _ = jax.jit(method.fill)(state, jax.random.key(1), ROWS[:4])
    np.testing.assert_array_equal(hidden.sum(1), 6)
    np.testing.assert_array_equal(filled[~hidden], ROWS[:4][~hidden])
    shown, wide = jnp.where(hidden, 9, ROWS[:4]), NETWORK.clone(causal=False, vocabulary=10)
    segments = np.where(ROWS[:4] == 0, -1, np.cumsum(ROWS[:4] == 1, axis=1))
    logits = wide.apply({"params": state.params}, shown, jnp.asarray(segments), method="both")
    np.testing.assert_array_equal(filled[hidden], np.asarray(logits)[..., 2:9].argmax(-1)[hidden] + 2)


def test_padding_changes_no_code():
    method = methods.masked_tokens(NETWORK, optax.sgd(0.1))
    state = jax.jit(method.init)(jax.random.key(0), ROWS[:2])
    short = jnp.array([[1, 4, 5, 6]])
    np.testing.assert_allclose(
        method.encode(state, jnp.pad(short, ((0, 0), (0, 5)))),
        method.encode(state, short),
        rtol=1e-5,
        atol=1e-6,
    )
    both_ways = lambda last: method.encode(state, jnp.array([[1, 4, 5, last]]))
    assert np.abs(both_ways(6) - both_ways(7)).max() > 1e-4


@pytest.mark.parametrize(
    "arguments", [{"share": 0.0}, {"share": 1.0}, {"masked": 0.9, "random": 0.2}, {"random": -0.1}]
)
def test_shares_that_are_none(arguments):
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        methods.masked_tokens(NETWORK, optax.sgd(0.1), **arguments)
