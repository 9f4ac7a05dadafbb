"""Crops, flips and affine maps of one image, as small matrix products: no gathers, fast under `vmap` everywhere.

Images are float32 `[H, W, C]` with values in [0, 1].
"""

import math

import chex
import jax
import jax.numpy as jnp

_TRIES = 10


def _triangle(t: jax.Array) -> jax.Array:
    return jnp.maximum(1 - jnp.abs(t), 0)


def _cubic(t: jax.Array) -> jax.Array:
    """Keys' kernel with a = -1/2, that of Pillow and `jax.image`."""
    t = jnp.abs(t)
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return jnp.where(t < 1, near, jnp.where(t < 2, far, 0))


RESAMPLING = {"bilinear": _triangle, "bicubic": _cubic}


def resize_matrix(start, length, inputs, outputs, *, method="bilinear", antialias=True, reverse=False):
    """Matrix that cuts an interval out of a line of pixels and resamples it.

    Args:
        start: first pixel of the interval; may be traced, as `length` and `reverse` may.
        length: pixels of the interval.
        inputs: pixels of the line.
        outputs: pixels wanted.
        method: a name in RESAMPLING.
        antialias: widen the kernel by length / outputs where the interval shrinks.
        reverse: mirror the outputs.

    Returns:
        `[outputs, inputs]` float32 whose rows sum to 1; pixels outside the interval have no weight.
    """
    scale = length / outputs
    order = jnp.arange(outputs, dtype=jnp.float32)
    order = jnp.where(reverse, outputs - 1 - order, order)
    centers = start + (order + 0.5) * scale
    pixels = jnp.arange(inputs, dtype=jnp.float32)
    width = jnp.maximum(scale, 1) if antialias else 1
    weights = RESAMPLING[method]((pixels[None] + 0.5 - centers[:, None]) / width)
    weights = jnp.where(((pixels >= start) & (pixels < start + length))[None], weights, 0)
    return weights / weights.sum(axis=1, keepdims=True)


