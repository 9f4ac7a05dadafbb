import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawing

from unsupjax import models
from unsupjax.models.gan.pixels import doublings

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
SMALL = {"mlp": {"features": (6,)}, "dcgan": {"width": 2}, "sngan": {"width": 3}}
Z = RNG.normal(size=(4, 5)).astype(np.float32)
LABEL = np.array([0, 2, 1, 2])
images, made = drawing(RNG, KEY)


def fields(name, shape):
    """Few channels."""
    if name != "r3gan":
        return SMALL[name]
    return {"width": (8, 6, 4, 4, 2)[: doublings(shape) + 1], "group_size": 4, "blocks": 1}


def generator(name, shape=(8, 8, 1), **more):
    more = {"output": "unit"} | more if name == "mlp" else more
    return models.GENERATORS[name](shape=shape, **fields(name, shape), **more)


def discriminator(name, shape=(8, 8, 1), **more):
    return models.DISCRIMINATORS[name](**fields(name, shape), **more)


def count(module, *inputs):
    params = jax.eval_shape(module.init, KEY, *inputs)["params"]
    return sum(x.size for x in jax.tree.leaves(params))


@pytest.mark.parametrize("name", models.GENERATORS)
@pytest.mark.parametrize("side", [8, 28, 32, 64])
@pytest.mark.parametrize("channels, classes", [(1, 0), (3, 3)])
def test_shapes_and_dtypes(name, side, channels, classes):
    """Parameters, images and logits are float32 under bfloat16 too; features are as many as the last layer takes."""
    shape, label = (side, side, channels), LABEL[:2] if classes else None
    g = generator(name, shape, classes=classes, dtype=jnp.bfloat16)
    d = discriminator(name, shape, classes=classes, dtype=jnp.bfloat16)

    def both():
        x, of_g = g.init_with_output(KEY, jnp.zeros((2, 5)), label)
        logits, of_d = d.init_with_output(KEY, x, label)
        return x, logits, of_g, of_d, d.apply(of_d, x, features=True)

    x, logits, of_g, of_d, features = jax.eval_shape(both)
    assert x.shape == (2, *shape) and logits.shape == (2,)
    assert {a.dtype for a in jax.tree.leaves((x, logits, features, of_g, of_d))} == {np.dtype(np.float32)}
    assert features.shape == (2, of_d["params"]["Logit_0"]["output"]["kernel"].shape[0])
    last = {"mlp": 6, "dcgan": 2 * side * side // 2 ** (doublings(shape) + 1), "sngan": 3, "r3gan": 8}
    assert features.shape[1] == last[name]


@pytest.mark.parametrize("name", models.GENERATORS)
def test_rectangles_are_made(name):
    shape = (8, 20, 1)
    x = jax.eval_shape(lambda: generator(name, shape).init_with_output(KEY, jnp.zeros((2, 5)))[0])
    logits = jax.eval_shape(lambda: discriminator(name, shape).init_with_output(KEY, jnp.zeros(x.shape))[0])
    assert x.shape == (2, *shape) and logits.shape == (2,)


@pytest.mark.parametrize("name", models.GENERATORS)
def test_images_fill_the_range_of_pixels(name):
    """Large parameters reach both ends, and none is beyond."""
    module = generator(name)
    variables = made(module, Z)
    large = variables | {"params": jax.tree.map(lambda a: 20 * a, variables["params"])}
    x = jax.jit(module.apply)(large, Z)
    assert x.min() < 0.01 and x.max() > 0.99 and x.min() >= 0 and x.max() <= 1


@pytest.mark.parametrize("name", ["dcgan", "sngan", "r3gan", "mlp"])
def test_discriminators_see_pixels_from_minus_one_to_one(name):
    """An image of 1/2 everywhere is 0 to the first layer: what its kernel is does not matter."""
    module = discriminator(name, **({"norm": "none"} if name == "dcgan" else {}))
    x = np.full((1, 8, 8, 1), 0.5, np.float32)
    variables = made(module, x)
    first = {"mlp": "Dense_0", "dcgan": "Conv_0", "sngan": "SpectralConv_0", "r3gan": "Dense_0"}[name]
    params = variables["params"]
    other = params | {first: params[first] | {"kernel": 3 + params[first]["kernel"]}}
    apply = jax.jit(module.apply)
    logits = [apply(variables | {"params": p}, image) for image in (x, x + 0.1) for p in (params, other)]
    np.testing.assert_allclose(logits[0], logits[1], rtol=1e-5)
    assert not np.allclose(logits[2], logits[3], rtol=1e-2)


def test_parameters_of_dcgan_by_hand():
    """PyTorch's example has 3576704 and 2765568: no bias of the generator's last layer and in its discriminator."""
    norms = lambda *channels: 2 * sum(channels)
    made_by_hand = 100 * 4 * 4 * 512 + 16 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 3) + 3
    made_by_hand += norms(512, 256, 128, 64)
    assert made_by_hand == 3576704 + 3
    assert count(models.DCGANGenerator((64, 64, 3)), jnp.zeros((1, 100))) == made_by_hand
    judged = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 64 + norms(128, 256, 512) + 4 * 4 * 512 + 1
    assert judged == 2765568 + 64 + 1
    assert count(models.DCGANDiscriminator(), jnp.zeros((1, 64, 64, 3))) == judged
    small = 10 * 7 * 7 * 6 + norms(6) + 16 * 6 * 3 + norms(3) + 16 * 3 * 1 + 1
    assert count(models.DCGANGenerator((28, 28, 1), 3), jnp.zeros((1, 10))) == small


