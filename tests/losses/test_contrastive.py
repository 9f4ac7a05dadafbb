import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from unsupjax import losses

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


@functools.partial(jax.jit, static_argnames="chunk_size")
def everything(a, b, queue, temperature, where, chunk_size):
    """Losses and accuracies by name, compiled once for all that follows."""
    of, shared = {"temperature": temperature}, {"where": where, "chunk_size": chunk_size}
    return {
        "info_nce": losses.info_nce(a, b, **of, **shared),
        "given": losses.info_nce(a, b, negatives=queue, **of, **shared),
        "moco": losses.moco(a, b, queue, **of, **shared),
        "nt_xent": losses.nt_xent(a, b, **of, **shared),
        "accuracy": losses.contrastive_accuracy(a, b, **shared),
        "given accuracy": losses.contrastive_accuracy(a, b, negatives=queue, **shared),
        "nt_xent accuracy": losses.nt_xent_accuracy(a, b, **shared),
    }


@pytest.mark.parametrize("chunk_size", CHUNKS)
@pytest.mark.parametrize("where", [None, WHERE])
def test_losses_and_accuracies_are_those_of_a_loop(chunk_size, where):
    there = np.ones(9, bool) if where is None else where
    for temperature in (0.5, 0.01):
        found, of = everything(A, NEAR, QUEUE, temperature, where, chunk_size), {"temperature": temperature}
        queue = given(A, NEAR, QUEUE, term, **of) * there
        expected = {
            "info_nce": in_batch(A, NEAR, term, where, **of),
            "given": queue,
            "moco": queue,
            "nt_xent": both_views(A, NEAR, term, where, **of),
            "accuracy": in_batch(A, NEAR, best, where),
            "given accuracy": given(A, NEAR, QUEUE, best) * there,
            "nt_xent accuracy": both_views(A, NEAR, best, where),
        }
        for name, value in found.items():
            np.testing.assert_allclose(value, expected[name], rtol=2e-5, atol=2e-5, err_msg=name)
            assert value.dtype == jnp.float32 and value.shape == (9,)
            assert "accuracy" not in name or 0 < value.mean() < there.mean()


def test_gradients_are_those_of_differences():
    f = jax.jit(lambda a, b, t: losses.nt_xent(a, b, temperature=t, where=WHERE).sum())
    check_grads(f, (A, NEAR, 0.5), order=1, modes=["rev"], rtol=2e-2, atol=1e-2)


