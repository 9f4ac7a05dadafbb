"""One matrix that every method must pass, whatever its mathematics: devices, executors, dtypes, recompilation."""

import functools
import inspect
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from unsupjax import augment, methods, models
from unsupjax.data.kinds import Baskets, Table
from unsupjax.methods import METHODS
from unsupjax.parallel.mesh import AXIS, axis_name, compile_step, make_mesh, place_batch, replicated

SHAPE = (8, 8, 1)
FLAT = lambda dtype, _: (models.MLPEncoder((), dtype=dtype), models.MLPDecoder(SHAPE, (), dtype=dtype))
DEEP = lambda dtype, _: (models.MLPEncoder((24,), dtype=dtype), models.MLPDecoder(SHAPE, (24,), dtype=dtype))
CONV = lambda dtype, _: (
    models.ConvEncoder((8, 16), dtype=dtype),
    models.ConvDecoder(SHAPE, (16, 8), dtype=dtype),
)


def views(key, x):
    """Two noisy copies: policies have tests of their own."""
    return tuple(augment.gaussian_noise(k, x, 0.3) for k in jax.random.split(key))


def contrastive(*heads, encoder=None):
    """An encoder and heads with batch norm over the global batch; and without, for each None."""

    def networks(dtype, axis):
        head = lambda features: models.ProjectionHead(features, dtype=dtype, axis_name=axis)
        make = encoder or (lambda dtype, axis: models.MLPEncoder((16,), dtype=dtype))
        return make(dtype, axis), *(head(features) for features in heads)

    return networks


ADVERSARIES = lambda dtype, _: (
    models.MLPGenerator(SHAPE, (16,), output="unit", dtype=dtype),
    models.MLPDiscriminator((16,), spectral=True, dtype=dtype),
)
WORDS = lambda dtype, _: (
    models.Transformer(20, 64, 16, 2, 2, zero_init=False, dtype=dtype),  # of 20 tokens, 64 a row
)
MULTINOMIAL = lambda dtype, _: (
    models.MLPEncoder((12,), "tanh", dtype=dtype),
    models.MLPDecoder((64,), (12,), "tanh", dtype=dtype),
)
BASKETS = Baskets(64, tuple(map(str, range(64))))
SOME_ROWS = np.where(np.random.default_rng(0).random((40, 64)) < 0.3, np.arange(1, 65), 0).astype(np.int32)
SOME_PIXELS = np.random.default_rng(0).random((40, 64), np.float32)
PIXELS = Table.of_statistics([0.0] * 64, [1.0] * 64)
BAGS = {"latent_dim": 4, "vocabulary": 64, "total_steps": 4}
DROPPED = lambda dtype, axis: (WORDS(dtype, axis)[0].clone(dropout=0.2),)
PATCHES = lambda dtype, _: (models.PatchAutoencoder(SHAPE, 2, 16, 1, 2, 2.0, 8, 1, dtype=dtype),)
RESTORER = lambda dtype, _: (models.UNet((4, 6), dtype=dtype),)
SMALL_CODEC = {"shape": (16, 16, 1), "hidden": 30, "filters": 4, "filter_layers": 2, "crop": 16}
CNN = lambda dtype, axis: models.CNN((8, 8), dtype=dtype, axis_name=axis)
MOCO = {"augment": views, "queue_size": 64, "key_statistics": "shuffled"}

