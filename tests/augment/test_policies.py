import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import augment

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 300)
PHOTO = RNG.uniform(size=(16, 16, 3)).astype(np.float32)
GREY = PHOTO[..., :1]
PHOTOS = ("simclr", "moco_v2", "byol")
COLOURLESS = dict(saturation=0.0, hue=0.0, grey=0.0)
STILL = dict(area=(1.0, 1.0), aspect=(1.0, 1.0), flip=0.0, jitter=0.0, grey=0.0)
NO_BLUR = {
    "simclr": {"blur": 0.0},
    "moco_v2": {"blur": 0.0},
    "byol": {"blur": (0.0, 0.0), "solarize": (0.0, 0.0)},
}


def views(two_views, x=PHOTO, n=6):
    return jax.jit(jax.vmap(two_views, (0, None)))(KEYS[:n], x)


@pytest.mark.parametrize("name", ["simclr", "byol"])
def test_views_are_images_of_their_own(name):
    x1, x2 = views(augment.POLICIES[name](PHOTO.shape, blur=(0.5, 0.5) if name == "byol" else 0.5))
    for x in (x1, x2):
        assert x.shape == (6, 16, 16, 3) and x.dtype == jnp.float32
        assert x.min() >= 0 and x.max() <= 1 + 1e-5
    every = np.concatenate([x1, x2]).reshape(12, -1)
    distances = np.abs(every[:, None] - every[None]).max(axis=2) + np.eye(12)
    assert distances.min() > 0.01


@pytest.mark.parametrize("name", PHOTOS)
def test_with_all_strengths_at_0_views_are_the_image(name):
    for x in jax.jit(augment.POLICIES[name](PHOTO.shape, **STILL, **NO_BLUR[name]))(KEY, PHOTO):
        np.testing.assert_allclose(x, PHOTO, atol=2e-6)


@pytest.mark.parametrize("name", PHOTOS)
def test_grey_images(name):
    two_views = augment.POLICIES[name](GREY.shape, **COLOURLESS)
    assert all(x.shape == GREY.shape for x in jax.eval_shape(two_views, KEY, GREY))
    with pytest.raises(ValueError, match=r"set saturation=0, hue=0, grey=0$"):  # all of them at once
        augment.POLICIES[name](GREY.shape)
    with pytest.raises(ValueError, match=r"grey=0\.2: no meaning .* set grey=0$"):
        augment.POLICIES[name](GREY.shape, saturation=0.0, hue=0.0)


def test_steps_come_in_the_papers_order():
    """The policy is its operations one after the other, each with its key; `strength` multiplies all four."""
    strengths = {"brightness": 0.8, "contrast": 0.4, "saturation": 1.2, "hue": 0.2}
    policy = augment.simclr(PHOTO.shape, blur=0.5, strength=0.25, **strengths)

    def expected(key, x):
        keys = jax.random.split(jax.random.split(key)[0], 5)
        x = augment.random_resized_crop(keys[0], x, (16, 16), flip=0.5)
        quarter = {name: s / 4 for name, s in strengths.items()}
        x = augment.colour_jitter(keys[1], x, probability=0.8, **quarter)
        x = augment.greyscale(keys[2], x, 0.2)
        return augment.gaussian_blur(keys[3], x, probability=0.5)

    both = lambda key, x: (policy(key, x)[0], expected(key, x))
    np.testing.assert_allclose(*views(both, n=20), atol=1e-5)


def test_byols_views_differ_in_kind():
    only = {**STILL, "blur": (1.0, 0.0), "solarize": (0.0, 1.0), "sigma": (1.0, 1.0)}
    x1, x2 = jax.jit(augment.byol(PHOTO.shape, **only))(KEY, PHOTO)
    np.testing.assert_allclose(x1, augment.gaussian_blur(KEY, PHOTO, sigma=(1.0, 1.0)), atol=1e-5)
    np.testing.assert_allclose(x2, augment.solarize(KEY, PHOTO), atol=1e-5)
    defaults = {k: v.default for k, v in inspect.signature(augment.byol).parameters.items()}
    assert defaults["blur"] == (1.0, 0.1) and defaults["solarize"] == (0.0, 0.2)


def test_probabilities_are_those_given():
    """Over many keys each view is mirrored and grey that often."""
    luma = lambda x: x @ np.array([0.299, 0.587, 0.114], np.float32)
    two_views = augment.simclr(PHOTO.shape, **{**STILL, "flip": 0.3, "grey": 0.6})
    for x in views(two_views, n=300):
        x = np.asarray(x)
        mirrored = np.abs(luma(x) - luma(PHOTO)[:, ::-1]).max(axis=(1, 2)) < 1e-4
        np.testing.assert_allclose(mirrored.mean(), 0.3, atol=0.09)
        np.testing.assert_allclose((np.ptp(x, axis=3).max(axis=(1, 2)) < 1e-4).mean(), 0.6, atol=0.09)