def test_tiles_have_the_loss_and_gradient_of_the_whole():
    """To 1e-5, also where the batch is no multiple of the tile."""
    z1, z2 = RNG.normal(size=(2, 50, 8)).astype(np.float32)
    for loss in (losses.nt_xent, losses.info_nce):
        f = lambda a, b, t, chunk_size, loss=loss: loss(a, b, temperature=t, chunk_size=chunk_size).mean()
        run = jax.jit(jax.value_and_grad(f, (0, 1, 2)), static_argnums=3)
        chex.assert_trees_all_close(run(z1, z2, 0.1, 16), run(z1, z2, 0.1, None), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_of_equal_embeddings_the_loss_is_the_logarithm_of_the_candidates(chunk_size):
    z = jnp.tile(jnp.array([[1.0, 2.0, 3.0]]), (5, 1))
    found = everything(z, 7 * z, jnp.tile(z, (3, 1)), 0.1, None, chunk_size)
    for name, candidates in {"nt_xent": 2 * 5 - 1, "info_nce": 5, "moco": 15 + 1}.items():
        np.testing.assert_allclose(found[name], np.log(candidates), rtol=1e-5)
    assert not any(value.any() for name, value in found.items() if "accuracy" in name)


def test_orthogonal_examples_have_the_loss_in_closed_form():
    """Positives at similarity 1 and negatives at 0: log(1 + n exp(-1 / T)), exact where it is tiny."""
    z = jnp.eye(6)
    for temperature in (1.0, 0.1, 0.05):
        found = everything(z, 3 * z, -z, temperature, None, None)
        negative = np.exp(-1 / temperature)
        np.testing.assert_allclose(found["nt_xent"], np.log1p(10 * negative), rtol=1e-4)
        np.testing.assert_allclose(found["info_nce"], np.log1p(5 * negative), rtol=1e-4)
        assert all(np.all(value == 1) for name, value in found.items() if "accuracy" in name)


def test_symmetries():
    f = lambda a, b: everything(a, b, QUEUE, 0.1, None, None)
    loss = f(A, NEAR)
    np.testing.assert_allclose(f(NEAR, A)["nt_xent"], loss["nt_xent"], rtol=1e-5)
    order = RNG.permutation(len(A))
    rotation = np.linalg.qr(RNG.normal(size=(4, 4)))[0].astype(np.float32)
    permuted, turned, scaled = (
        f(A[order], NEAR[order]),
        f(A @ rotation, NEAR @ rotation),
        f(5 * A, 0.01 * NEAR),
    )
    for name in ("nt_xent", "info_nce"):
        np.testing.assert_allclose(permuted[name], loss[name][order], rtol=1e-5)
        np.testing.assert_allclose(turned[name], loss[name], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(scaled[name], loss[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_examples_that_are_not_there_have_no_effect(chunk_size):
    """With anything in their place, NaN even, loss and gradient are those of the others alone."""
    a, b = (np.where(WHERE[:, None], x, np.nan) for x in (A, NEAR))
    for loss in (losses.nt_xent, losses.info_nce):
        f = lambda a, b, where, loss=loss: loss(a, b, where=where, chunk_size=chunk_size).sum()
        run = jax.jit(jax.value_and_grad(f, (0, 1)))
        value, grads = run(a, b, WHERE)
        alone, expected = jax.jit(jax.value_and_grad(f, (0, 1)))(A[WHERE], NEAR[WHERE], None)
        np.testing.assert_allclose(value, alone, rtol=1e-5)
        for grad, right in zip(grads, expected, strict=True):
            np.testing.assert_allclose(grad[WHERE], right, rtol=1e-4, atol=1e-6)
            np.testing.assert_array_equal(grad[~WHERE], 0)
        value, grads = run(a, b, np.zeros(9, bool))
        assert value == 0 and not any(np.asarray(g).any() for g in grads)


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_one_example_alone_has_no_loss(chunk_size):
    for loss in (losses.nt_xent, losses.info_nce):
        f = lambda a, g=loss: g(a, NEAR[:1], chunk_size=chunk_size).sum()
        value, grad = jax.jit(jax.value_and_grad(f))(A[:1])
        assert value == 0 and not np.asarray(grad).any()
    assert losses.nt_xent_accuracy(A[:1], NEAR[:1], chunk_size=chunk_size) == 1


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_zero_vectors_and_a_low_temperature_are_finite(chunk_size):
    a = jnp.asarray(A, jnp.bfloat16).at[2].set(0)
    b = jnp.asarray(B, jnp.bfloat16).at[2:4].set(0)

    @functools.partial(jax.value_and_grad, argnums=(0, 1, 2), has_aux=True)
    def run(a, b, t):
        of = {"temperature": t, "chunk_size": chunk_size}
        each = (
            losses.nt_xent(a, b, **of),
            losses.info_nce(a, b, **of),
            losses.moco(a, b, jnp.zeros((3, 4)), **of),
        )
        return sum(value.sum() for value in each), each

    (total, each), grads = jax.jit(run)(a, b, 0.01)
    assert np.isfinite(total) and all(value.dtype == jnp.float32 for value in each)
    assert all(np.isfinite(np.asarray(g, np.float32)).all() for g in grads)
    # Of bfloat16 the loss is that of the same numbers in float32.
    (exact, _), grads = jax.jit(run)(a.astype(jnp.float32), b.astype(jnp.float32), 0.01)
    np.testing.assert_allclose(total, exact, rtol=1e-6)
    assert all(np.isfinite(g).all() for g in grads)


def test_the_queue_and_its_keys_are_constants():
    grads = jax.jit(jax.grad(lambda *a: losses.moco(*a).sum(), (0, 1, 2)))(A, NEAR, QUEUE)
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
    @chex.variants(with_jit=True, without_jit=True)
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


@pytest.mark.parametrize("temperature", [0, 0.0, -1.0, float("nan")])
def test_a_temperature_must_be_above_zero(temperature):
    with pytest.raises(ValueError, match=r"temperature=.* must be above 0"):
        losses.nt_xent(jnp.eye(2), jnp.eye(2), temperature=temperature)
