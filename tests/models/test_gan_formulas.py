import jax
import numpy as np
import pytest
from drawn import drawing

from unsupjax import models
from unsupjax.models.convolve import convolve, convolve_transposed
from unsupjax.models.gan.labels import LabelledBatchNorm, Logit
from unsupjax.models.gan.r3gan import downsample, upsample

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
Z = RNG.normal(size=(4, 5)).astype(np.float32)
LABEL = np.array([0, 2, 1, 2])
images, made = drawing(RNG, KEY)


def test_vectors_are_taken_as_they_are():
    module = models.MLPDiscriminator((4,))
    x = RNG.normal(size=(3, 2)).astype(np.float32)
    variables = made(module, x)
    p = variables["params"]
    h = x @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"]
    h = np.where(h > 0, h, 0.2 * h)
    np.testing.assert_allclose(module.apply(variables, x, features=True), h, rtol=1e-5, atol=1e-6)
    out = p["Logit_0"]["output"]
    np.testing.assert_allclose(module.apply(variables, x), (h @ out["kernel"] + out["bias"])[:, 0], rtol=1e-4)
    x = jax.eval_shape(lambda: models.MLPGenerator((7,)).init_with_output(KEY, Z)[0])
    assert x.shape == (4, 7)
    z = models.MLPGenerator((7,), (6,))
    assert np.abs(z.apply(made(z, Z), 9 * Z)).max() > 1  # the identity has no bounds


def test_kernels_of_dcgan_start_small():
    for module, x in (
        (models.DCGANGenerator((8, 8, 3)), Z),
        (models.DCGANDiscriminator(), images(1, (16, 16, 3))),
    ):
        params = jax.jit(module.init)(KEY, x)["params"]
        kernels = [v["kernel"] for k, v in params.items() if "kernel" in v]
        assert len(kernels) == 2
        for kernel in kernels:
            np.testing.assert_allclose(np.std(kernel), 0.02, rtol=0.05)
            np.testing.assert_allclose(np.mean(kernel), 0, atol=0.002)


@pytest.mark.parametrize("spectral", [False, True])
def test_the_projection(spectral):
    module, h = Logit(3, spectral), RNG.normal(size=(4, 6)).astype(np.float32)
    variables = made(module, h, LABEL)
    p = variables["params"]
    w, e = p["output"]["kernel"], p["embedding"]["kernel"]
    if spectral:
        s = variables["spectral"]
        w, e = (k / (s[n]["u"] @ k @ s[n]["v"]) for n, k in (("output", w), ("embedding", e)))
    expected = [h[i] @ w[:, 0] + p["output"]["bias"][0] + e[y] @ h[i] for i, y in enumerate(LABEL)]
    np.testing.assert_allclose(module.apply(variables, h, LABEL), expected, rtol=1e-4, atol=1e-5)


def test_labelled_batch_norm():
    """One mean and variance whatever the class; gamma and beta of the class."""
    module, x = LabelledBatchNorm(3), RNG.normal(size=(4, 3, 3, 2), loc=2).astype(np.float32)
    variables = made(module, x, LABEL)
    p = variables["params"]
    normalised = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
    expected = normalised * p["scale"][LABEL][:, None, None] + p["bias"][LABEL][:, None, None]
    output, _ = module.apply(variables, x, LABEL, True, mutable=["batch_stats"])
    np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-4)
    first = module.init(KEY, x, LABEL)["params"]
    assert (first["scale"] == 1).all() and (first["bias"] == 0).all()


def relu(x, slope=0.0):
    return np.where(x > 0, x, slope * x)