def test_parameters_of_sngan_and_r3gan_by_hand():
    block = lambda n: 2 * (9 * n * n + n)
    made_by_hand = 128 * 4096 + 4096 + 3 * (block(256) + 4 * 256 + 256 * 256 + 256) + 512 + 9 * 256 * 3 + 3
    assert count(models.SNGANGenerator((32, 32, 3)), jnp.zeros((1, 128))) == made_by_hand
    first = 27 * 128 + 128 + 9 * 128 * 128 + 128 + 3 * 128 + 128
    judged = first + 3 * block(128) + 128 * 128 + 128 + 128 + 1
    assert count(models.SNGANDiscriminator(), jnp.zeros((1, 32, 32, 3))) == judged
    block = lambda n: 2 * n * n + 2 * n + 9 * 16 * 2 * n + 2 * n + 2 * n * n  # groups of 16
    blocks = 2 * (block(64) + block(32))
    generated = 16 * 64 + 10 * 64 + blocks + 64 * 32 + 32 * 3
    assert count(models.R3GANGenerator((8, 8, 3), (64, 32)), jnp.zeros((1, 10))) == generated
    assert count(models.R3GANDiscriminator((64, 32)), jnp.zeros((1, 8, 8, 3))) == generated - 640 + 64 + 1


INDEPENDENT = [
    ("mlp", {}),
    ("mlp", {"spectral": True}),
    ("dcgan", {"norm": "none"}),
    ("dcgan", {"norm": "spectral"}),
]
INDEPENDENT += [("sngan", {}), ("r3gan", {})]


@pytest.mark.parametrize("name, more", [*INDEPENDENT, ("dcgan", {"norm": "batch"})])
def test_which_logits_depend_on_other_examples(name, more):
    shape = (16, 16, 1) if more.get("norm") == "batch" else (8, 8, 1)  # the first layer has no norm
    module = discriminator(name, shape, classes=3, **more)
    x, other = images(4, shape), images(4, shape)
    other[0] = x[0]
    variables = made(module, x, LABEL)
    call = jax.jit(lambda x: module.apply(variables, x, LABEL, train=True, mutable=["batch_stats"])[0])
    kept, *changed = abs(call(x) - call(other))
    assert bool(kept > 1e-3 * min(changed)) is (more.get("norm") == "batch")


@pytest.mark.parametrize(
    "module, inputs",
    [(generator("dcgan"), Z), (generator("sngan"), Z), (discriminator("dcgan"), images(4, (16, 16, 1)))],
    ids=["dcgan", "sngan", "judge"],
)
def test_batch_statistics_move_in_training_alone(module, inputs):
    variables = made(module, inputs)
    call = lambda train: jax.jit(lambda v, x: module.apply(v, x, train=train, mutable=["batch_stats"]))
    output, still = call(False)(variables, inputs)
    jax.tree.map(np.testing.assert_array_equal, still["batch_stats"], variables["batch_stats"])
    trained, moved = call(True)(variables, inputs)
    for before, after in zip(*map(jax.tree.leaves, (still, moved)), strict=True):
        assert not np.allclose(before, after, rtol=1e-3)
    assert not np.allclose(output, trained, rtol=1e-2)


@pytest.mark.parametrize(
    "module, inputs",
    [
        (generator("dcgan"), Z),
        (generator("sngan", classes=3), Z),
        (discriminator("dcgan"), images(4, (16, 16, 1))),
    ],
    ids=["dcgan", "sngan", "judge"],
)
def test_statistics_are_of_the_global_batch(module, inputs):
    """Two halves that know their axis have the output and the statistics of the whole."""
    label = LABEL if module.classes else None
    variables = made(module, inputs, label)

    def call(module, x, label):
        return module.apply(variables, x, label, train=True, mutable=["batch_stats"])

    whole, moved = jax.jit(lambda: call(module, inputs, label))()
    halves = lambda a: None if a is None else a.reshape(2, 2, *a.shape[1:])
    shared = module.clone(axis_name="data")
    parts, both = jax.jit(jax.vmap(lambda x, y: call(shared, x, y), axis_name="data"))(
        halves(inputs), halves(label)
    )
    np.testing.assert_allclose(parts.reshape(whole.shape), whole, rtol=1e-3, atol=1e-3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-3, atol=1e-4), both, moved)