def test_glyphs():
    for view in views(augment.glyphs(GREY.shape, brightness=0.2, cutout=4), GREY):
        assert view.shape == (6, *GREY.shape) and view.dtype == jnp.float32 and np.isfinite(view).all()
    for view in jax.eval_shape(augment.glyphs(PHOTO.shape), KEY, PHOTO):
        assert view.shape == PHOTO.shape
    still = dict(area=(1.0, 1.0), rotate=0.0, shear=0.0, shift=0.0, scale=(1.0, 1.0), contrast=0.0, noise=0.0)
    for view in jax.jit(augment.glyphs(GREY.shape, **still))(KEY, GREY):
        np.testing.assert_array_equal(view, GREY)
    noisy, _ = views(augment.glyphs(GREY.shape, **{**still, "noise": 0.1}), GREY)
    np.testing.assert_allclose((noisy - GREY[None]).std(), 0.1, atol=0.01)
    for option in ({"cutout": 5}, {"rotate": 30.0}, {"contrast": 0.4}):
        two_views = jax.jit(augment.glyphs(GREY.shape, **{**still, **option}))
        assert not np.allclose(two_views(KEY, GREY)[0], GREY)


def test_scarf_replaces_features_by_those_of_other_rows():
    batch = (np.arange(500)[:, None] + 1000 * np.arange(12)[None]).astype(np.float32)
    two_views = augment.scarf((12,), rate=0.6).two_views
    x1, x2 = jax.jit(jax.vmap(two_views, (0, 0, None)))(jax.random.split(KEY, 500), batch, batch)
    np.testing.assert_array_equal(x1, batch)
    assert (x2 // 1000 == np.arange(12)[None]).all()  # every feature keeps its column
    np.testing.assert_allclose((x1 != x2).mean(axis=0), 0.6, atol=0.08)
    rows = np.asarray(x2) % 1000
    np.testing.assert_allclose((rows.mean(), rows.std()), (249.5, 144.3), atol=8)
    replaced = np.where(x1 != x2, rows, np.nan)
    assert all(len(set(r[~np.isnan(r)])) > 1 for r in replaced if (~np.isnan(r)).sum() > 3)  # a row for each
    same, other = jax.jit(augment.scarf((2, 3), rate=1.0).two_views)(
        KEY, jnp.zeros((2, 3)), jnp.ones((7, 2, 3))
    )
    assert (same == 0).all() and (other == 1).all()


@pytest.mark.parametrize("name", augment.POLICIES)
def test_hyperparameters_are_plain(name):
    parameters = list(inspect.signature(augment.POLICIES[name]).parameters.values())
    assert parameters[0].name == "shape"
    for p in parameters[1:]:
        assert p.kind is p.KEYWORD_ONLY and isinstance(p.default, (bool, int, float, str, tuple))


@pytest.mark.parametrize(
    "name, options, match",
    [
        ("simclr", {"area": (0.0, 1.0)}, "area"),
        ("simclr", {"area": (0.5, 1.1)}, "area"),
        ("moco_v2", {"area": (0.5, 0.2)}, "area"),
        ("simclr", {"aspect": (0.0, 1.0)}, "aspect"),
        ("byol", {"method": "lanczos"}, "method='lanczos': one of bilinear, bicubic"),
        ("simclr", {"flip": 1.5}, "flip"),
        ("simclr", {"jitter": -0.1}, "jitter"),
        ("simclr", {"grey": 2.0}, "grey"),
        ("simclr", {"blur": 2.0}, "blur"),
        ("moco_v2", {"sigma": (0.0, 1.0)}, "sigma"),
        ("simclr", {"brightness": -1.0}, "brightness"),
        ("simclr", {"strength": -1.0}, "strength"),
        ("simclr", {"strength": float("nan")}, "strength"),
        ("simclr", {"hue": 0.6, "strength": 1.0}, "hue=0.6 times strength"),
        ("byol", {"blur": (0.5, 1.5)}, r"blur\[1\]"),
        ("byol", {"solarize": (0.5,)}, "solarize"),
        ("glyphs", {"scale": (0.0, 1.0)}, "scale"),
        ("glyphs", {"noise": -0.1}, "noise"),
        ("glyphs", {"cutout": -1}, "cutout"),
        ("glyphs", {"shear": 90.0}, "shear"),
        ("scarf", {"rate": 1.1}, "rate"),
    ],
)
def test_wrong_arguments_are_refused_by_name(name, options, match):
    with pytest.raises(ValueError, match=match):
        augment.POLICIES[name]((16, 16, 3), **options)


@pytest.mark.parametrize("shape", [(16,), (16, 16), (16, 16, 2), (0, 16, 3), (2, 16, 16, 3)])
@pytest.mark.parametrize("name", ["simclr", "moco_v2", "byol", "glyphs"])
def test_shapes_that_are_no_images_are_refused(name, shape):
    with pytest.raises(ValueError, match="shape="):
        augment.POLICIES[name](shape)


def test_an_example_of_another_shape_is_refused():
    with pytest.raises(AssertionError):
        augment.simclr((16, 16, 3))(KEY, PHOTO[:8])
    with pytest.raises(AssertionError):
        augment.scarf((3,)).two_views(KEY, jnp.zeros(3), jnp.zeros((5, 4)))