def normed(x, params, stats):
    return (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * params["scale"] + params["bias"]


def layer(params, *vectors):
    """A plain layer by its kernel's axes, or a spectral one where there are vectors: 1x1, 3x3, or 4x4 with stride 2."""
    kernel, bias = np.asarray(params["kernel"]), params.get("bias", 0)
    if vectors:
        u, v = (np.asarray(vectors[0][k]) for k in "uv")
        kernel = kernel / (u @ kernel.reshape(len(u), len(v)) @ v)
    if kernel.ndim == 2:
        return lambda x: x @ kernel + bias
    conv = jax.jit(convolve, static_argnums=(2, 3))
    return lambda x: (
        np.asarray(conv(x, kernel, 1 + (len(kernel) == 4), x.shape[-1] // kernel.shape[2])) + bias
    )


def pooled(x):
    return x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).mean((2, 4))


def nearest(x):
    return np.repeat(np.repeat(x, 2, 1), 2, 2)


def agree(module, variables, inputs, expected):
    np.testing.assert_allclose(jax.jit(module.apply)(variables, inputs), expected, rtol=2e-3, atol=2e-3)


def test_dcgan_is_that_of_numpy():
    module = models.DCGANGenerator((16, 16, 1), 2, dense=(6,))
    v = made(module, Z)
    p, s = v["params"], v["batch_stats"]
    x = relu(normed(Z @ p["Dense_0"]["kernel"], p["BatchNorm_0"], s["BatchNorm_0"]))
    x = relu(normed((x @ p["Dense_1"]["kernel"]).reshape(4, 4, 4, 4), p["BatchNorm_1"], s["BatchNorm_1"]))
    x = np.asarray(convolve_transposed(x, p["ConvTranspose_0"]["kernel"]))
    x = relu(normed(x, p["BatchNorm_2"], s["BatchNorm_2"]))
    x = np.asarray(convolve_transposed(x, p["ConvTranspose_1"]["kernel"])) + p["ConvTranspose_1"]["bias"]
    agree(module, v, Z, (np.tanh(x) + 1) / 2)
    module, x = models.DCGANDiscriminator(2, dense=(6,)), images(4, (16, 16, 1))
    v = made(module, x)
    p, s = v["params"], v["batch_stats"]
    h = relu(layer(p["Conv_0"])(2 * x - 1), 0.2)
    h = relu(normed(layer(p["Conv_1"])(h), p["BatchNorm_0"], s["BatchNorm_0"]), 0.2)
    h = relu(normed(h.reshape(4, -1) @ p["Dense_0"]["kernel"], p["BatchNorm_1"], s["BatchNorm_1"]), 0.2)
    agree(module, v, x, layer(p["Logit_0"]["output"])(h)[:, 0])


def test_sngan_is_that_of_numpy():
    """The last norm of a conditional generator is that of all classes."""
    module = models.SNGANGenerator((8, 8, 1), 3, classes=3)
    v = made(module, Z, LABEL)
    p, s = v["params"], v["batch_stats"]

    def norm(x, i):
        name, own = f"LabelledBatchNorm_{i}", p[f"LabelledBatchNorm_{i}"]
        if i < 2:
            own = {k: a[LABEL][:, None, None] for k, a in own.items()}
        return relu(normed(x, own.get("BatchNorm_0", own), s[name]["BatchNorm_0"]))

    x = layer(p["Dense_0"])(Z).reshape(4, 4, 4, 3)
    y = layer(p["Conv_1"])(norm(layer(p["Conv_0"])(nearest(norm(x, 0))), 1))
    x = layer(p["Conv_2"])(norm(y + nearest(layer(p["Dense_1"])(x)), 2))
    output = jax.jit(module.apply)(v, Z, LABEL)
    np.testing.assert_allclose(output, (np.tanh(x) + 1) / 2, rtol=2e-3, atol=2e-3)
    module, x = models.SNGANDiscriminator(3), images()
    v = made(module, x)
    p, s = v["params"], v["spectral"]
    conv = lambda i: layer(p[f"SpectralConv_{i}"], s[f"SpectralConv_{i}"])
    h = 2 * x - 1
    shortcut = layer(p["SpectralDense_0"], s["SpectralDense_0"])
    h = pooled(conv(1)(relu(conv(0)(h)))) + pooled(shortcut(h))
    for i in (2, 4):
        h = h + conv(i + 1)(relu(conv(i)(relu(h))))
    head = layer(p["Logit_0"]["output"], s["Logit_0"]["output"])
    agree(module, v, x, head(relu(h).sum((1, 2)))[:, 0])


def test_the_r3gan_discriminator_is_that_of_numpy():
    module, x = models.R3GANDiscriminator((8, 4), blocks=1, group_size=4), images()
    v = made(module, x)
    p = v["params"]

    def block(x, stage):
        b = p[f"_Stage_{stage}"]["_Block_0"]
        y = relu(layer(b["Conv_0"])(relu(layer(b["Dense_0"])(x), 0.2)), 0.2)
        return x + layer(b["Dense_1"])(y)

    h = block(layer(p["Dense_0"])(2 * x - 1), 0)
    h = block(layer(p["Dense_1"])(np.asarray(jax.jit(downsample)(h.astype(np.float32)))), 1)
    agree(module, v, x, layer(p["Logit_0"]["output"])((h * p["basis"]).sum((1, 2)))[:, 0])


def test_how_sngan_starts():
    """Uniform, of variance 2 / (fan-in + fan-out), and twice that for 3x3 kernels of blocks."""
    module = models.SNGANGenerator((8, 8, 3), 24)
    params = jax.jit(module.init)(KEY, Z)["params"]
    fans = {"Conv_0": 9 * 24, "Conv_1": 9 * 24, "Dense_1": 24}
    for name, fan in fans.items():
        kernel = np.asarray(params[name]["kernel"])
        expected = (2 if "Conv" in name else 1) / fan
        np.testing.assert_allclose(kernel.var(), expected, rtol=0.1)
        assert abs(kernel).max() <= np.sqrt(3 * expected) * 1.001


def test_how_r3gan_starts():
    """Blocks are the identity, and inner kernels have the variance of fix-up: 2 / 1.04 / sqrt(2 blocks) / fan-in."""
    module = models.R3GANDiscriminator((32, 64), blocks=1)
    params = jax.jit(module.init)(KEY, images(1, (8, 8, 3)))["params"]
    block = params["_Stage_0"]["_Block_0"]
    assert not np.any(block["Dense_1"]["kernel"])
    for kernel, fan_in in ((block["Dense_0"]["kernel"], 64), (block["Conv_0"]["kernel"], 9 * 16)):
        np.testing.assert_allclose(np.var(kernel), 2 / 1.04 / np.sqrt(2) / fan_in, rtol=0.1)
    np.testing.assert_allclose(np.std(params["basis"]), 0.25, rtol=0.1)
    assert params["basis"].shape == (4, 4, 32)


def test_r3gan_is_linear_in_z_until_its_blocks_learn():
    """Zero last kernels leave products of the learned start, 1x1 convolutions and bilinear upsampling."""
    module = models.R3GANGenerator((8, 8, 1), (8, 4), blocks=1, group_size=8)
    variables = made(module, Z)
    p = variables["params"]
    for stage in ("_Stage_0", "_Stage_1"):
        p[stage]["_Block_0"]["Dense_1"]["kernel"] = np.zeros_like(p[stage]["_Block_0"]["Dense_1"]["kernel"])
    x = (Z @ p["Dense_0"]["kernel"])[:, None, None] * p["basis"][None]
    x = jax.jit(upsample)(x @ p["Dense_1"]["kernel"]) @ p["Dense_2"]["kernel"]
    np.testing.assert_allclose(
        jax.jit(module.apply)(variables, Z), (np.tanh(x) + 1) / 2, rtol=1e-4, atol=1e-5
    )


def test_resampling_is_bilinear():
    x = RNG.normal(size=(2, 6, 8, 3)).astype(np.float32)
    resized = lambda h, w: jax.image.resize(x, (2, h, w, 3), "linear")
    np.testing.assert_allclose(jax.jit(upsample)(x), resized(12, 16), rtol=1e-4, atol=1e-5)
    smaller, inside = jax.jit(downsample)(x), np.s_[:, 1:-1, 1:-1]
    np.testing.assert_allclose(smaller[inside], resized(3, 4)[inside], rtol=1e-4, atol=1e-5)
    weights = np.array([4, 3, 1]) / 8  # at the edge, the weight of the pixel beyond goes to the one there
    corners = (
        (smaller[:, 0, 0], np.einsum("bijc,i,j->bc", x[:, :3, :3], weights, weights)),
        (smaller[:, -1, -1], np.einsum("bijc,i,j->bc", x[:, -3:, -3:], weights[::-1], weights[::-1])),
    )
    for corner, expected in corners:
        np.testing.assert_allclose(corner, expected, rtol=1e-4, atol=1e-5)
