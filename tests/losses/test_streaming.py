import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from unsupjax import losses
from unsupjax.losses.streaming import highest, log_sum_exp

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(7, 3)).astype(np.float32)
KEYS = RNG.normal(size=(10, 3)).astype(np.float32)
ROW_IDS = np.array([0, 1, 2, 3, -1, 5, 1], np.int32)
KEY_IDS = np.array([0, 1, 2, 3, 4, -1, 0, 1, 2, 3], np.int32)
CHUNKS = [None, 1, 3, 100]


def loop(rows, keys, row_ids, key_ids, scale, reduce):
    out = []
    for q, i in zip(rows.astype(np.float64), row_ids, strict=True):
        others = [
            scale * sum(a * b for a, b in zip(q, k, strict=True))
            for k, j in zip(keys.astype(np.float64), key_ids, strict=True)
            if j not in (i, -1) and i != -1
        ]
        out.append(reduce(others) if others else -np.inf)
    return np.array(out)


def of_exponentials(values):
    top = max(values)
    return top + np.log(sum(np.exp(v - top) for v in values))


@pytest.mark.parametrize("chunk_size", CHUNKS)
def test_sums_are_those_of_a_loop(chunk_size):
    value = log_sum_exp(ROWS, KEYS, ROW_IDS, KEY_IDS, 1.7, chunk_size)
    np.testing.assert_allclose(
        value, loop(ROWS, KEYS, ROW_IDS, KEY_IDS, 1.7, of_exponentials), rtol=1e-5, atol=1e-6
    )
    value = log_sum_exp(ROWS, None, ROW_IDS, None, 1.7, chunk_size)
    np.testing.assert_allclose(
        value, loop(ROWS, ROWS, ROW_IDS, ROW_IDS, 1.7, of_exponentials), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_maxima_are_those_of_a_loop(chunk_size):
    value = highest(ROWS, KEYS, ROW_IDS, KEY_IDS, chunk_size)
    np.testing.assert_allclose(value, loop(ROWS, KEYS, ROW_IDS, KEY_IDS, 1, max), rtol=1e-5)
    value = highest(ROWS, None, ROW_IDS, None, chunk_size)
    np.testing.assert_allclose(value, loop(ROWS, ROWS, ROW_IDS, ROW_IDS, 1, max), rtol=1e-5)


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_gradients_are_those_of_differences(chunk_size):
    weight = jnp.arange(1.0, 8.0)
    # A row without keys has the value -inf, which differences cannot take.
    taken = lambda value: (weight * jnp.where(value > -jnp.inf, value, 0)).sum()
    apart = lambda q, k, s: taken(log_sum_exp(q, k, ROW_IDS, KEY_IDS, s, chunk_size))
    check_grads(jax.jit(apart), (ROWS, KEYS, 1.3), order=1, modes=["rev"], rtol=3e-2, atol=1e-2)
    same = lambda z, s: taken(log_sum_exp(z, None, ROW_IDS, None, s, chunk_size))
    check_grads(jax.jit(same), (ROWS, 1.3), order=1, modes=["rev"], rtol=3e-2, atol=1e-2)


@pytest.mark.parametrize("symmetric", [False, True])
def test_tiles_are_the_whole_in_value_and_gradient(symmetric):
    """Rows of unit length at temperature 0.01: the logits run from -100 to 100."""
    q = losses.normalize(RNG.normal(size=(37, 3)))
    k, ids = (None, None) if symmetric else (losses.normalize(RNG.normal(size=(53, 3))), jnp.arange(53))
    f = lambda chunk_size: jax.jit(
        jax.value_and_grad(
            lambda q, k, s: (jnp.arange(37) * log_sum_exp(q, k, jnp.arange(37), ids, s, chunk_size)).sum(),
            (0, 2) if symmetric else (0, 1, 2),
        )
    )(q, k, 100.0)
    whole = f(None)
    for chunk_size in (8, 64):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max()),
            f(chunk_size),
            whole,
        )


@pytest.mark.parametrize("chunk_size", [None, 1, 2])
def test_nothing_underflows_and_nothing_overflows(chunk_size):
    """Logits of -100 alone, and of 1e4: a fixed shift would lose one or the other."""
    q = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
    ids = jnp.arange(2)
    np.testing.assert_allclose(log_sum_exp(q, None, ids, None, 100.0, chunk_size), [-100, -100], rtol=1e-6)
    np.testing.assert_allclose(log_sum_exp(q, -q, ids, ids, 1e4, chunk_size), [1e4, 1e4], rtol=1e-6)


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_rows_without_keys_have_no_gradient(chunk_size):
    f = lambda q, k: jax.nn.softplus(log_sum_exp(q, k, jnp.full(7, -1), KEY_IDS, 1.0, chunk_size)).sum()
    value, grads = jax.value_and_grad(f, (0, 1))(ROWS, KEYS)
    assert value == 0 and not any(np.asarray(g).any() for g in grads)


def test_the_logits_do_not_stand_in_memory():
    """Temporary memory, as the compiler plans it, at 4096 rows: 64 MiB a matrix."""
    z = jax.ShapeDtypeStruct((2048, 16), jnp.float32)

    def mib(loss, **settings):
        f = jax.jit(jax.grad(lambda a, b: loss(a, b, **settings).sum(), (0, 1)))
        return f.lower(z, z).compile().memory_analysis().temp_size_in_bytes / 2**20

    assert mib(losses.nt_xent) > 64
    assert mib(losses.nt_xent, chunk_size=256) < 6
    assert mib(losses.info_nce, chunk_size=256) < 6


def test_a_tile_has_at_least_one_row():
    with pytest.raises(ValueError, match="chunk_size"):
        log_sum_exp(ROWS, KEYS, ROW_IDS, KEY_IDS, 1.0, 0)
