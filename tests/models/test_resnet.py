import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import models

RNG = np.random.default_rng(0)


def counts(module, shape):
    variables = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *shape)))
    return sum(x.size for x in jax.tree.leaves(variables["params"]))


def randomly(variables):
    """Every parameter and statistic drawn anew, so that none hides at 0 or 1; variances stay positive."""
    return jax.tree.map(lambda x: (0.3 + RNG.uniform(size=x.shape)).astype(np.float32), variables)


def conv(x, kernel, stride):
    """PyTorch's convolution with a padding of size // 2, by loops over output pixels."""
    size = kernel.shape[0]
    pad = size // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows, columns = ((n - size) // stride + 1 for n in x.shape[1:3])
    y = np.empty((len(x), rows, columns, kernel.shape[3]))
    for r in range(rows):
        for c in range(columns):
            patch = x[:, stride * r : stride * r + size, stride * c : stride * c + size]
            y[:, r, c] = np.tensordot(patch, kernel, 3)
    return y


def pool(x):
    """The maximum over 3x3 with stride 2 and one pixel of padding."""
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    rows, columns = ((n - 3) // 2 + 1 for n in x.shape[1:3])
    windows = [
        [x[:, 2 * r : 2 * r + 3, 2 * c : 2 * c + 3].max((1, 2)) for c in range(columns)] for r in range(rows)
    ]
    return np.array(windows).transpose(2, 0, 1, 3)


class Reference:
    """The network in numpy, float64, reading the Linen variables in the order in which layers were made."""

    def __init__(self, variables, train):
        self.variables, self.train, self.moved = variables, train, {}

    def norm(self, x, *path):
        p, s = self.variables["params"], self.variables["batch_stats"]
        for name in path:
            p, s = p[name], s[name]
        mean, var = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if self.train else (s["mean"], s["var"])
        self.moved[path] = (0.9 * s["mean"] + 0.1 * mean, 0.9 * s["var"] + 0.1 * var)
        return (x - mean) / np.sqrt(var + 1e-5) * p["scale"] + p["bias"]

    def block(self, x, name, strides):
        p, y = self.variables["params"][name], x
        for i, stride in enumerate(strides):
            y = self.norm(conv(y, p[f"Conv_{i}"]["kernel"], stride), name, f"BatchNorm_{i}")
            y = y if i == len(strides) - 1 else np.maximum(y, 0)
        if x.shape != y.shape:
            i = len(strides)
            x = self.norm(conv(x, p[f"Conv_{i}"]["kernel"], max(strides)), name, f"BatchNorm_{i}")
        return np.maximum(x + y, 0)

    def resnet(self, x, block, stem, sizes):
        x = conv(x, self.variables["params"]["Conv_0"]["kernel"], 1 if stem == "cifar" else 2)
        x = np.maximum(self.norm(x, "BatchNorm_0"), 0)
        x = pool(x) if stem == "imagenet" else x
        for stage, blocks in enumerate(sizes):
            for i in range(blocks):
                stride = 2 if stage and not i else 1
                strides = (stride, 1) if block == "basic" else (1, stride, 1)
                x = self.block(x, f"stage{stage}_block{i}", strides)
        return x.mean((1, 2))


@pytest.mark.parametrize(
    "block, stem, size",
    [("basic", "cifar", (6, 5)), ("basic", "half", (7, 8)), ("bottleneck", "imagenet", (11, 9))],
)
def test_it_is_that_of_loops(block, stem, size):
    """Output and running statistics, in training and after, of blocks with and without a 1x1 shortcut."""
    module = models.ResNet((2, 1), block, 2, stem)
    x = RNG.normal(size=(3, *size, 2)).astype(np.float32)
    variables = randomly(jax.eval_shape(module.init, jax.random.key(0), x))

    @jax.jit
    def both(variables, x):
        return module.apply(variables, x), module.apply(variables, x, train=True, mutable=["batch_stats"])

    evaluated, (trained, moved) = both(variables, x)
    for train, output in ((False, evaluated), (True, trained)):
        reference = Reference(variables, train)
        expected = reference.resnet(x.astype(float), block, stem, (2, 1))
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4)
    for path, (mean, var) in reference.moved.items():
        statistics = moved["batch_stats"]
        for name in path:
            statistics = statistics[name]
        np.testing.assert_allclose(statistics["mean"], mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(statistics["var"], var, rtol=1e-4, atol=1e-5)


def test_the_numbers_of_parameters_are_the_published_ones():
    """torchvision's resnet18 and resnet50 less their last layer; with the small stem 3x3 instead of 7x7."""
    assert counts(models.resnet18(stem="imagenet"), (224, 224, 3)) == 11_689_512 - 513 * 1000 == 11_176_512
    assert counts(models.resnet50(stem="imagenet"), (224, 224, 3)) == 25_557_032 - 2049 * 1000 == 23_508_032
    assert counts(models.resnet18(), (32, 32, 3)) == 11_176_512 - (49 - 9) * 3 * 64


@pytest.mark.parametrize("stem", ["cifar", "half", "imagenet"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (8, 8, 1), (28, 28, 1), (33, 47, 3)])
def test_images_of_any_size(stem, shape):
    for factory, features in ((models.resnet18, 8), (models.resnet50, 32)):
        module = factory(width=4, stem=stem)
        output = jax.eval_shape(
            lambda x, m=module: m.init_with_output(jax.random.key(0), x)[0], jnp.zeros((2, *shape))
        )
        assert output.shape == (2, 4 * features) and output.dtype == jnp.float32


def test_the_small_stem_keeps_the_resolution():
    def shapes(stem):
        module = models.resnet18(width=4, stem=stem)
        x = jnp.zeros((1, 32, 32, 3))
        init = lambda: module.init_with_output(jax.random.key(0), x, capture_intermediates=True)[1]
        made = jax.eval_shape(init)["intermediates"]
        return [made[f"stage{i}_block1"]["__call__"][0].shape[1] for i in range(4)]

    assert shapes("cifar") == [32, 16, 8, 4]
    assert shapes("half") == [16, 8, 4, 2]
    assert shapes("imagenet") == [8, 4, 2, 1]


@pytest.mark.parametrize(
    "block, zero_init, last", [("basic", False, "BatchNorm_1"), ("bottleneck", True, "BatchNorm_2")]
)
def test_how_parameters_start(block, zero_init, last):
    """Kernels as He normal by fan-out, gamma as 1, or 0 where it is the last of a block and zero_init says so."""
    module = models.ResNet((1,), block, 64, zero_init=zero_init)
    params = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 2, 2, 1)))["params"]
    first = params["stage0_block0"]
    norms = {k: v for k, v in first.items() if "BatchNorm" in k}
    np.testing.assert_array_equal(norms.pop(last)["scale"], 0 if zero_init else 1)
    for other in (params["BatchNorm_0"], *norms.values()):
        np.testing.assert_array_equal(other["scale"], 1)
    kernel = np.asarray(first["Conv_1"]["kernel"])  # 3 x 3 x 64 x 64
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 64)), rtol=0.02)
    assert np.abs(kernel).max() > 3 * kernel.std()  # not truncated
    stem = params["Conv_0"]["kernel"]  # one channel in, 64 out
    np.testing.assert_allclose(np.std(stem), np.sqrt(2 / (9 * 64)), rtol=0.1)