CASES = {  # method, its networks if it has any, its arguments
    "autoencoder": (methods.autoencoder, DEEP, {"latent_dim": 6}),
    "autoencoder-tied": (methods.autoencoder, DEEP, {"latent_dim": 6, "tied": True}),
    "autoencoder-conv": (methods.autoencoder, CONV, {"latent_dim": 6}),
    "denoising-masking": (methods.denoising, FLAT, {"latent_dim": 20}),
    "denoising-gaussian": (
        methods.denoising,
        FLAT,
        {"latent_dim": 20, "corruption": "gaussian", "tied": True},
    ),
    "denoising-salt": (methods.denoising, FLAT, {"latent_dim": 20, "corruption": "salt_and_pepper"}),
    "sparse-kl": (methods.sparse, DEEP, {"latent_dim": 20, "weight": 0.1}),
    "sparse-l1": (methods.sparse, DEEP, {"latent_dim": 20, "penalty": "l1", "weight": 0.1}),
    "k_sparse": (methods.k_sparse, FLAT, {"latent_dim": 20, "k": 3, "k_start": 8, "anneal_steps": 3}),
    "barlow_twins": (methods.barlow_twins, contrastive((16, 8)), {"augment": views}),
    "byol": (
        methods.byol,
        contrastive((16, 8), (16, 8)),
        {"augment": views, "total_steps": 6, "momentum": 0.9},
    ),
    "dino": (
        methods.dino,
        contrastive((16, 8)),
        {"augment": views, "total_steps": 6, "momentum": 0.9, "prototypes": 12, "local_count": 2},
    ),
    "moco": (methods.moco, contrastive((16, 8)), MOCO),
    "moco-split": (
        methods.moco,
        contrastive((16, 8)),
        MOCO | {"key_statistics": "split", "symmetric": False},
    ),
    "moco-global": (methods.moco, contrastive((16, 8)), MOCO | {"key_statistics": "global"}),
    "moco_v3": (
        methods.moco_v3,
        contrastive((16, 8), (16, 8)),
        {"augment": views, "total_steps": 6, "momentum": 0.9},
    ),
    "simclr": (
        methods.simclr,
        contrastive((16, 8), encoder=CNN),
        {"augment": augment.simclr(SHAPE, saturation=0.0, hue=0.0, grey=0.0)},
    ),
    "simclr-chunked": (methods.simclr, contrastive((16, 8)), {"augment": views, "chunk_size": 5}),
    "simclr-corrupted": (methods.simclr, contrastive((16, 8)), {"augment": augment.scarf(SHAPE)}),
    "simsiam": (methods.simsiam, contrastive((16, 8), (4, 8)), {"augment": views}),
    "vicreg": (methods.vicreg, contrastive((16, 8)), {"augment": views}),
    "blind_spot": (methods.blind_spot, RESTORER, {"crop": 8, "simulated": 20.0}),
    "blind_spot-masked": (methods.blind_spot, RESTORER, {"crop": 8, "pairs": "masked"}),
    "blind_spot-neighbours": (methods.blind_spot, RESTORER, {"crop": 8, "pairs": "neighbours"}),
    "codec": (methods.codec, lambda dtype, axis: (), SMALL_CODEC),
    "codec-ms_ssim": (methods.codec, lambda dtype, axis: (), SMALL_CODEC | {"distortion": "ms_ssim"}),
    "denoiser": (methods.denoiser, RESTORER, {"crop": 8, "photons": 50.0}),
    "contractive": (methods.contractive, FLAT, {"latent_dim": 20}),
    "contractive-exact": (methods.contractive, DEEP, {"latent_dim": 6, "estimator": "exact"}),
    "contractive-hutchinson": (methods.contractive, DEEP, {"latent_dim": 6, "estimator": "hutchinson"}),
    # An epoch is a step, or a step and a half: the phases lie on steps, or across them.
    "dec": (methods.dec, DEEP, {"latent_dim": 6, "clusters": 3, "examples": 16, "pretrain_epochs": 1}),
    "dec-across": (
        methods.dec,
        DEEP,
        {
            "latent_dim": 6,
            "clusters": 3,
            "examples": 24,
            "pretrain_epochs": 0,
            "update_epochs": 2,
            "reconstruction_weight": 0.0,
            "kmeans_examples": 20,
            "augment": views,
        },
    ),
    "desom": (methods.desom, DEEP, {"latent_dim": 6, "height": 3, "width": 4, "total_steps": 4}),
    "desom-hexagonal": (
        methods.desom,
        CONV,
        {
            "latent_dim": 6,
            "height": 4,
            "width": 5,
            "topology": "hexagonal",
            "toroidal": True,
            "total_steps": 9,
        },
    ),
    "ease": (methods.ease, None, {"vocabulary": 64, "examples": 24, "latent_dim": 6}),
    "ease_vae": (methods.ease_vae, MULTINOMIAL, BAGS | {"examples": 48}),
    "embedded_topics": (
        methods.embedded_topics,
        lambda *_: MULTINOMIAL(*_)[:1],
        {"topics": 3, "dimensions": 6, "kind": BASKETS, "rows": SOME_ROWS, "vocabulary": 64},
    ),
    "forecast": (
        methods.forecast,
        lambda dtype, _: (models.MLPEncoder((12,), dtype=dtype),),
        {"shape": (8, 8)},
    ),
    "gan": (methods.gan, ADVERSARIES, {"latent_dim": 4, "loss": "relativistic", "penalty": "r1_r2"}),
    "gan-critic": (
        methods.gan,
        ADVERSARIES,
        {
            "latent_dim": 4,
            "loss": "hinge",
            "penalty": "wgan_gp",
            "penalty_every": 3,
            "n_critic": 2,
            "diff_augment": ("colour", "translation", "cutout"),
        },
    ),
    "linear_forecast": (methods.linear_forecast, None, {"shape": (8, 8), "examples": 40}),
    "masked_patches": (methods.masked_patches, PATCHES, {}),
    "masked_patches-windows": (
        methods.masked_patches,
        lambda dtype, _: (models.PatchAutoencoder((8, 8), 3, 16, 1, 2, 2.0, 8, 1, dtype=dtype),),
        {"share": 0.5, "normalised": False},
    ),
    "masked_tokens": (methods.masked_tokens, WORDS, {"share": 0.3}),
    "mixed_rows": (
        methods.mixed_rows,
        lambda dtype, _: (models.MLPEncoder((12,), dtype=dtype), models.MLPDecoder((4,), (), dtype=dtype)),
        {"latent_dim": 4, "kind": PIXELS, "examples": 40, "rows": SOME_PIXELS},
    ),
    "mult_vae": (methods.mult_vae, MULTINOMIAL, BAGS),
    "mult_vae-tied": (methods.mult_vae, MULTINOMIAL, BAGS | {"tied": True}),
    "nearest_windows": (
        methods.nearest_windows,
        None,
        {"shape": (8, 8), "examples": 40, "rows": SOME_PIXELS.reshape(40, 8, 8)},
    ),
    "next_token": (methods.next_token, WORDS, {}),
    "prodlda": (methods.prodlda, lambda *_: MULTINOMIAL(*_)[:1], {"topics": 4, "vocabulary": 64}),
    "simcse": (methods.simcse, DROPPED, {"temperature": 0.5}),
    "kmeans": (methods.kmeans, None, {"clusters": 3, "examples": 16, "restarts": 2}),
    "kmeans-across": (methods.kmeans, None, {"clusters": 12, "examples": 24, "seeding": "random"}),
    "kmeans-minibatch": (methods.kmeans, None, {"clusters": 3, "examples": 24, "update": "minibatch"}),
    "kmeans-spherical": (methods.kmeans, None, {"clusters": 3, "examples": 16, "spherical": True}),
    "som": (methods.som, None, {"height": 3, "width": 4, "examples": 16, "total_steps": 4}),
    "som-across": (
        methods.som,
        None,
        {
            "height": 4,
            "width": 3,
            "topology": "hexagonal",
            "neighbourhood": "mexican_hat",
            "examples": 24,
            "total_steps": 4,
        },
    ),
    "som-online": (
        methods.som,
        None,
        {"update": "online", "examples": 24, "total_steps": 4, "missing": True},
    ),
    "topic_clusters": (
        methods.topic_clusters,
        None,
        {"topics": 3, "dimensions": 6, "restarts": 2, "examples": 24, "kind": BASKETS, "rows": SOME_ROWS},
    ),
    "topic_mixture": (
        methods.topic_mixture,
        None,
        {"topics": 3, "dimensions": 6, "restarts": 2, "examples": 24, "kind": BASKETS, "rows": SOME_ROWS},
    ),
    "word_contrast": (
        methods.word_contrast,
        lambda *_: (),
        {"dimensions": 6, "vectors": "spelling", "kind": BASKETS, "rows": SOME_ROWS},
    ),
    "word_means": (methods.word_means, None, {"dimensions": 6, "kind": BASKETS, "rows": SOME_ROWS}),
    "tsdae": (methods.tsdae, WORDS, {}),
    "vae-bernoulli": (methods.vae, DEEP, {"latent_dim": 4}),
    "vae-gaussian": (methods.vae, DEEP, {"latent_dim": 4, "likelihood": "gaussian", "beta": 0.5}),
}
TOPIC_METHODS = (methods.embedded_topics, methods.prodlda, methods.topic_clusters, methods.topic_mixture)
BAG_METHODS = (
    *(methods.ease, methods.ease_vae, methods.mult_vae, methods.word_contrast, methods.word_means),
    *TOPIC_METHODS,
)
WINDOW_METHODS = (methods.forecast, methods.linear_forecast, methods.nearest_windows)
STEPS, BATCH = 4, 16


