import doctest
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from unsupjax import losses
from unsupjax.losses import contrastive

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 9, 4)).astype(np.float32)
NEAR = (A + 0.5 * B).astype(np.float32)  # other views of A: some are found, some are not
QUEUE = RNG.normal(size=(11, 4)).astype(np.float32)
WHERE = np.array([True, True, False, True, True, True, False, True, True])
CHUNKS = [None, 4]


def unit(x):
    x = np.asarray(x, np.float64)
    return x / np.sqrt(np.square(x).sum(axis=1, keepdims=True))


def term(query, own, others, temperature):
    """-log of the positive's share, one candidate after the other, less the largest logit."""
    logits = [query @ k / temperature for k in [own, *others]]
    return np.log(sum(np.exp(l - max(logits)) for l in logits)) + max(logits) - logits[0]


def best(query, own, others):
    return float(all(query @ own > query @ k for k in others))


def in_batch(q, k, of, where=None, **settings):
    q, k, where = unit(q), unit(k), np.ones(len(q), bool) if where is None else where
    out = np.zeros(len(q))
    for i in np.flatnonzero(where):
        out[i] = of(q[i], k[i], [k[j] for j in np.flatnonzero(where) if j != i], **settings)
    return out


def given(q, k, negatives, of, **settings):
    q, k, negatives = unit(q), unit(k), unit(negatives)
    return np.array([of(a, b, negatives, **settings) for a, b in zip(q, k, strict=True)])


def both_views(z1, z2, of, where=None, **settings):
    """SimCLR's Eq. 1: over all views but the query's own."""
    z1, z2, where = unit(z1), unit(z2), np.ones(len(z1), bool) if where is None else where
    views, there = np.concatenate([z1, z2]), np.flatnonzero(np.tile(where, 2))
    out, n = np.zeros(2 * len(z1)), len(z1)
    for i in there:
        other = (i + n) % (2 * n)
        out[i] = of(views[i], views[other], [views[j] for j in there if j not in (i, other)], **settings)
    return (out[:n] + out[n:]) / 2


@pytest.mark.parametrize("chunk_size", CHUNKS)
@pytest.mark.parametrize("temperature", [0.5, 0.01])
@pytest.mark.parametrize("where", [None, WHERE])
def test_losses_are_those_of_a_loop(chunk_size, temperature, where):
    settings = {"temperature": temperature, "where": where, "chunk_size": chunk_size}
    close = lambda value, expected: np.testing.assert_allclose(value, expected, rtol=2e-5, atol=2e-5)
    close(losses.info_nce(A, NEAR, **settings), in_batch(A, NEAR, term, where, temperature=temperature))
    close(losses.nt_xent(A, NEAR, **settings), both_views(A, NEAR, term, where, temperature=temperature))
    queue = given(A, NEAR, QUEUE, term, temperature=temperature) * (1 if where is None else where)
    close(losses.info_nce(A, NEAR, negatives=QUEUE, **settings), queue)
    close(losses.moco(A, NEAR, QUEUE, **settings), queue)


@pytest.mark.parametrize("chunk_size", CHUNKS)
@pytest.mark.parametrize("where", [None, WHERE])
def test_accuracies_are_those_of_a_loop(chunk_size, where):
    settings = {"where": where, "chunk_size": chunk_size}
    value = losses.contrastive_accuracy(A, NEAR, **settings)
    np.testing.assert_array_equal(value, in_batch(A, NEAR, best, where))
    assert value.dtype == jnp.float32 and 0 < value.mean() < 1
    np.testing.assert_array_equal(
        losses.contrastive_accuracy(A, NEAR, negatives=QUEUE, **settings),
        given(A, NEAR, QUEUE, best) * (1 if where is None else where),
    )
    value = losses.nt_xent_accuracy(A, NEAR, **settings)
    np.testing.assert_array_equal(value, both_views(A, NEAR, best, where))
    assert 0 < value.mean() < 1


@pytest.mark.parametrize("chunk_size", CHUNKS)
def test_gradients_are_those_of_differences(chunk_size):
    shared = {"chunk_size": chunk_size}
    near = lambda f, *a: check_grads(f, a, order=1, modes=["rev"], rtol=2e-2, atol=1e-2)
    near(lambda a, b, t: losses.nt_xent(a, b, temperature=t, where=WHERE, **shared), A, NEAR, 0.5)
    near(lambda a, b, t: losses.info_nce(a, b, temperature=t, **shared), A, NEAR, 0.5)
    near(lambda a, b, n, t: losses.info_nce(a, b, negatives=n, temperature=t, **shared), A, NEAR, QUEUE, 0.5)