def test_statistics_are_float32_under_bfloat16():
    """Sums of bfloat16 numbers near 200, of which that format has but two, keep two digits."""
    module = models.CNN((4,), dtype=jnp.bfloat16)
    x = jnp.asarray(200 + RNG.uniform(size=(4, 6, 6, 1)), jnp.bfloat16)
    variables = jax.jit(module.init)(jax.random.key(0), x)
    output, moved = module.apply(variables, x, train=True, mutable=["batch_stats"])
    assert output.dtype == jnp.bfloat16
    dtypes = {a.dtype for a in jax.tree.leaves((variables, moved))}
    assert dtypes == {np.dtype(np.float32)}
    kernel = np.asarray(variables["params"]["Conv_0"]["kernel"].astype(jnp.bfloat16), float)
    hidden = np.asarray(jnp.asarray(conv(np.asarray(x, float), kernel, 1), jnp.bfloat16), float)
    mean = np.asarray(moved["batch_stats"]["BatchNorm_0"]["mean"])
    np.testing.assert_allclose(mean, 0.1 * hidden.mean((0, 1, 2)), rtol=1e-3)


@pytest.mark.parametrize(
    "module",
    [
        models.ResNet((1,), "basic", 2, axis_name="data"),
        models.CNN((2, 3), axis_name="data"),
        models.ProjectionHead((4, 3), last_norm=True, axis_name="data"),
    ],
    ids=["resnet", "cnn", "head"],
)
def test_statistics_are_of_the_global_batch(module):
    """Output, running statistics and gradient of four devices are those of one."""
    shape = (8, 5) if isinstance(module, models.ProjectionHead) else (8, 4, 4, 1)
    x = RNG.normal(size=shape).astype(np.float32)
    alone = module.clone(axis_name=None)
    variables = randomly(jax.eval_shape(alone.init, jax.random.key(0), x))
    weights = RNG.normal(size=(8, jax.eval_shape(alone.apply, variables, x).shape[1])).astype(np.float32)

    def value(params, module, x, weights):
        bound = {"params": params, "batch_stats": variables["batch_stats"]}
        output, moved = module.apply(bound, x, train=True, mutable=["batch_stats"])
        return (output * weights).sum(), (output, moved)

    def shard(params, x, weights):
        grads, (output, moved) = jax.grad(value, has_aux=True)(params, module, x, weights)
        return jax.lax.psum(grads, "data"), output, moved

    params = variables.get("params", {})
    devices = jax.devices()[:4]
    split = lambda a: a.reshape(4, 2, *a.shape[1:])
    grads, output, moved = jax.pmap(shard, "data", in_axes=(None, 0, 0), devices=devices)(
        params, split(x), split(weights)
    )
    alone_grads, (alone_output, alone_moved) = jax.jit(jax.grad(value, has_aux=True), static_argnums=1)(
        params, alone, x, weights
    )
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    close(output.reshape(8, -1), alone_output)
    for i in (0, 3):
        jax.tree.map(lambda a, b, i=i: close(a[i], b), (grads, moved), (alone_grads, alone_moved))


def test_what_a_config_can_hold():
    fields = {n: p.default for n, p in inspect.signature(models.resnet18).parameters.items()}
    fields = {n: v for n, v in fields.items() if v is not None}
    assert fields == {"width": 64, "stem": "cifar", "zero_init": True, "norm_momentum": 0.9}
    assert models.resnet18(norm_momentum=0.5).norm_momentum == 0.5
    assert models.resnet50(width=8, axis_name="data").axis_name == "data"


@pytest.mark.parametrize(
    "module, shape, message",
    [
        (models.ResNet(block="wide"), (2, 8, 8, 3), "unknown block 'wide'; one of basic, bottleneck"),
        (models.ResNet(stem="mnist"), (2, 8, 8, 3), "unknown stem 'mnist'; one of cifar, half, imagenet"),
        (models.resnet18(), (2, 64), r"a ResNet needs images \[B, H, W, C\] and got shape \(2, 64\)"),
        (models.CNN(), (2, 8, 8), r"a CNN needs images"),
    ],
)
def test_what_is_refused(module, shape, message):
    with pytest.raises(ValueError, match=message):
        module.init(jax.random.key(0), jnp.zeros(shape))
