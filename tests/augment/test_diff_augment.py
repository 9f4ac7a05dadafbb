import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import augment

RNG = np.random.default_rng(0)
OPS = ("colour", "translation", "cutout")
KEYS = jax.random.split(jax.random.key(0), 1000)
COLOURED = RNG.uniform(size=(16, 11, 3)).astype(np.float32)  # moves by 2 and 1 pixels, holes of 8 and 5
GREY = RNG.uniform(size=(8, 12, 1)).astype(np.float32)


def paper_colour(x, key):
    """The authors' code for one image in [-1, 1], in their order."""
    u = np.asarray(jax.random.uniform(key, (3,)), np.float64)
    x = x + (u[0] - 0.5)
    mean = np.zeros((*x.shape[:2], 1))
    for c in range(x.shape[2]):
        mean[..., 0] += x[..., c] / x.shape[2]
    x = (x - mean) * (u[1] * 2) + mean
    return (x - x.mean()) * (u[2] + 0.5) + x.mean()


def paper_translation(x, key):
    limits = [n // 8 for n in x.shape[:2]]
    moves = jax.random.randint(key, (2,), 0, 2 * jnp.array(limits) + 1) - jnp.array(limits)
    dy, dx = (int(m) for m in moves)
    y = np.zeros_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            if 0 <= i + dy < x.shape[0] and 0 <= j + dx < x.shape[1]:
                y[i, j] = x[i + dy, j + dx]
    return y


def paper_cutout(x, key):
    sizes = [n // 2 for n in x.shape[:2]]
    places = [n + (1 - s % 2) for n, s in zip(x.shape[:2], sizes, strict=True)]
    offsets = np.asarray(jax.random.randint(key, (2,), 0, jnp.array(places)))
    y = x.copy()
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            row = np.clip(i + offsets[0] - sizes[0] // 2, 0, x.shape[0] - 1)
            column = np.clip(j + offsets[1] - sizes[1] // 2, 0, x.shape[1] - 1)
            y[row, column] = 0
    return y


PAPER = {"colour": paper_colour, "translation": paper_translation, "cutout": paper_cutout}


def paper(image, key, ops):
    x = 2 * image.astype(np.float64) - 1
    for op, k in zip(ops, jax.random.split(key, len(ops)), strict=True):
        x = PAPER[op](x, k)
    return (x + 1) / 2


@functools.cache  # few compilations: where shapes can be the same they are
def batched(ops):
    return jax.jit(jax.vmap(lambda key, image: augment.diff_augment(key, image, ops)))


@pytest.mark.parametrize(
    "ops, image",
    [*(((op,), COLOURED) for op in OPS), (OPS, COLOURED), (("cutout", "colour"), COLOURED), (OPS, GREY)],
    ids=lambda v: "-".join(v) if isinstance(v, tuple) else f"{v.shape[2]} channels",
)
def test_operations_are_the_papers_in_its_own_range(ops, image):
    found = batched(ops)(KEYS[:8], np.stack([image] * 8))
    assert found.dtype == jnp.float32
    for key, y in zip(KEYS[:8], found, strict=True):
        np.testing.assert_allclose(y, paper(image, key, ops), atol=1e-5)
    # The draws differ, and so do the images, which are not as they were.
    assert all(np.abs(found[0] - y).max() > 1e-3 for y in found[1:] if ops != ("translation",))
    assert np.abs(found - image[None]).max() > 1e-2


def test_saturation_does_nothing_to_one_channel():
    """And so a grey image's colours differ by a shift and a factor around its mean alone."""
    y = np.asarray(batched(("colour",))(KEYS[:20], np.stack([GREY] * 20)), np.float64)
    factors = (y - y.mean(axis=(1, 2, 3), keepdims=True))[:, :2, :2] / (GREY - GREY.mean())[None, :2, :2]
    np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1, :1], factors.shape), rtol=1e-3)


def test_colours_are_drawn_from_the_papers_intervals():
    x = jnp.array([[[0.2, 0.4, 0.6]], [[0.7, 0.7, 0.7]]])
    y = np.asarray(batched(("colour",))(KEYS, jnp.stack([x] * 1000)))
    shift = y.mean(axis=(1, 2, 3)) - 0.55
    contrast = (y[:, 1].mean(axis=(1, 2)) - y[:, 0].mean(axis=(1, 2))) / 0.3
    saturation = (y[:, 0, 0, 2] - y[:, 0, 0, 0]) / 0.4 / contrast
    for found, low, high in ((shift, -0.25, 0.25), (contrast, 0.5, 1.5), (saturation, 0, 2)):
        assert found.min() >= low - 1e-5 and found.max() <= high + 1e-5
        expected = ((low + high) / 2, (high - low) / 12**0.5)
        np.testing.assert_allclose((found.mean(), found.std()), expected, atol=0.04 * (high - low))
    assert np.abs(np.corrcoef([shift, contrast, saturation])[np.triu_indices(3, 1)]).max() < 0.1
    assert y.min() < 0 or y.max() > 1  # not clipped


def test_every_move_is_as_likely():
    point = jnp.zeros((16, 8, 1)).at[8, 4].set(1.0)
    y = np.asarray(batched(("translation",))(KEYS, jnp.stack([point] * 1000)))[..., 0]
    _, rows, columns = np.nonzero(y == 1)
    counts = np.zeros((16, 8), int)
    np.add.at(counts, (rows, columns), 1)
    assert (counts[6:11, 3:6] > 40).all() and counts[
        6:11, 3:6
    ].sum() == 1000  # 5 x 3 moves, 67 expected of each
    assert set(np.unique(y)) == {0, 0.5, 1}  # what enters is mid-grey, 0 in [-1, 1]


@pytest.mark.parametrize("side, size", [(8, 4), (10, 5)])
def test_the_hole_is_centred_anywhere(side, size):
    y = np.asarray(batched(("cutout",))(KEYS, jnp.ones((1000, side, side, 2))))
    np.testing.assert_array_equal(y[..., 0], y[..., 1])
    hole = y[..., 0] == 0.5
    heights = hole.any(axis=2).sum(axis=1)
    assert heights.max() == size and heights.min() == size // 2 + size % 2
    places, counts = np.unique(hole.reshape(1000, -1), axis=0, return_counts=True)
    assert len(places) == (side + 1 - size % 2) ** 2 and counts.min() >= 2


def test_gradients_flow_to_all_that_is_seen():
    images = np.stack([COLOURED] * 8)
    v, w = RNG.normal(size=(2, *images.shape)).astype(np.float32)

    @jax.jit
    def by_difference_and_gradient(start):
        y, pullback = jax.vjp(lambda x: batched(OPS)(KEYS[:8], x), start)
        along = (batched(OPS)(KEYS[:8], start + v) - y) * w
        return along.sum(axis=(1, 2, 3)), (pullback(w)[0] * v).sum(axis=(1, 2, 3))

    # Every operation is affine in the image, so that a difference is a derivative; far outside [0, 1] as well.
    for start in (images, images + 10):
        along, gradient = by_difference_and_gradient(start)
        np.testing.assert_allclose(gradient, along, rtol=1e-3, atol=1e-3)
        assert np.abs(along).min() > 1e-2


@pytest.mark.parametrize("op", ["translation", "cutout"])
def test_what_is_not_seen_has_no_gradient_and_the_rest_has_1(op):
    images = np.full((8, *COLOURED.shape), 9, np.float32)
    gradient = jax.grad(lambda x: batched((op,))(KEYS[:8], x).sum())(images)
    seen = (batched((op,))(KEYS[:8], images) == 9).sum(axis=(1, 2, 3))
    np.testing.assert_array_equal(gradient.sum(axis=(1, 2, 3)), seen)
    assert set(np.unique(gradient)) == {0, 1}


def test_each_example_has_its_own_draws():
    """Of a batch, an example is what it is beside other examples; and so the draws are of its own key."""
    images, others = RNG.uniform(size=(2, 8, 16, 11, 3)).astype(np.float32)
    others[1] = images[1]
    keys = KEYS[jnp.array([17, 1, 18, 19, 20, 21, 22, 23])]
    found, beside = batched(OPS)(KEYS[:8], images), batched(OPS)(keys, others)
    np.testing.assert_array_equal(found[1], beside[1])
    assert np.abs(found - beside).max(axis=(1, 2, 3))[[0, 2, 3]].min() > 1e-3


def test_no_operation_is_no_change_and_an_unknown_one_is_named():
    np.testing.assert_array_equal(augment.diff_augment(KEYS[0], COLOURED, ()), COLOURED)
    for f in (augment.check_ops, lambda ops: augment.diff_augment(KEYS[0], COLOURED, ops)):
        with pytest.raises(ValueError, match=r"'color'; choose from colour, translation, cutout"):
            f(("cutout", "color"))
    augment.check_ops(OPS)
    rough = jax.eval_shape(lambda x: augment.diff_augment(KEYS[0], x, OPS[1:]), COLOURED.astype(jnp.bfloat16))
    assert rough.dtype == jnp.float32
