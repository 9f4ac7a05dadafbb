import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import models

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 5)).astype(np.float32)


def normalised(x):
    return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("last_norm", [False, True])
def test_it_is_that_of_numpy(batch_norm, last_norm):
    """Biases without batch norm alone, gamma and beta after hidden layers alone."""
    module = models.ProjectionHead((7, 4, 3), batch_norm=batch_norm, last_norm=last_norm)
    variables = jax.eval_shape(module.init, jax.random.key(0), X)
    draw = lambda x: RNG.normal(size=x.shape).astype(np.float32)
    params = jax.tree.map(draw, variables["params"])
    dense = {"kernel"} if batch_norm else {"kernel", "bias"}
    norms = {"BatchNorm_0": {"scale", "bias"}, "BatchNorm_1": {"scale", "bias"}} if batch_norm else {}
    assert {k: set(v) for k, v in params.items()} == {f"Dense_{i}": dense for i in range(3)} | norms
    x = X.astype(float)
    for i in range(3):
        x = x @ params[f"Dense_{i}"]["kernel"] + params[f"Dense_{i}"].get("bias", 0)
        if i < 2:
            if batch_norm:
                p = params[f"BatchNorm_{i}"]
                x = normalised(x) * p["scale"] + p["bias"]
            x = np.maximum(x, 0)
    x = normalised(x) if last_norm else x
    bound = {name: jax.tree.map(draw, tree) for name, tree in variables.items()} | {"params": params}
    output = jax.jit(lambda bound: module.apply(bound, X, train=True, mutable=["batch_stats"])[0])(bound)
    np.testing.assert_allclose(output, x, rtol=1e-4, atol=1e-4)
    assert ("batch_stats" in variables) is (batch_norm or last_norm)


def test_running_statistics_move_in_training_and_serve_in_evaluation():
    module = models.ProjectionHead((3,), last_norm=True, norm_momentum=0.5)
    variables = jax.jit(module.init)(jax.random.key(0), X)
    hidden = X @ np.asarray(variables["params"]["Dense_0"]["kernel"])
    trained = lambda v: module.apply(v, X, train=True, mutable=["batch_stats"])
    _, moved = jax.jit(trained)(variables)
    mean, var = 0.5 * hidden.mean(0), 0.5 + 0.5 * hidden.var(0)
    statistics = moved["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(statistics["mean"], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(statistics["var"], var, rtol=1e-4)
    output, unmoved = jax.jit(lambda v: module.apply(v, X, mutable=["batch_stats"]))(variables | moved)
    np.testing.assert_allclose(output, (hidden - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, unmoved, moved)


def test_a_head_without_layers_is_the_identity():
    module = models.ProjectionHead(())
    assert not module.init(jax.random.key(0), X)
    np.testing.assert_array_equal(module.apply({}, X), X)


def test_bfloat16_keeps_its_norm_in_float32():
    """Rows around 1000 that differ by 1: their variance is lost where sums are of bfloat16."""
    module = models.ProjectionHead((), last_norm=True, dtype=jnp.bfloat16)
    x = jnp.tile(jnp.asarray([[1000.0], [1008.0]], jnp.bfloat16), (64, 1))
    variables = module.init(jax.random.key(0), x)
    output, moved = module.apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(np.asarray(output[:2, 0], np.float32), [-1, 1], rtol=1e-2)
    np.testing.assert_allclose(moved["batch_stats"]["BatchNorm_0"]["mean"], 100.4, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(models.ENCODERS))
def test_every_encoder_is_called_alike(name):
    small = {
        "mlp": {"features": (4,)},
        "conv": {"features": (8,)},
        "cnn": {"features": (4, 8)},
        "resnet": {"stage_sizes": (1, 1), "width": 2},
        "resnet18": {"width": 2},
        "resnet50": {"width": 2},
        "vit": {"width": 8, "depth": 1, "heads": 2},
    }
    module = models.ENCODERS[name](**small[name], dtype=jnp.float32)
    x = jnp.zeros((2, 8, 8, 1))
    variables = jax.eval_shape(module.init, jax.random.key(0), x)
    for train in (False, True):
        output, moved = jax.eval_shape(
            lambda v, x, t=train: module.apply(v, x, train=t, mutable=["batch_stats"]), variables, x
        )
        assert output.ndim == 2 and len(output) == 2 and output.dtype == jnp.float32
    assert ("batch_stats" in variables) is hasattr(module, "axis_name")
    assert jax.tree.structure(moved.get("batch_stats")) == jax.tree.structure(variables.get("batch_stats"))


def test_a_small_cnn_averages_over_pixels():
    """Strides of 1 and 2, no padding of size: 5 x 5 to 5 x 5 to 3 x 3."""
    module = models.CNN((2, 3))
    x = RNG.normal(size=(2, 5, 5, 1)).astype(np.float32)
    variables = jax.jit(module.init)(jax.random.key(0), x)
    output, made = jax.jit(lambda v: module.apply(v, x, capture_intermediates=True))(variables)
    made = made["intermediates"]
    assert [made[f"Conv_{i}"]["__call__"][0].shape[1:] for i in (0, 1)] == [(5, 5, 2), (3, 3, 3)]
    last = np.maximum(made["BatchNorm_1"]["__call__"][0], 0)
    np.testing.assert_allclose(output, last.mean((1, 2)), rtol=1e-5)
