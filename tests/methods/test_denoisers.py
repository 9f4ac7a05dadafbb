"""Denoisers of pictures of any size, with clean pictures and without."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unsupjax import methods
from unsupjax.methods.base import Restorer
from unsupjax.methods.parts import tiled
from unsupjax.methods.parts.restoring import cropped
from unsupjax.models import UNet
from unsupjax.numerics.noise import noise_level
from unsupjax.parallel.collectives import example_keys

NETWORK, SIMPLE = UNet((4, 6)), UNet((8,))
RNG = np.random.default_rng(0)


def spot(name):
    """A function of the file of `blind_spot`, which its method's name hides."""
    import sys

    return getattr(sys.modules["unsupjax.methods.blind_spot"], name)


def test_noise_levels_are_found():
    smooth = np.linspace(0, 1, 64)[None, :, None, None] * np.linspace(1, 0.3, 64)[None, None, :, None]
    x = (
        np.repeat(smooth, 3, axis=0)
        + RNG.normal(size=(3, 64, 64, 1)) * np.array([0.02, 0.1, 0.4])[:, None, None, None]
    )
    np.testing.assert_allclose(noise_level(x.astype(np.float32)), [0.02, 0.1, 0.4], rtol=0.06)
    mask = np.outer([1, -2, 1], [1, -2, 1])
    by_hand = [abs((x[1, i : i + 3, j : j + 3, 0] * mask).sum()) for i in range(62) for j in range(62)]
    np.testing.assert_allclose(
        noise_level(x.astype(np.float32))[1], np.median(by_hand) / 6 / 0.67449, rtol=1e-4
    )


def test_crops_are_parts_of_their_picture_turned_and_mirrored():
    x = jnp.arange(16 * 100.0).reshape(16, 10, 10, 1)
    found = np.asarray(jax.jit(cropped, static_argnums=2)(example_keys(jax.random.key(0), 16, None), x, 6))
    steps = set()
    for i, square in enumerate(found[..., 0]):
        down, right = square[1, 0] - square[0, 0], square[0, 1] - square[0, 0]
        expected = square[0, 0] + down * np.arange(6)[:, None] + right * np.arange(6)[None]
        np.testing.assert_array_equal(square, expected)
        assert square.min() >= 100 * i and square.max() < 100 * (i + 1)
        steps.add((down, right))
    assert len(steps) > 4 and {abs(d) for d, _ in steps} == {1, 10}


def test_training_takes_noise_away():
    x = jnp.asarray(np.repeat(np.repeat(RNG.random((8, 4, 4, 1)), 8, 1), 8, 2), jnp.float32)
    method = methods.denoiser(SIMPLE, optax.adam(1e-2), most=50.0, crop=32, ema=0.9)
    state, step = method.init(jax.random.key(0), x), jax.jit(method.step)
    for _ in range(60):
        state, _ = step(state, x)
    y = x + 0.15 * jax.random.normal(jax.random.key(5), x.shape)
    error = lambda a: float(jnp.square(a - x).mean())
    assert error(jax.jit(method.denoise)(state, y)) < 0.75 * error(y)
    odd = jax.eval_shape(method.denoise, state, y[:, :13, :10])
    assert odd.shape == (8, 13, 10, 1)


def test_noise_of_training_has_the_levels_that_were_asked_for():
    """A network that adds nothing: its squared error is the noise's."""
    x = jnp.full((8, 16, 16, 1), 0.5)
    for arguments, expected in (
        ({"least": 20.0, "most": 20.0}, 20**2),
        ({"least": 0.0, "most": 0.0, "photons": 10.0}, 255**2 * 0.5 / 10 / 2),
    ):
        found = []
        method = methods.denoiser(NETWORK, optax.sgd(0.0), crop=16, **arguments)
        state, step = method.init(jax.random.key(0), x), jax.jit(method.step)
        for _ in range(12):
            state, metrics = step(state, x)
            found.append(float(metrics["squared_error"]))
        np.testing.assert_allclose(np.mean(found), expected, rtol=0.1)