def test_the_norm_of_dcgan():
    module = lambda norm: models.DCGANDiscriminator(4, norm, dense=(3,))
    shapes = lambda norm: jax.eval_shape(module(norm).init, KEY, images(1, (16, 16, 3)))
    assert set(shapes("none")) == {"params"}
    assert set(shapes("batch")["batch_stats"]) == {"BatchNorm_0", "BatchNorm_1"}
    spectral = shapes("spectral")["spectral"]
    assert set(spectral) == {"SpectralConv_0", "SpectralConv_1", "SpectralDense_0", "Logit_0"}
    assert spectral["SpectralConv_1"]["u"].shape == (16 * 4,) and spectral["SpectralConv_1"]["v"].shape == (
        8,
    )


@pytest.mark.parametrize(
    "name, more, n", [("mlp", {"spectral": True}, 1), ("dcgan", {"norm": "spectral"}, 1), ("sngan", {}, 7)]
)
def test_every_kernel_of_a_spectral_discriminator_is_normalised(name, more, n):
    """Its own, that of the logit and the embedding of labels."""
    variables = jax.eval_shape(discriminator(name, classes=3, **more).init, KEY, images(), LABEL)
    paths = lambda tree: {p[:-1] for p, _ in jax.tree_util.tree_flatten_with_path(tree)[0]}
    kernels = jax.tree_util.tree_flatten_with_path(variables["params"])[0]
    kernels = {p[:-1] for p, _ in kernels if p[-1].key == "kernel"}
    assert kernels == paths(variables["spectral"]) and len(kernels) == n + 2


@pytest.mark.parametrize("name", models.GENERATORS)
def test_labels(name):
    """They change samples and logits of their own example alone; features have none; missing or idle, refused."""
    g, d = generator(name, classes=3), discriminator(name, classes=3)
    x, other = images(), np.array([0, 2, 1, 0])
    for module, inputs in ((g, Z), (d, x)):
        variables = made(module, inputs, LABEL)
        call = jax.jit(lambda y, m=module, v=variables, i=inputs: m.apply(v, i, y))
        a, b = call(LABEL), call(other)
        np.testing.assert_allclose(a[:3], b[:3], rtol=1e-4, atol=1e-5)
        assert not np.allclose(a[3], b[3], rtol=1e-3)
        with pytest.raises(ValueError, match="needs the label"):
            jax.eval_shape(module.apply, variables, inputs)
        if module is d:
            jax.eval_shape(lambda v, i: d.apply(v, i, features=True), variables, inputs)
        with pytest.raises(ValueError, match="takes no labels"):
            jax.eval_shape(module.clone(classes=0).init, KEY, inputs, LABEL)


@pytest.mark.parametrize(
    "side, k", [(8, 1), (10, 1), (14, 1), (16, 2), (20, 2), (28, 2), (32, 3), (48, 3), (64, 4), (224, 5)]
)
def test_how_often_images_are_doubled(side, k):
    assert doublings((side, side, 3)) == k and 4 <= side >> k <= 7
    assert doublings((side, 4 * side, 1)) == doublings((6 * side, side, 1)) == k


@pytest.mark.parametrize("name", ["dcgan", "sngan", "r3gan"])
@pytest.mark.parametrize("shape", [(4, 4, 1), (9, 9, 1), (18, 18, 1), (32, 30, 1), (33, 33, 1), (1, 1, 1)])
def test_sides_that_are_refused(name, shape):
    message = (
        f"images of {shape[0]} x {shape[1]} cannot be made: sides are 4, 5, 6 or 7 doubled at least once"
    )
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(models.GENERATORS[name](shape=shape).init, KEY, Z)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(models.DISCRIMINATORS[name]().init, KEY, jnp.zeros((1, *shape)))


@pytest.mark.parametrize(
    "module, inputs, message",
    [
        (
            models.DCGANDiscriminator(norm="layer"),
            images(),
            "unknown norm 'layer'; one of batch, spectral, none",
        ),
        (models.MLPGenerator((2,), output="tanh"), Z, "unknown output 'tanh'; one of identity, unit"),
        (models.SNGANDiscriminator(), Z, r"an SNGAN needs images \[B, H, W, C\] and got shape \(4, 5\)"),
        (models.DCGANGenerator((7,)), Z, r"got shape \(7,\); for vectors there is `mlp`"),
        (models.R3GANGenerator((8, 8, 1)), Z, "images of 8 x 8 have 2 stages, and width has 4 entries"),
        (models.R3GANDiscriminator((8, 4)), images(), "groups of 16 do not divide 2 x 4 channels"),
    ],
)
def test_what_is_refused(module, inputs, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(module.init, KEY, inputs)
