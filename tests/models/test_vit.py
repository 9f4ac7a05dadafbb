import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import models
from unsupjax.models.vit import sincos_positions

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 8, 12, 2)).astype(np.float32)
TINY = {"patch_size": 4, "width": 8, "depth": 2, "heads": 2, "mlp_ratio": 1.5}


def dense(x, p):
    return x @ p["kernel"] + p["bias"]


def layer_norm(x, p):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def attention(x, p, heads):
    """One query at a time."""
    width = x.shape[-1]
    size = width // heads
    qkv, out = dense(x, p), np.empty_like(x)
    for b in range(len(x)):
        for h in range(heads):
            q, k, v = (qkv[b, :, i * width + h * size : i * width + (h + 1) * size] for i in range(3))
            for t, query in enumerate(q):
                weights = np.exp(k @ query / math.sqrt(size))
                out[b, t, h * size : (h + 1) * size] = weights @ v / weights.sum()
    return out


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def reference(params, x, pool, positions):
    patches = [
        x[:, 4 * r : 4 * r + 4, 4 * c : 4 * c + 4].reshape(len(x), -1) for r in range(2) for c in range(3)
    ]
    x = dense(np.stack(patches, 1), params["patches"]) + positions
    if pool == "token":
        x = np.concatenate([np.broadcast_to(params["token"], (len(x), 1, 8)), x], axis=1)
    for i in range(2):
        p = params[f"block{i}"]
        x = x + dense(attention(layer_norm(x, p["LayerNorm_0"]), p["qkv"], 2), p["attended"])
        x = x + dense(gelu(dense(layer_norm(x, p["LayerNorm_1"]), p["hidden"])), p["output"])
    x = layer_norm(x, params["LayerNorm_0"])
    return x[:, 0] if pool == "token" else x.mean(1)


@pytest.mark.parametrize("pool, positions", [("token", "learned"), ("mean", "sincos")])
def test_it_is_that_of_loops(pool, positions):
    module = models.ViT(**TINY, pool=pool, positions=positions)
    params = jax.eval_shape(module.init, jax.random.key(0), X)["params"]
    params = jax.tree.map(lambda x: RNG.normal(size=x.shape).astype(np.float32), params)
    where = params["positions"] if positions == "learned" else np.asarray(sincos_positions(2, 3, 8))
    expected = reference(jax.tree.map(np.float64, params), X.astype(float), pool, where)
    output = jax.jit(lambda p, x: module.apply({"params": p}, x, train=True))(params, X)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=3e-6)


def test_the_number_of_parameters_is_the_published_one():
    """5,717,416 of ViT-Ti/16 at 224, less its last layer and the position of its class token."""
    module = models.ViT(patch_size=16, positions="learned")
    variables = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    count = sum(x.size for x in jax.tree.leaves(variables))
    assert (
        count + 192 == 5_717_416 - 193 * 1000
    )  # its class token has a position too, which adds up to one vector


def test_positions_are_sines_and_cosines_of_column_and_row():
    table = np.asarray(sincos_positions(2, 3, 12))
    for row in range(2):
        for column in range(3):
            angles = [n / 10000 ** (k / 3) for n in (column, row) for k in range(3)]
            parts = (f(a) for axis in (angles[:3], angles[3:]) for f in (math.sin, math.cos) for a in axis)
            np.testing.assert_allclose(table[3 * row + column], list(parts), rtol=1e-5, atol=1e-6)


def test_frozen_patches_have_no_gradient_and_the_rest_has():
    module = models.ViT(**TINY | {"depth": 1}, freeze_patches=True)
    params = jax.jit(module.init)(jax.random.key(0), X)["params"]
    assert "frozen_patches" in params and "patches" not in params
    grads = jax.jit(jax.grad(lambda p: jnp.square(module.apply({"params": p}, X))[:, 0].sum()))(params)
    frozen = grads.pop("frozen_patches")
    assert all(not x.any() for x in jax.tree.leaves(frozen))
    assert all(np.abs(x["kernel"]).max() > 0 for x in grads["block0"].values() if "kernel" in x)


def test_bfloat16_leaves_the_parameters_in_float32():
    module = models.ViT(**TINY, dtype=jnp.bfloat16)
    output, variables = jax.eval_shape(lambda x: module.init_with_output(jax.random.key(0), x), X)
    assert output.dtype == jnp.bfloat16
    assert {x.dtype for x in jax.tree.leaves(variables)} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    "changes, shape, message",
    [
        ({}, (2, 28, 30, 1), "patches of side 4 do not tile images of 28 x 30"),
        ({"patch_size": 0}, (2, 8, 8, 1), "patch_size=0 must be at least 1"),
        ({"heads": 3}, (2, 8, 8, 1), "3 heads do not divide a width of 8"),
        ({"width": 6}, (2, 8, 8, 1), "need a width that 4 divides, and got 6"),
        ({"pool": "max"}, (2, 8, 8, 1), "unknown pool 'max'; one of token, mean"),
        ({"positions": "rotary"}, (2, 8, 8, 1), "unknown positions 'rotary'; one of sincos, learned"),
        ({}, (2, 64), "a ViT needs images"),
    ],
)
def test_what_is_refused(changes, shape, message):
    with pytest.raises(ValueError, match=message):
        models.ViT(**TINY | changes).init(jax.random.key(0), jnp.zeros(shape))