def make(case, axis=None, dtype=None):
    factory, networks, arguments = CASES[case]
    if networks is None:
        return factory(**arguments, axis_name=axis)
    tx = optax.sgd(1e-3, momentum=0.9)  # Adam would amplify round-off
    if "dtype" in inspect.signature(factory).parameters:
        arguments = arguments | {"dtype": dtype}
    optimizers = sum(name.startswith("tx") for name in inspect.signature(factory).parameters)
    return factory(*networks(dtype, axis), *[tx] * optimizers, **arguments, axis_name=axis)


@pytest.fixture(scope="module")
def batches(digits):
    return digits[: STEPS * BATCH].reshape(STEPS, BATCH, *SHAPE)


class Trained(NamedTuple):
    """A case after STEPS steps on one device: what every other way of running it is held against."""

    start: tuple
    state: tuple
    metrics: dict
    first_loss: float


@functools.cache
def trained(case, batches):
    method = make(case)
    chex.clear_trace_counter()  # it counts by source line, which all cases share
    step = jax.jit(chex.assert_max_traces(method.step, n=1))
    # Not op by op: XLA may have compiled the same operations with or without its optimisations before.
    state = start = jax.jit(method.init)(jax.random.key(1), batches.of(case)[0])
    losses = []
    for batch in batches.of(case):
        state, metrics = step(state, batch)
        losses.append(metrics["loss"])
    return Trained(start, state, metrics, losses[0])


