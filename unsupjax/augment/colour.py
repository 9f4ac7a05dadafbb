"""Brightness, contrast, saturation, hue and greyscale of one image with values in [0, 1], in floating point.

Images are float32 `[H, W, C]`, C = 1 or 3 (red, green, blue). Inside, channels are separate planes `[H, W]`: a last
axis of three does not vectorise. Nothing is rounded to 256 levels between operations, as it is in Pillow.
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601-2, that of Pillow and torchvision

Planes = Sequence[jax.Array]


def _planes(image: jax.Array) -> Planes:
    chex.assert_rank(image, 3)
    if image.shape[-1] not in (1, 3):
        raise ValueError(f"images have 1 or 3 channels; shape {image.shape} has {image.shape[-1]}")
    return [image[..., c] for c in range(image.shape[-1])]


def refuse_without_colour(channels: int, **strengths: float) -> None:
    """ValueError naming every argument that is not 0 and has no meaning for grey images."""
    wrong = [name for name, value in strengths.items() if value]
    if channels == 1 and wrong:
        given = ", ".join(f"{name}={strengths[name]}" for name in wrong)
        mend = ", ".join(f"{name}=0" for name in wrong)
        raise ValueError(f"{given}: no meaning for images of 1 channel; set {mend}")


def _grey(planes: Planes) -> jax.Array:
    if len(planes) == 1:
        return planes[0]
    r, g, b = (weight * plane for weight, plane in zip(LUMA, planes, strict=True))
    return r + g + b


def blend(planes: Planes, scale, of_mean, of_grey) -> Planes:
    """`clip(scale x + of_mean mean(grey(x)) + of_grey grey(x))`, which brightness, contrast and saturation all are.

    A weight that is None is 0 and its term is never computed.
    """
    rest = jnp.zeros((), jnp.float32)
    if of_mean is not None:
        # XLA:CPU would fuse all that came before into every plane's loop and into the mean's, four times the work; and
        # its plain sum over a row is slow, its product with a vector is not.
        stacked = jax.lax.optimization_barrier(jnp.stack(planes))
        planes = [stacked[c] for c in range(len(planes))]
        grey = _grey(planes).reshape(-1)
        rest = of_mean * jnp.matmul(grey, jnp.full(grey.shape, 1 / grey.size), precision="highest")
    if of_grey is not None:
        rest = rest + of_grey * _grey(planes)
    return [jnp.clip(scale * plane + rest, 0, 1) for plane in planes]


def turn_hue(planes: Planes, turn: jax.Array) -> Planes:
    """Adds `turn`, in [-1/2, 1/2] of the circle, to the hue of HSV; saturation and value stay.

    Hue is kept times chroma, so that nothing is divided and greys need no exception.
    """
    r, g, b = planes
    high, low = jnp.maximum(jnp.maximum(r, g), b), jnp.minimum(jnp.minimum(r, g), b)
    chroma = high - low
    hue = jnp.where(high == r, g - b, jnp.where(high == g, b - r + 2 * chroma, r - g + 4 * chroma))
    hue = hue + 6 * turn * chroma
    hue = jnp.where(hue < 0, hue + 6 * chroma, hue)
    hue = jnp.where(hue >= 6 * chroma, hue - 6 * chroma, hue)
    red = jnp.abs(hue - 3 * chroma) - chroma
    green = 2 * chroma - jnp.abs(hue - 2 * chroma)
    blue = 2 * chroma - jnp.abs(hue - 4 * chroma)
    return [low + jnp.clip(ramp, 0, chroma) for ramp in (red, green, blue)]


def _factor(u: jax.Array, strength: float) -> jax.Array:
    low = max(0.0, 1 - strength)
    return low + (1 + strength - low) * u


def brightness(key: jax.Array, image: jax.Array, strength: float) -> jax.Array:
    """`clip(a x)` with a uniform in [max(0, 1 - strength), 1 + strength]."""
    a = _factor(jax.random.uniform(key), strength)
    return jnp.stack(blend(_planes(image), a, None, None), axis=-1)


def contrast(key: jax.Array, image: jax.Array, strength: float) -> jax.Array:
    """`clip(a x + (1 - a) m)` with m the mean of the grey image and a drawn as for `brightness`."""
    a = _factor(jax.random.uniform(key), strength)
    return jnp.stack(blend(_planes(image), a, 1 - a, None), axis=-1)


def saturation(key: jax.Array, image: jax.Array, strength: float) -> jax.Array:
    """`clip(a x + (1 - a) grey(x))` with a drawn as for `brightness`; ValueError for 1 channel."""
    refuse_without_colour(image.shape[-1], saturation=strength)
    a = _factor(jax.random.uniform(key), strength)
    return jnp.stack(blend(_planes(image), a, None, 1 - a), axis=-1)


def hue(key: jax.Array, image: jax.Array, strength: float) -> jax.Array:
    """Turns the hue by a share of the circle uniform in [-strength, strength], strength <= 1/2; 3 channels only."""
    refuse_without_colour(image.shape[-1], hue=strength)
    if not strength:
        return image
    turn = strength * jax.random.uniform(key, minval=-1, maxval=1)
    return jnp.stack(turn_hue(_planes(image), turn), axis=-1)


def greyscale(key: jax.Array, image: jax.Array, probability: float = 1.0) -> jax.Array:
    """With that probability every channel becomes `0.299 r + 0.587 g + 0.114 b`; ValueError for 1 channel."""
    refuse_without_colour(image.shape[-1], grey=probability)
    grey = jax.random.bernoulli(key, probability).astype(image.dtype)
    return jnp.stack(blend(_planes(image), 1 - grey, None, grey), axis=-1)


def ranks_of(u: jax.Array) -> jax.Array:
    """Place of each element in ascending order, `[n]`; of equal ones the first comes first."""
    index = jnp.arange(len(u))
    before = (u[None] < u[:, None]) | ((u[None] == u[:, None]) & (index[None] < index[:, None]))
    return before.sum(axis=1)


def adjust(planes: Planes, factors: dict[str, jax.Array], ranks: jax.Array) -> Planes:
    """Applies single operations in the order that `ranks` gives.

    Every blend has a slot of its own for each rank, before and after the one place where the hue turns; slots that are
    not used leave the image as it is. So any order costs the same and each operation is computed in its place.

    Args:
        planes: `[H, W]` each.
        factors: of "brightness", "contrast", "saturation", and the turn of "hue", which comes last if it is there.
        ranks: place of each of them, `[len(factors)]`.
    """
    blends = [name for name in factors if name != "hue"]
    n, slots = len(blends), ranks[: len(blends)]
    a = jnp.array([factors[name] for name in blends], jnp.float32)

    def fill(slot, planes):
        here = slots == slot
        rest = dict(zip(blends, jnp.where(here, 1 - a, 0), strict=True))
        scale = jnp.where(here, a, 1).prod()
        return blend(planes, scale, rest.get("contrast"), rest.get("saturation"))

    if "hue" in factors:
        slots = jnp.where(slots < ranks[n], slots, slots - 1 + n)
    for slot in range(n):
        planes = fill(slot, planes)
    if "hue" in factors:
        planes = turn_hue(planes, factors["hue"])
        for slot in range(n, 2 * n):
            planes = fill(slot, planes)
    return planes


def colour_jitter(
    key: jax.Array,
    image: jax.Array,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
    probability: float = 1.0,
) -> jax.Array:
    """With that probability, `brightness`, `contrast`, `saturation` and `hue` in an order drawn anew for each image.

    Args:
        key: random key.
        image: `[H, W, C]`; for C = 1 saturation and hue must be 0.
        brightness: strength as that of the single operation; 0 leaves the operation out.
        contrast: the same.
        saturation: the same.
        hue: the same, at most 1/2.
        probability: that anything happens at all.

    Returns:
        `[H, W, C]` float32 in [0, 1].

    Raises:
        ValueError: saturation or hue for 1 channel.

    Source: Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020.
    """
    refuse_without_colour(image.shape[-1], saturation=saturation, hue=hue)
    strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
    active = {name: strength for name, strength in strengths.items() if strength}
    if not active:
        return image
    u = jax.random.uniform(key, (2 * len(active) + 1,))
    applied, values, order = u[0] < probability, u[1 : 1 + len(active)], u[1 + len(active) :]
    factors = {
        name: jnp.where(applied, strength * (2 * v - 1), 0)
        if name == "hue"
        else jnp.where(applied, _factor(v, strength), 1)
        for (name, strength), v in zip(active.items(), values, strict=True)
    }
    return jnp.stack(adjust(_planes(image), factors, ranks_of(order)), axis=-1)