@pytest.mark.parametrize("n", [50, 64])
def test_tiles_have_the_loss_and_gradient_of_the_whole(n):
    """To 1e-5, also where the batch is no multiple of the tile."""
    z1, z2 = RNG.normal(size=(2, n, 8)).astype(np.float32)
    for loss in (losses.nt_xent, losses.info_nce):
        f = lambda a, b, t, chunk_size, loss=loss: loss(a, b, temperature=t, chunk_size=chunk_size).mean()
        run = jax.jit(jax.value_and_grad(f, (0, 1, 2)), static_argnums=3)
        chex.assert_trees_all_close(run(z1, z2, 0.1, 16), run(z1, z2, 0.1, None), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_of_equal_embeddings_the_loss_is_the_logarithm_of_the_candidates(chunk_size):
    z = jnp.tile(jnp.array([[1.0, 2.0, 3.0]]), (5, 1))
    close = lambda value, n: np.testing.assert_allclose(value, np.log(n), rtol=1e-5)
    close(losses.nt_xent(z, 7 * z, chunk_size=chunk_size), 2 * 5 - 1)
    close(losses.info_nce(z, 7 * z, chunk_size=chunk_size), 5)
    close(losses.moco(z, z, jnp.tile(z, (3, 1)), chunk_size=chunk_size), 15 + 1)
    for accuracy in (losses.nt_xent_accuracy, losses.contrastive_accuracy):
        np.testing.assert_array_equal(accuracy(z, 7 * z, chunk_size=chunk_size), 0)


def test_orthogonal_examples_have_the_loss_in_closed_form():
    """Positives at similarity 1 and negatives at 0: log(1 + n exp(-1 / T)), exact where it is tiny."""
    for temperature in (1.0, 0.1, 0.05):
        n = lambda negatives: np.log1p(negatives * np.exp(-1 / temperature))
        value = losses.nt_xent(jnp.eye(6), 3 * jnp.eye(6), temperature=temperature)
        np.testing.assert_allclose(value, n(10), rtol=1e-4)
        value = losses.info_nce(jnp.eye(6), jnp.eye(6), temperature=temperature)
        np.testing.assert_allclose(value, n(5), rtol=1e-4)


def test_symmetries():
    loss = losses.nt_xent(A, NEAR)
    np.testing.assert_allclose(losses.nt_xent(NEAR, A), loss, rtol=1e-5)
    order = RNG.permutation(len(A))
    rotation = np.linalg.qr(RNG.normal(size=(4, 4)))[0].astype(np.float32)
    for f in (losses.nt_xent, losses.info_nce):
        loss = f(A, NEAR)
        np.testing.assert_allclose(f(A[order], NEAR[order]), loss[order], rtol=1e-5)
        np.testing.assert_allclose(f(A @ rotation, NEAR @ rotation), loss, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(f(5 * A, 0.01 * NEAR), loss, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_examples_that_are_not_there_have_no_effect(chunk_size):
    """With anything in their place, NaN even, loss and gradient are those of the others alone."""
    a, b = (np.where(WHERE[:, None], x, np.nan) for x in (A, NEAR))
    for loss in (losses.nt_xent, losses.info_nce):
        f = lambda a, b, where, loss=loss: loss(a, b, where=where, chunk_size=chunk_size).sum()
        value, grads = jax.value_and_grad(f, (0, 1))(a, b, WHERE)
        alone, expected = jax.value_and_grad(f, (0, 1))(A[WHERE], NEAR[WHERE], None)
        np.testing.assert_allclose(value, alone, rtol=1e-5)
        for grad, right in zip(grads, expected, strict=True):
            np.testing.assert_allclose(grad[WHERE], right, rtol=1e-4, atol=1e-6)
            np.testing.assert_array_equal(grad[~WHERE], 0)
        value, grads = jax.value_and_grad(f, (0, 1))(a, b, np.zeros(9, bool))
        assert value == 0 and not any(np.asarray(g).any() for g in grads)


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_one_example_alone_has_no_loss(chunk_size):
    for loss in (losses.nt_xent, losses.info_nce):
        value, grad = jax.value_and_grad(lambda a, f=loss: f(a, NEAR[:1], chunk_size=chunk_size).sum())(A[:1])
        assert value == 0 and not np.asarray(grad).any()
    assert losses.nt_xent_accuracy(A[:1], NEAR[:1], chunk_size=chunk_size) == 1


@pytest.mark.parametrize("chunk_size", [None, 3])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_zero_vectors_and_a_low_temperature_are_finite(chunk_size, dtype):
    a = jnp.asarray(A, dtype).at[2].set(0)
    b = jnp.asarray(B, dtype).at[2:4].set(0)
    for loss in (losses.nt_xent, losses.info_nce, lambda *x, **s: losses.moco(*x, jnp.zeros((3, 4)), **s)):
        f = lambda a, b, t, loss=loss: loss(a, b, temperature=t, chunk_size=chunk_size)
        value = f(a, b, 0.01)
        assert value.dtype == jnp.float32 and np.isfinite(value).all()
        # Of bfloat16 the loss is that of the same numbers in float32.
        np.testing.assert_array_equal(value, f(a.astype(jnp.float32), b.astype(jnp.float32), 0.01))
        grads = jax.grad(lambda *x, f=f: f(*x).sum(), (0, 1, 2))(a, b, 0.01)
        assert all(np.isfinite(np.asarray(g, np.float32)).all() for g in grads)


def test_the_queue_and_its_keys_are_constants():
    grads = jax.grad(lambda *a: losses.moco(*a).sum(), (0, 1, 2))(A, NEAR, QUEUE)
    assert np.abs(grads[0]).max() > 0
    assert not any(np.asarray(g).any() for g in grads[1:])


def test_rows_are_taken_as_they_are_when_told_so():
    a, b, queue = unit(A), unit(NEAR), unit(QUEUE)
    for negatives in (None, queue):
        f = lambda a, b, flag, n=negatives: losses.info_nce(a, b, negatives=n, normalized=flag)
        np.testing.assert_allclose(f(a, b, True), f(a, b, False), rtol=1e-4, atol=1e-6)
        assert np.abs(f(3 * a, b, True) - f(a, b, False)).max() > 0.1


def critic(x, y, rho):
    """Features whose inner product is the logarithm of p(x, y) / p(x) p(y), but for a constant."""
    half = rho**2 / (2 * (1 - rho**2))
    ones = jnp.ones_like(x[:, :1])
    square = lambda v: jnp.square(v).sum(axis=1, keepdims=True)
    query = jnp.concatenate([x, square(x), ones], axis=1)
    return query, jnp.concatenate([rho / (1 - rho**2) * y, -half * ones, -half * square(y)], axis=1)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_loss_bounds_the_mutual_information(rho):
    """Of correlated Gaussians in 2 dimensions: -log(1 - rho^2) nats, which the best critic comes close to."""
    n, information = 512, -np.log(1 - rho**2)

    def bounds(key):
        x, noise = jax.random.normal(key, (2, n, 2))
        query, own = critic(x, rho * x + np.sqrt(1 - rho**2) * noise, rho)
        loss = lambda q, k: jnp.log(n) - losses.info_nce(q, k, temperature=1.0, normalized=True).mean()
        return loss(query, own), loss(0.3 * query, own)

    best, worse = jax.lax.map(bounds, jax.random.split(jax.random.key(0), 40))
    error = best.std() / np.sqrt(40)
    assert best.mean() < information + 3 * error + 1e-6
    assert best.mean() > information - 0.05
    assert rho == 0 or worse.mean() < 0.9 * best.mean()


def test_the_accuracy_shares_the_similarities_of_the_loss():
    """One matrix product forward and two backward, with the metric or without."""
    z = jax.ShapeDtypeStruct((256, 64), jnp.float32)
    for loss, accuracy in (
        (losses.nt_xent, losses.nt_xent_accuracy),
        (losses.info_nce, losses.contrastive_accuracy),
    ):
        f = lambda a, b, l=loss, m=accuracy: (l(a, b).mean(), m(a, b).mean())
        compiled = jax.jit(jax.value_and_grad(f, (0, 1), has_aux=True)).lower(z, z).compile().as_text()
        assert len(re.findall(r" dot\(", compiled)) == 3


class Variants(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_device=True, with_pmap=True)
    def test_every_variant_has_the_same_losses(self):
        f = lambda a, b: jnp.stack(
            [g(a, b, chunk_size=c) for g in (losses.nt_xent, losses.info_nce) for c in CHUNKS]
        )
        expected = np.stack(
            [both_views(A, NEAR, term, temperature=0.1)] * 2 + [in_batch(A, NEAR, term, temperature=0.1)] * 2
        )
        np.testing.assert_allclose(self.variant(f)(A, NEAR), expected, rtol=1e-4, atol=1e-5)


def test_shapes_that_do_not_fit_are_refused():
    for call in (
        lambda: losses.nt_xent(A, B[:3]),
        lambda: losses.info_nce(A, B, where=WHERE[:3]),
        lambda: losses.info_nce(A, B, negatives=QUEUE[:, :2]),
        lambda: losses.nt_xent(A[0], B[0]),
    ):
        with pytest.raises(AssertionError):
            call()


def test_the_examples_in_the_docstrings_run():
    result = doctest.testmod(contrastive, extraglobs={"jnp": jnp})
    assert result.attempted and not result.failed