def started(case, batches, mesh):
    """The State before the first step on every device of a mesh, in arrays of its own: `init` compiles once a case."""
    # A step takes the one that it is given.
    mine = jax.tree.map(lambda x: x.copy(), trained(case, batches).start)
    return jax.device_put(mine, replicated(mesh))


class Hashed:
    """An array that `functools.cache` can take."""

    def __init__(self, value):
        self.value = value

    def of(self, case):
        """The batches as that case takes them: of pixels, of items (0: none), or of tokens, some rows ending early."""
        if CASES[case][0] in BAG_METHODS:
            pixels = self.value.reshape(STEPS, BATCH, 64)
            return np.where(pixels > 0.6, np.arange(1, 65), 0).astype(np.int32)
        if CASES[case][0] is methods.codec:  # whose blocks are of 16 x 16 pixels
            return self.value.repeat(2, axis=2).repeat(2, axis=3)
        if CASES[case][0] in WINDOW_METHODS or case == "masked_patches-windows":
            return self.value[..., 0]
        if CASES[case][0] is methods.mixed_rows:
            return self.value.reshape(STEPS, BATCH, 64)
        if CASES[case][0] not in (methods.next_token, methods.masked_tokens, methods.simcse, methods.tsdae):
            return self.value
        tokens = (self.value.reshape(STEPS, BATCH, 64) * 16).astype(np.int32) + 2
        tokens[:, ::3, 50:], tokens[..., 0], tokens[..., 20] = 0, 1, 1
        return tokens


@pytest.fixture(scope="module")
def hashed(batches):
    return Hashed(batches)


def assert_same_state(actual, expected, tolerance=1e-5):
    """Equal to `tolerance`, relative to the largest entry of each array; keys and integers exactly."""
    data = lambda s: [
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        for x in jax.tree.leaves(s)
    ]
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(data(actual), data(expected), strict=True):
        if np.issubdtype(e.dtype, np.integer):
            np.testing.assert_array_equal(a, e)
        else:
            np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance * max(np.abs(e).max(), 1e-3))


def test_every_method_is_in_the_matrix():
    # A table GAN needs a table, and batches that were chosen for it: its matrix is in methods/test_table_gan_method.py.
    assert set(METHODS.values()) - {methods.table_gan} == {factory for factory, _, _ in CASES.values()}


def marks(case):
    """MoCo's batch norm of few examples amplifies the round-off of unoptimised programs to more than is allowed."""
    return [pytest.mark.optimised] if case in ("moco", "moco-split", "moco-global") else []


FIRST = list({factory: case for case, (factory, _, _) in reversed(CASES.items())}.values())[
    ::-1
]  # of each factory
APART = ["moco-split", "moco-global", "simclr-chunked", "kmeans-minibatch", "som-online"]  # other collectives


def several(**usual):
    """Cases with a way of running them each, slow but for those that every run tries that way."""
    return [
        pytest.param(case, way, marks=marks(case) + [pytest.mark.slow] * (case not in cases))
        for case in CASES
        for way, cases in usual.items()
    ]