def separable(image: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """`rows @ channel @ columns.T` of every channel: `[H, W, C]`, `[h, H]` and `[w, W]` to `[h, w, C]`."""
    height, width, channels = image.shape
    # Rows act on all channels at once, columns on planes: of the orders tried, XLA:CPU runs this one fastest.
    y = jnp.matmul(rows, image.reshape(height, width * channels), precision="highest")
    planes = y.reshape(-1, width, channels).transpose(2, 0, 1).reshape(-1, width)
    y = jnp.matmul(planes, columns.T, precision="highest")
    return y.reshape(channels, len(rows), len(columns)).transpose(1, 2, 0)


def _fallback(height: int, width: int, aspect: tuple[float, float]) -> tuple[int, int]:
    """Largest box of an aspect ratio that is allowed."""
    ratio = width / height
    if ratio < min(aspect):
        return round(width / min(aspect)), width
    if ratio > max(aspect):
        return height, round(height * max(aspect))
    return height, width


def crop_box(key, height, width, area, aspect):
    """Top, left, height and width (whole numbers in float32) of a box drawn as `random_resized_crop` says."""
    u = jax.random.uniform(key, (2 * _TRIES + 2,))
    areas = height * width * (area[0] + (area[1] - area[0]) * u[:_TRIES])
    low, high = math.log(aspect[0]), math.log(aspect[1])
    ratios = jnp.exp(low + (high - low) * u[_TRIES:-2])
    heights, widths = jnp.round(jnp.sqrt(areas / ratios)), jnp.round(jnp.sqrt(areas * ratios))
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    first = fits & (jnp.cumsum(fits) == 1)
    found = fits.any()
    last_h, last_w = _fallback(height, width, aspect)
    h = jnp.where(found, jnp.where(first, heights, 0).sum(), last_h)
    w = jnp.where(found, jnp.where(first, widths, 0).sum(), last_w)
    # A uniform draw may round up to its end when multiplied.
    top = jnp.minimum(jnp.floor(u[-2] * (height - h + 1)), height - h)
    left = jnp.minimum(jnp.floor(u[-1] * (width - w + 1)), width - w)
    top = jnp.where(found, top, (height - last_h) // 2)
    left = jnp.where(found, left, (width - last_w) // 2)
    return top, left, h, w


def random_resized_crop(
    key: jax.Array,
    image: jax.Array,
    size: tuple[int, int],
    *,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
    method: str = "bilinear",
    antialias: bool = True,
    flip: float = 0.0,
) -> jax.Array:
    """Cuts out a random box and resamples it to `size`.

    The box has a share of the image's area uniform in `area` and a ratio width / height log-uniform in `aspect`, both
    sides rounded to whole pixels (halves to even) and its place uniform among the whole pixels where it fits. The first
    of ten draws that fits is taken; where none does, the largest central box whose ratio lies in `aspect`: what
    torchvision does. As there, only pixels of the box enter, and near its edges the kernel is renormalised.

    Args:
        key: random key.
        image: `[H, W, C]`.
        size: height and width of the result.
        area: lowest and highest share of the area, 0 < low <= high <= 1.
        aspect: lowest and highest ratio.
        method: "bilinear" or "bicubic" (Keys, a = -1/2); the latter's overshoot is clipped to [0, 1].
        antialias: widen the kernel where the box shrinks, as Pillow does.
        flip: probability to mirror left and right, in the same products.

    Returns:
        `[h, w, C]` float32.

    Source: Szegedy et al., "Going deeper with convolutions", CVPR 2015.
    """
    chex.assert_rank(image, 3)
    height, width, _ = image.shape
    box_key, flip_key = jax.random.split(key)
    top, left, h, w = crop_box(box_key, height, width, area, aspect)
    mirrored = jax.random.bernoulli(flip_key, flip) if flip else False
    options = {"method": method, "antialias": antialias}
    rows = resize_matrix(top, h, height, size[0], **options)
    columns = resize_matrix(left, w, width, size[1], reverse=mirrored, **options)
    cropped = separable(image, rows, columns)
    return jnp.clip(cropped, 0, 1) if method == "bicubic" else cropped


def horizontal_flip(key: jax.Array, image: jax.Array, probability: float = 0.5) -> jax.Array:
    """Mirrors left and right with that probability, `[H, W, C]`."""
    chex.assert_rank(image, 3)
    return jnp.where(jax.random.bernoulli(key, probability), image[:, ::-1], image)


def sample_bilinear(image: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
    """Values between pixels, and 0 beyond the outermost.

    Args:
        image: `[H, W, C]`.
        y: row coordinates, `[P]`; whole numbers are the pixels' centres.
        x: column coordinates, `[P]`.

    Returns:
        `[P, C]`. It costs P H (W + 1) C multiplications and, for each channel, P H numbers of memory.
    """
    height, width, channels = image.shape
    of_rows = _triangle(jnp.arange(height, dtype=jnp.float32)[:, None] - y[None])
    of_columns = _triangle(jnp.arange(width, dtype=jnp.float32)[:, None] - x[None])
    planes = image.transpose(2, 0, 1).reshape(channels * height, width)
    lines = jnp.matmul(planes, of_columns, precision="highest").reshape(channels, height, -1)
    return (lines * of_rows[None]).sum(axis=1).T


def random_affine(
    key: jax.Array,
    image: jax.Array,
    *,
    rotate: float = 0.0,
    shear: float = 0.0,
    shift: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
) -> jax.Array:
    r"""Rotates, shears, scales and moves an image around its centre; what comes from outside is 0.

    A point p of the result shows the point :math:`c + M^{-1}(p - c - t)` of the image, bilinearly, where c is the
    centre and :math:`M = s R(\theta) S(\phi)`: shear along the rows, then rotation, then scale. Meant for images up to
    about 64 x 64: the cost grows with H^2 W^2 (see `sample_bilinear`).

    Args:
        key: random key.
        image: `[H, W, C]`.
        rotate: the angle is uniform in [-rotate, rotate] degrees, counter-clockwise.
        shear: the angle of the shear is uniform in [-shear, shear] degrees.
        shift: the move is uniform in [-shift, shift] times height and width.
        scale: the factor is uniform between these two; above 1 things grow.

    Returns:
        `[H, W, C]` float32.
    """
    chex.assert_rank(image, 3)
    height, width, channels = image.shape
    u = jax.random.uniform(key, (5,))
    signed = 2 * u - 1
    angle, slant = jnp.deg2rad(rotate) * signed[0], jnp.tan(jnp.deg2rad(shear) * signed[1])
    factor = scale[0] + (scale[1] - scale[0]) * u[4]
    cos, sin = jnp.cos(angle) / factor, jnp.sin(angle) / factor
    rows, columns = jnp.meshgrid(
        jnp.arange(height, dtype=jnp.float32), jnp.arange(width, dtype=jnp.float32), indexing="ij"
    )
    y = rows.reshape(-1) - (height - 1) / 2 - shift * height * signed[2]
    x = columns.reshape(-1) - (width - 1) / 2 - shift * width * signed[3]
    y, x = cos * y + sin * x, cos * x - sin * y  # rows grow downwards, so this turns counter-clockwise
    x = x - slant * y
    moved = sample_bilinear(image, y + (height - 1) / 2, x + (width - 1) / 2)
    return moved.reshape(height, width, channels)
