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
    """A network that keeps what it was shown."""

    def __init__(self):
        self.vocabulary, self.dropout, self.shown = 9, 0.0, []

    def clone(self, **changes):
        assert changes == {"causal": False, "vocabulary": 10}
        return self

    def init(self, key, x, method):
        return {"params": {"w": jnp.zeros(10)}}

    def apply(self, variables, x, segments, method=None):
        self.shown.append((x, segments))
        return jnp.broadcast_to(variables["params"]["w"], (*x.shape, 10))


def stepped(step=0, **changes):
    spy = Spy()
    method = methods.masked_tokens(spy, optax.sgd(1.0), **changes)
    state = method.init(jax.random.key(0), ROWS)._replace(step=jnp.asarray(step, jnp.int32))
    state, metrics = method.step(state, ROWS)
    return *[np.asarray(a) for a in spy.shown[-1]], state, metrics


def test_shares_are_those_asked_for():
    shown, segments, _, _ = stepped(share=0.2, masked=0.5, random=0.25)
    real = np.asarray(ROWS) > 1
    changed = (shown != np.asarray(ROWS)) & real
    assert (shown == ROWS)[~real].all()
    n = real.sum()
    np.testing.assert_allclose((shown == 9).sum() / n, 0.2 * 0.5, atol=0.01)
    # Another token may be the same by chance, one time in seven.
    np.testing.assert_allclose((changed & (shown != 9)).sum() / n, 0.2 * 0.25 * 6 / 7, atol=0.01)
    assert shown[real].min() == 2
    np.testing.assert_array_equal(np.unique(segments), [-1, 1, 2])
    assert (stepped(step=1)[0] != stepped()[0]).any(), "anew at each step"


def test_the_loss_is_of_chosen_tokens_alone():
    shown, _, state, metrics = stepped(masked=1.0, random=0.0)
    chosen = shown == 9
    assert metrics["loss"] == pytest.approx(np.log(10), rel=1e-5)
    # Softmax of zeros: a step of 1 moves by the share of each token among the chosen less a tenth.
    share = np.bincount(np.asarray(ROWS)[chosen], minlength=10) / chosen.sum()
    np.testing.assert_allclose(state.params["w"], share - 0.1, rtol=1e-4, atol=1e-6)


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