@pytest.mark.parametrize("case", [pytest.param(case, marks=marks(case)) for case in CASES])
def test_contract(case, hashed):
    _, state, metrics, _ = trained(case, hashed)
    method = make(case)
    x, key = hashed.of(case)[0], jax.random.key(0)
    assert state.step == STEPS and state.step.dtype == jnp.int32
    assert jnp.issubdtype(state.key.dtype, jax.dtypes.prng_key)
    assert "loss" in metrics
    for name, value in metrics.items():
        chex.assert_shape(value, ())
        assert value.dtype == jnp.float32 and np.isfinite(value), name
    encode = jax.jit(method.encode)
    z = encode(state, x)
    chex.assert_rank(z, 2)
    assert z.dtype == jnp.float32
    np.testing.assert_array_equal(z, encode(state, x))
    others = np.concatenate([x[:5], x[5:][::-1] if x.dtype == np.int32 else 1 - x[5:]])
    np.testing.assert_allclose(encode(state, others)[:5], z[:5], rtol=1e-4, atol=1e-6)
    shape = lambda f, *arguments: jax.eval_shape(f, state, *arguments).shape
    if method.decode is not None:
        assert shape(method.decode, z) == x.shape
    if method.sample is not None:
        assert shape(lambda state, key: method.sample(state, key, 3), key) == (3, *x.shape[1:])
    if method.log_prob is not None:
        assert shape(lambda state, key: method.log_prob(state, key, x, 2), key) == (BATCH,)
    if method.views is not None:
        chex.assert_shape(jax.eval_shape(method.views, key, x), x.shape)
    if method.diagnose is not None:
        assert isinstance(method.diagnose({k: float(v) for k, v in metrics.items()}), str | None)


# What one device's rows need of the others is a method's own affair alone under an axis: a variant shows it there.
@pytest.mark.parametrize(("case", "executor"), several(jit=FIRST + APART, pmap=FIRST))
def test_eight_devices_give_the_state_of_one(case, executor, hashed):
    mesh, method = make_mesh(), make(case, axis_name(executor))
    assert mesh.size == 8
    chex.clear_trace_counter()
    step = compile_step(chex.assert_max_traces(method.step, n=1), mesh, executor)
    state = started(case, hashed, mesh)
    for batch in hashed.of(case):
        state, metrics = step(state, place_batch(batch, mesh, executor))
    expected = trained(case, hashed)
    assert_same_state(state, expected.state)
    for name, value in expected.metrics.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("case", "check"), several(checked=CASES, unchecked=["autoencoder", "gan", "kmeans"])
)
def test_users_own_shard_map_gives_the_state_of_one(case, check, hashed):
    mesh, method = make_mesh(), make(case, AXIS)
    whole, shared = PartitionSpec(), PartitionSpec(AXIS)
    step = jax.jit(
        jax.shard_map(
            method.step, mesh=mesh, in_specs=(whole, shared), out_specs=whole, check_vma=check == "checked"
        )
    )
    state = started(case, hashed, mesh)
    for batch in hashed.of(case):
        state, _ = step(state, batch)
    assert_same_state(state, trained(case, hashed).state)


@pytest.mark.parametrize(
    "case",
    ["autoencoder-conv", "dec", "desom", "gan", "k_sparse", "moco", "simclr", "sparse-kl", "vae-bernoulli"],
)
def test_bfloat16_computes_and_float32_keeps(case, hashed):
    method, exact = make(case, dtype=jnp.bfloat16), trained(case, hashed)
    x = hashed.value[0]
    step = jax.jit(method.step)
    state, metrics = step(exact.start, x)
    floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert all(x.dtype == jnp.float32 for x in floats)
    assert metrics["loss"].dtype == jnp.float32
    assert "bf16" in step.lower(exact.start, x).as_text()
    np.testing.assert_allclose(metrics["loss"], exact.first_loss, rtol=0.02)
    assert jax.eval_shape(method.encode, state, x).dtype == jnp.float32
    started = jax.eval_shape(method.init, jax.random.key(1), x)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), started) == jax.tree.map(
        lambda a: (a.shape, a.dtype), exact.start
    )


def test_the_matrix_fails_a_method_that_forgets_the_global_mean(hashed, monkeypatch):
    """Gradients of one device's share alone, left unaveraged: the matrix must notice."""
    monkeypatch.setattr(methods.base, "pmean", lambda x, axis_name: x)
    mesh = make_mesh()
    method = make("autoencoder", AXIS)
    step = compile_step(method.step, mesh, "pmap")
    state = started("autoencoder", hashed, mesh)
    for batch in hashed.value:
        state, _ = step(state, place_batch(batch, mesh, "pmap"))
    with pytest.raises(AssertionError):
        assert_same_state(state, trained("autoencoder", hashed).state)
