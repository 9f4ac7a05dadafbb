"""Two random views of one photograph, as the papers make them."""

from collections.abc import Callable, Sequence

import chex
import jax

from unsupjax.augment import arguments, colour, filters, geometry


def _photo_view(
    shape, *, area, aspect, method, flip, jitter, strength, brightness, contrast, saturation, hue, grey, sigma
):
    """`view(key, x, blur, solarize)` of a photograph; the last two are probabilities."""
    shape = arguments.image_shape(shape)
    arguments.crop(area, aspect, method)
    strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    arguments.jitter(shape[2], hue, grey, strength=strength, **strengths)
    arguments.probabilities(flip=flip, jitter=jitter, grey=grey)
    arguments.interval("sigma", sigma, 0, float("inf"))
    strengths = {name: strength * value for name, value in (strengths | {"hue": hue}).items()}

    def view(key, x, blur, solarize):
        keys = jax.random.split(key, 5)
        x = geometry.random_resized_crop(
            keys[0], x, shape[:2], area=area, aspect=aspect, method=method, flip=flip
        )
        if jitter:
            x = colour.colour_jitter(keys[1], x, probability=jitter, **strengths)
        if grey:
            x = colour.greyscale(keys[2], x, grey)
        if blur:
            x = filters.gaussian_blur(keys[3], x, sigma=sigma, probability=blur)
        if solarize:
            x = filters.solarize(keys[4], x, probability=solarize)
        return x

    return view


def pair(shape: Sequence[int], first: Callable, second: Callable) -> Callable:
    """`two_views` of two functions `(key, x) -> view`, each with a key of its own."""

    def two_views(key, x):
        chex.assert_shape(x, tuple(shape))
        key1, key2 = jax.random.split(key)
        return first(key1, x), second(key2, x)

    return two_views


def simclr(
    shape: Sequence[int],
    *,
    strength: float = 0.5,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
    method: str = "bilinear",
    flip: float = 0.5,
    jitter: float = 0.8,
    brightness: float = 0.8,
    contrast: float = 0.8,
    saturation: float = 0.8,
    hue: float = 0.2,
    grey: float = 0.2,
    blur: float = 0.0,
    sigma: tuple[float, float] = (0.1, 2.0),
) -> Callable:
    """Crop and flip, colour jitter, greyscale and blur, both views alike.

    The defaults are the paper's for CIFAR-10. For ImageNet it has strength=1.0 and blur=0.5, and crops with
    method="bicubic". For one channel set saturation=0, hue=0 and grey=0.

    Args:
        shape: `(H, W, C)` of an image and of its views; values lie in [0, 1].
        strength: multiplies the four strengths below.
        area: lowest and highest share of the image that a crop covers.
        aspect: lowest and highest width / height of a crop.
        method: "bilinear" or "bicubic", how crops are resampled.
        flip: probability of mirroring left and right.
        jitter: probability of the colour jitter.
        brightness: strength in the jitter; the factor lies in [max(0, 1 - s), 1 + s].
        contrast: the same.
        saturation: the same.
        hue: largest turn of the hue as a share of the circle; times `strength` at most 1/2.
        grey: probability of greyscale.
        blur: probability of a Gaussian blur.
        sigma: lowest and highest standard deviation of the blur, pixels.

    Returns:
        `two_views(key, x) -> (x1, x2)` for one `x` of that shape.

    Raises:
        ValueError: an argument out of its range, a shape that is no image's, or colour for images without it.

    Source: Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020.
    """
    arguments.probabilities(blur=blur)
    view = _photo_view(
        shape,
        area=area,
        aspect=aspect,
        method=method,
        flip=flip,
        jitter=jitter,
        strength=strength,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=hue,
        grey=grey,
        sigma=sigma,
    )
    either = lambda key, x: view(key, x, blur, 0)
    return pair(shape, either, either)


def moco_v2(
    shape: Sequence[int],
    *,
    strength: float = 1.0,
    area: tuple[float, float] = (0.2, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
    method: str = "bilinear",
    flip: float = 0.5,
    jitter: float = 0.8,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    grey: float = 0.2,
    blur: float = 0.5,
    sigma: tuple[float, float] = (0.1, 2.0),
) -> Callable:
    """`simclr` with MoCo v2's milder crops and colours; the defaults are those for ImageNet.

    Arguments, result and errors are those of `simclr`. For small images set blur=0.

    Source: Chen et al., "Improved baselines with momentum contrastive learning", 2020.
    """
    return simclr(
        shape,
        strength=strength,
        area=area,
        aspect=aspect,
        method=method,
        flip=flip,
        jitter=jitter,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=hue,
        grey=grey,
        blur=blur,
        sigma=sigma,
    )


def byol(
    shape: Sequence[int],
    *,
    strength: float = 1.0,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
    method: str = "bicubic",
    flip: float = 0.5,
    jitter: float = 0.8,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.2,
    hue: float = 0.1,
    grey: float = 0.2,
    blur: tuple[float, float] = (1.0, 0.1),
    solarize: tuple[float, float] = (0.0, 0.2),
    sigma: tuple[float, float] = (0.1, 2.0),
) -> Callable:
    """Views of two kinds: the first blurred more often, the second solarised at times; the defaults are ImageNet's.

    Args:
        blur: probability of the blur in the first and in the second view.
        solarize: probability of inverting what is 1/2 or brighter, likewise.

    The other arguments, the result and the errors are those of `simclr`. For small images set blur=(0.0, 0.0).

    Source: Grill et al., "Bootstrap your own latent", NeurIPS 2020.
    """
    for name, both in (("blur", blur), ("solarize", solarize)):
        if len(both) != 2:
            raise ValueError(f"{name}={both}: two probabilities, of the first and of the second view")
        arguments.probabilities(**{f"{name}[{i}]": value for i, value in enumerate(both)})
    view = _photo_view(
        shape,
        area=area,
        aspect=aspect,
        method=method,
        flip=flip,
        jitter=jitter,
        strength=strength,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=hue,
        grey=grey,
        sigma=sigma,
    )
    return pair(
        shape,
        lambda key, x: view(key, x, blur[0], solarize[0]),
        lambda key, x: view(key, x, blur[1], solarize[1]),
    )
