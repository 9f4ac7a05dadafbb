"""Attention against a loop over heads and tokens; a cache gives what the whole sequence gives; what none may see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.models.transformer import Transformer, drawn, rope

TOKENS = jax.random.randint(jax.random.key(1), (3, 12), 2, 11)
SMALL = {"vocabulary": 11, "length": 12, "width": 16, "depth": 2, "heads": 2, "zero_init": False}


def made(**changes):
    network = Transformer(**SMALL | changes)
    params = network.init(jax.random.key(0), TOKENS, method="both")["params"]
    # Norms' scales start at 1 and biases at 0: as drawn numbers, none can be left out unseen.
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    leaves = [x + 0.3 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    return network, jax.tree.unflatten(tree, leaves)


def norm(x, p):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * np.asarray(p["scale"], np.float64)


def turned(x, position):
    half = len(x) // 2
    z = (x[:half] + 1j * x[half:]) * np.exp(1j * position * 10_000.0 ** (-np.arange(half) / half))
    return np.concatenate([z.real, z.imag])


def loop(params, tokens, segments=None, causal=True):
    """Float64, a head and a token at a time."""
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    x = p["embed"]["embedding"][np.asarray(tokens)]
    t, width, heads = len(x), x.shape[1], SMALL["heads"]
    for i in range(SMALL["depth"]):
        b = p[f"block{i}"]
        q, k, v = (norm(x, b["norm1"]) @ b["qkv"]["kernel"]).reshape(t, 3, heads, -1).transpose(1, 2, 0, 3)
        y = np.zeros((t, heads, width // heads))
        for h in range(heads):
            unit = lambda a: a / np.sqrt((a * a).mean() + 1e-6)
            qs, ks = ([turned(unit(a), n) for n, a in enumerate(part[h])] for part in (q, k))
            for n in range(t):
                seen = [
                    m
                    for m in range(t)
                    if (m <= n or not causal) and (segments is None or segments[m] == segments[n])
                ]
                scores = np.exp([qs[n] @ ks[m] / np.sqrt(len(qs[n])) for m in seen])
                y[n, h] = sum(s * v[h, m] for s, m in zip(scores / scores.sum(), seen, strict=True))
        x = x + y.reshape(t, width) @ b["attended"]["kernel"]
        hidden = np.maximum(norm(x, b["norm2"]) @ b["hidden"]["kernel"], 0) ** 2
        x = x + hidden @ b["output"]["kernel"]
    return norm(x, p["last"]) @ p["head"]["kernel"]


@pytest.mark.parametrize("causal", [True, False])
def test_logits_are_those_of_a_loop(causal):
    network, params = made(causal=causal)
    logits = network.apply({"params": params}, TOKENS, method="both")
    assert logits.dtype == jnp.float32
    for row, tokens in zip(logits, TOKENS, strict=True):
        np.testing.assert_allclose(row, loop(params, tokens, causal=causal), rtol=2e-4, atol=2e-4)
    segments = jnp.array([0] * 5 + [1] * 7)
    logits = network.apply(
        {"params": params}, TOKENS, jnp.broadcast_to(segments, TOKENS.shape), method="both"
    )
    np.testing.assert_allclose(logits[0], loop(params, TOKENS[0], segments, causal), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "positions": "learned",
            "norm": "layer",
            "mlp": "gelu",
            "qk_norm": False,
            "bias": True,
            "tied": True,
        },
        {"mlp": "swiglu", "remat": True},
    ],
)
def test_a_cache_gives_what_the_whole_sequence_gives(changes):
    network, params = made(**changes)
    apply = jax.jit(
        lambda *args, method: network.apply({"params": params}, *args, method=method),
        static_argnames="method",
    )
    whole = apply(TOKENS, method="both")
    for prompt in (1, 5):
        cache = apply(TOKENS[:, :prompt], method="prefill")
        for n in range(prompt, 12):
            np.testing.assert_allclose(cache.logits, whole[:, n - 1], rtol=1e-4, atol=1e-5)
            cache = apply(cache, TOKENS[:, n], method="extend")
        assert cache.length == 12
        np.testing.assert_allclose(cache.logits, whole[:, -1], rtol=1e-4, atol=1e-5)


LIKE_BERT = {
    "positions": "learned",
    "norm": "layer",
    "mlp": "gelu_exact",
    "post_norm": True,
    "transform": True,
}


@pytest.mark.parametrize("changes", [{}, LIKE_BERT], ids=["usual", "bert"])
def test_texts_of_different_lengths_go_on_together_as_each_alone(changes):
    network, params = made(**changes)
    apply = jax.jit(
        lambda *args, method: network.apply({"params": params}, *args, method=method),
        static_argnames="method",
    )
    whole = apply(TOKENS, method="both")
    lengths = np.array([6, 1, 4])
    prompts = np.stack([np.r_[np.full(6 - n, 9), row[:n]] for n, row in zip(lengths, TOKENS, strict=True)])
    cache = apply(jnp.array(prompts), jnp.array(lengths), method="prefill")
    for more in range(6):
        expected = whole[jnp.arange(3), lengths + more - 1]
        np.testing.assert_allclose(cache.logits, expected, rtol=1e-5, atol=1e-5)
        cache = apply(cache, TOKENS[jnp.arange(3), lengths + more], method="extend")
    np.testing.assert_array_equal(cache.start, 6 - lengths)


def test_no_token_sees_one_after_it_in_value_or_gradient():
    network, params = made()
    embedded = jax.random.normal(jax.random.key(3), (1, 12, 16))

    def logits(x):
        bound = network.bind({"params": params})
        for block in bound.blocks:
            x, _ = block(x, jnp.arange(12), None, True)
        return bound.logits(bound.last(x))[0].sum(-1)

    reached = np.abs(jax.jacrev(logits)(embedded)[:, 0]).sum(-1) > 0
    np.testing.assert_array_equal(reached, np.tril(np.ones((12, 12), bool)))


def test_documents_of_a_row_are_as_each_alone():
    network, params = made()
    apply = lambda *args: network.apply({"params": params}, *args, method="both")
    segments = jnp.array([[0] * 5 + [1] * 7] * 3)
    together = apply(TOKENS, segments)
    np.testing.assert_allclose(together[:, :5], apply(TOKENS[:, :5]), rtol=1e-4, atol=1e-5)
    # Rotary positions are relative: the second document may begin anywhere.
    np.testing.assert_allclose(together[:, 5:], apply(TOKENS[:, 5:]), rtol=2e-3, atol=2e-4)


def test_rotary_products_are_of_distances_alone():
    q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))
    product = lambda a, b: (rope(q, jnp.array([a])) * rope(k, jnp.array([b]))).sum()
    np.testing.assert_allclose(product(3, 7), product(103, 107), rtol=1e-4)
    assert abs(product(3, 7) - product(3, 8)) > 1e-3


def test_draws():
    logits = jnp.log(jnp.array([[0.5, 0.3, 0.15, 0.05]] * 4000))
    of = lambda *how: np.bincount(drawn(logits, jax.random.key(0), *how), minlength=4) / 4000
    np.testing.assert_allclose(of(1.0, 0, 1.0), [0.5, 0.3, 0.15, 0.05], atol=0.03)
    np.testing.assert_allclose(of(1.0, 2, 1.0), [0.625, 0.375, 0, 0], atol=0.03)
    np.testing.assert_allclose(of(1.0, 0, 0.75), [0.625, 0.375, 0, 0], atol=0.03)
    np.testing.assert_allclose(of(0.5, 0, 1.0), np.array([25, 9, 2.25, 0.25]) / 36.5, atol=0.03)
    np.testing.assert_allclose(of(0.0, 0, 1.0), [1, 0, 0, 0])


def test_bad_fields():
    for changes, message in (
        ({"heads": 3}, "3 heads do not divide"),
        ({"mlp": "relu"}, "unknown mlp 'relu'"),
    ):
        with pytest.raises(ValueError, match=message):
            made(**changes)