def test_two_neighbours_touch_and_stay_the_same_whatever_the_picture():
    keys = example_keys(jax.random.key(0), 4, None)
    y = jnp.broadcast_to(jnp.arange(64.0).reshape(1, 8, 8, 1), (4, 8, 8, 1))
    halves = spot("_halves")(keys, y)
    first, second = (np.asarray(h)[..., 0] for h in halves(y))
    assert first.shape == (4, 4, 4)
    assert set(np.unique(np.abs(first - second))) == {1, 8}
    for h in (first, second):
        np.testing.assert_array_equal(h // 16, np.broadcast_to(np.arange(4)[None, :, None], h.shape))
        np.testing.assert_array_equal(h % 8 // 2, np.broadcast_to(np.arange(4)[None, None], h.shape))
    np.testing.assert_array_equal(halves(2 * y)[0][..., 0], 2 * first)


def test_blind_spots_do_not_see_themselves():
    """With the target's own pixel in the input, the identity would have no error."""
    y = jnp.asarray(RNG.normal(size=(2, 16, 16, 1)), jnp.float32)
    keys = example_keys(jax.random.key(0), 2, None)
    loss = spot("_masked")(lambda params, x: x, None, keys, y, 0.2)
    p, expected = np.pad(np.asarray(y)[..., 0], ((0, 0), (1, 1), (1, 1)), mode="reflect"), 0.0
    places = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    for b, key in enumerate(keys):
        hidden, instead = map(np.asarray, spot("_spots")(key, (16, 16), 0.2))
        assert set(instead.ravel()) == set(range(8))
        for i, j in zip(*np.nonzero(hidden), strict=True):
            di, dj = places[instead[i, j]]
            expected += (p[b, i + di, j + dj] - float(y[b, i, j, 0])) ** 2
    np.testing.assert_allclose(loss, expected / y.size / 0.2, rtol=1e-5)


def test_recorrupted_pairs_have_independent_noise():
    keys, noise = example_keys(jax.random.key(0), 64, None), 0.1 * RNG.normal(size=(64, 32, 32, 1))
    seen = {}

    def network(params, x):
        seen["input"] = x
        return jnp.zeros_like(x)

    loss = spot("_recorrupted")(network, None, keys, jnp.asarray(noise, jnp.float32), 0.1, 0.5)
    np.testing.assert_allclose(loss, 0.01 * (1 + 1 / 0.25), rtol=0.02)
    added = np.asarray(seen["input"]) - noise
    target = noise - added / 0.25
    assert abs(np.corrcoef(np.asarray(seen["input"]).ravel(), target.ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("pairs", ["masked", "neighbours", "recorrupted"])
def test_noisy_pictures_alone_teach_it(pairs):
    clean = np.repeat(np.repeat(RNG.random((8, 4, 4, 1)), 8, 1), 8, 2)
    y = jnp.asarray(clean + 0.15 * RNG.normal(size=clean.shape), jnp.float32)
    method = methods.blind_spot(SIMPLE, optax.adam(1e-2), pairs=pairs, crop=32, ema=0.9, share=0.1)
    state, step = method.init(jax.random.key(0), y), jax.jit(method.step)
    for _ in range(60):
        state, metrics = step(state, y)
    np.testing.assert_allclose(metrics["sigma"], 0.15 * 255, rtol=0.15)
    error = np.square(jax.jit(method.denoise)(state, y) - clean).mean()
    assert error < 0.7 * 0.15**2


def test_simulated_noise_is_the_same_whenever_a_picture_is_seen():
    x = jnp.asarray(RNG.random((3, 16, 16, 1)), jnp.float32)
    simulated = jax.vmap(spot("_simulated"), in_axes=(0, None))
    first = simulated(x, 0.1)
    np.testing.assert_array_equal(simulated(x[::-1], 0.1)[::-1], first)
    noise = np.asarray(first - x).reshape(3, -1)
    np.testing.assert_allclose(noise.std(), 0.1, rtol=0.1)
    assert abs(np.corrcoef(noise)[0, 1]) < 0.2


def test_pieces_have_no_seams():
    key = jax.random.key(3)
    params = NETWORK.init(key, jnp.zeros((1, 8, 8, 1)))["params"]
    params = jax.tree.map(lambda x: 0.2 * jax.random.normal(key, x.shape), params)
    apply = lambda state, x: x + NETWORK.apply({"params": state}, x)
    restorer = Restorer(apply, NETWORK.multiple, NETWORK.margin)
    x = RNG.random((61, 90, 1)).astype(np.float32)
    margin = NETWORK.margin
    padded = np.pad(x, ((margin, margin + 3), (margin, margin + 2), (0, 0)), mode="symmetric")
    whole = apply(params, jnp.asarray(padded[None]))[0, margin : margin + 61, margin : margin + 90]
    for side in (8, 32, 128):
        np.testing.assert_allclose(tiled.pieces(restorer, params, x, side), whole, atol=1e-4)


def test_pictures_keep_their_type_and_colours_their_place():
    restorer = Restorer(lambda state, x: x * state, 4, 4)
    for dtype in (np.uint8, np.uint16, np.float32):
        white = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
        x = (RNG.random((9, 7, 3)) * white).astype(dtype)
        for channels in (1, 3):
            made = tiled.restored(restorer, jnp.float32(0.5), x, channels)
            assert made.dtype == dtype
            np.testing.assert_allclose(made / white, 0.5 * x / white, atol=0.6 / min(white, 1e6))
    grey = tiled.restored(restorer, jnp.float32(1.0), x[..., :1], 3)
    np.testing.assert_allclose(grey, x[..., :1], atol=1e-6)
    for bad in (
        x[..., 0],
        np.zeros((4, 4, 1), np.int32),
        np.zeros((0, 4, 1), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
    ):
        with pytest.raises(ValueError, match="a picture"):
            tiled.restored(restorer, jnp.float32(1.0), bad, 3)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("denoiser", {"least": 9.0, "most": 3.0}),
        ("denoiser", {"photons": -1.0}),
        ("denoiser", {"crop": 10}),
        ("denoiser", {"ema": 1.0}),
        ("blind_spot", {"pairs": "twins"}),
        ("blind_spot", {"share": 0.0}),
        ("blind_spot", {"strength": 0.0}),
        ("blind_spot", {"crop": 12, "pairs": "neighbours"}),
    ],
)
def test_bad_arguments_are_refused(method, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        methods.METHODS[method](NETWORK, optax.sgd(0.1), **arguments)
