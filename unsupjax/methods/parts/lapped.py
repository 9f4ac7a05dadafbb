"""What the method `codec` learns: a lapped transform, its steps, and the distributions of its coefficients."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.codec import contexts, masking
from unsupjax.codec.contexts import BLOCK, KEPT, Layout
from unsupjax.codec.transform import (
    ANCHORS,
    COARSEST,
    RGB,
    SLOW,
    YCBCR,
    analyse,
    by_cells,
    cells_of,
    lapped_blocks,
    synthesise,
)
from unsupjax.models.convolve import convolve
from unsupjax.models.restorers import shuffle, unshuffle

DEADZONE = 0.15  # magnitudes are rounded up from 0.5 and this
LEAST = 1e-7  # probability, which an escape has at least


def coarseness(t: jax.Array) -> jax.Array:
    """The step in grey levels at anchor t."""
    return COARSEST * 2.0 ** (-t / 2)


def at_anchor(table: jax.Array, t: jax.Array) -> jax.Array:
    """Rows of a table `[ANCHORS, n]` at positions t `[B]`, interpolated: `[B, n]`."""
    hats = jnp.maximum(1 - jnp.abs(t[:, None] - jnp.arange(float(ANCHORS))[None]), 0)
    return hats @ table


def coefficients(params: dict, x: jax.Array, t: jax.Array) -> jax.Array:
    """Of pictures `[B, H, W, P]` in grey levels, in units of their steps: `[B, h, w, C]`."""
    planes = planes_of(x)
    return _transformed(params, planes) / steps_of(params, t, levels_of_masking(params, planes))


def levels_of_masking(params: dict, planes: jax.Array) -> jax.Array | None:
    """Of `unsupjax.codec.masking`, `[B, h, w]`; None of a model without."""
    return jax.lax.stop_gradient(masking.levels_of(planes[..., 0])) if "masking" in params else None


def steps_of(params: dict, t: jax.Array, levels: jax.Array | None) -> jax.Array:
    """`[B, 1, 1, C]`, or with levels of masking `[B, h, w, C]`."""
    steps = (coarseness(t)[:, None] * jnp.exp(at_anchor(params["gains"], t)))[:, None, None]
    if levels is None:
        return steps
    shape = at_anchor(params["masking"], t)[:, None, None]
    return steps * jnp.exp2(shape * (levels - masking.CENTRE)[..., None])


def planes_of(x: jax.Array) -> jax.Array:
    """Grey, or luma and two of chroma, around 0."""
    if x.shape[-1] == 1:
        return x - 128
    return x @ jnp.asarray(YCBCR.T, x.dtype) - jnp.array([128.0, 0, 0])[None, None, None]


def _transformed(params, planes):
    matrix = lambda i: params["analysis_luma" if i == 0 else "analysis_chroma"] / SLOW
    return jnp.concatenate(
        [analyse(cells_of(planes[..., i], BLOCK), matrix(i)) for i in range(planes.shape[-1])], axis=-1
    )


def pictures(params: dict, y: jax.Array, t: jax.Array, levels: jax.Array | None = None) -> jax.Array:
    """Pictures `[B, H, W, P]` in grey levels of coefficients in units of their steps."""
    y = y * steps_of(params, t, levels)
    starts = [0, KEPT[0], KEPT[0] + KEPT[1], KEPT[0] + 2 * KEPT[1]]
    matrix = lambda i: params["synthesis_luma" if i == 0 else "synthesis_chroma"] / SLOW
    planes = 1 if y.shape[-1] == KEPT[0] else 3
    x = jnp.stack(
        [synthesise(y[..., starts[i] : starts[i + 1]], matrix(i), BLOCK) for i in range(planes)], axis=-1
    )
    step = coarseness(t)[:, None, None, None]
    h = unshuffle(x / step)
    layers = params["filters"]
    for i, layer in enumerate(layers):
        h = convolve(h, layer["kernel"]) + layer["bias"][None, None, None]
        h = h if i == len(layers) - 1 else jax.nn.relu(h)
    x = x + shuffle(h) * step
    return x + 128 if planes == 1 else x @ jnp.asarray(RGB.T, x.dtype) + 128


def levels_of(q: jax.Array) -> jax.Array:
    """What contexts see of coefficients: log2(1 + |q|), in steps of 1/16, and the same with their signs."""
    magnitude = jnp.round(16 * jnp.log2(1 + jnp.abs(q))) / 16
    return jnp.concatenate([magnitude, magnitude * jnp.sign(q)], axis=-1)


def predicted(
    params: dict, q: jax.Array, t: jax.Array, order: Layout, masked: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Location and log2 of the scale of every coefficient, `[B, h, w, C]` each."""
    levels = levels_of(q)
    first, second = contexts.masks(order)
    inputs = contexts.inputs_of(levels, order, jnp)
    bias = at_anchor(params["hidden_bias"], t)[:, None, None]
    if masked is not None:
        masked = contexts.around_of(masked, jnp)
        bias = bias + masked @ params["masked_hidden"]
    hidden = jax.nn.relu(inputs @ (params["hidden"] * first) + bias)
    around = contexts.neighbours_of(levels, jnp)
    skip = (around * params["around"][:, None, None, None]).sum(axis=0)
    if masked is not None:
        skip = skip + masked @ params["masked_outputs"]
    c = order.channels
    scale = (
        hidden @ (params["scale"] * second)
        + skip[..., :c]
        + at_anchor(params["scale_bias"], t)[:, None, None]
    )
    location = hidden @ (params["location"] * second) + skip[..., c:]
    return location, scale


def rounded(y: jax.Array) -> jax.Array:
    """To whole numbers, with a dead zone around 0."""
    return jnp.sign(y) * jnp.floor(jnp.abs(y) + 0.5 - DEADZONE)


def probability(y: jax.Array, location: jax.Array, scale: jax.Array, mixture: jax.Array) -> jax.Array:
    """Of the interval of length 1 around y, under two Laplace distributions; `scale` is log2 of the first's."""
    share = jax.nn.sigmoid(mixture[0])
    d = jnp.abs(y - location)
    parts = []
    for factor in (1.0, jnp.exp2(mixture[1])):
        b = jnp.exp2(jnp.clip(scale, -4, 9)) * factor
        tail = 0.5 * jnp.exp((0.5 - jnp.maximum(d, 0.5)) / b) * (1 - jnp.exp(-1 / b))
        inner = jnp.minimum(d, 0.5)
        middle = 1 - 0.5 * (jnp.exp((inner - 0.5) / b) + jnp.exp((-inner - 0.5) / b))
        parts.append(jnp.where(d >= 0.5, tail, middle))
    return share * parts[0] + (1 - share) * parts[1] + LEAST


def measured(params: dict, x: jax.Array, t: jax.Array, order: Layout, keys: jax.Array):
    """Bits a pixel `[B]`, and the pictures that are decoded."""
    planes = planes_of(x)
    levels = levels_of_masking(params, planes)
    y = _transformed(params, planes) / steps_of(params, t, levels)
    q = jax.lax.stop_gradient(rounded(y))
    noise = jax.vmap(lambda key: jax.random.uniform(key, y.shape[1:], minval=-0.5, maxval=0.5))(keys)
    location, scale = predicted(params, q, t, order, levels)
    bits = -jnp.log2(probability(y + noise, location, scale, params["mixture"])).sum(axis=(1, 2, 3))
    if levels is not None:
        bits = bits + level_bits(params["map"], levels.astype(jnp.int32))
    made = pictures(params, y + jax.lax.stop_gradient(q - y), t, levels)
    return bits / (x.shape[1] * x.shape[2]), made


def level_bits(logits, levels):
    """`[B]`, of levels of masking `[B, h, w]`."""
    nats = jax.nn.log_softmax(logits * masking.SHARP)[(*masking.before(levels), levels)]
    return -nats.sum(axis=(1, 2)) / np.log(2)


def start(
    key: jax.Array, x: jax.Array, order: Layout, filters: int, filter_layers: int, masks: bool = False
) -> dict:
    """Parameters before training, of pictures `[B, H, W, P]` in [0, 1]; `masks`: steps depend on what is around."""
    planes, params = x.shape[-1], {}
    gains = []
    for name, kept in zip(("luma", "chroma")[:planes], KEPT, strict=False):
        a, s = lapped_blocks(BLOCK, 1.25, kept)
        params[f"analysis_{name}"] = jnp.asarray(by_cells(a, BLOCK) * SLOW, jnp.float32)
        params[f"synthesis_{name}"] = jnp.asarray(by_cells(s, BLOCK).swapaxes(1, 2) * SLOW, jnp.float32)
        gains += [-np.log(np.linalg.norm(s, axis=0))] * (1 if name == "luma" else 2)
    params["gains"] = jnp.asarray(np.tile(np.concatenate(gains), (ANCHORS, 1)), jnp.float32)
    keys = jax.random.split(jax.random.fold_in(key, 1), filter_layers + 1)
    f, h, c = len(order.inputs), len(order.hidden), order.channels
    params["hidden"] = jax.random.normal(keys[-1], (f, h)) * (0.5 / f**0.5)
    params["hidden_bias"] = jnp.zeros((ANCHORS, h))
    params["scale"], params["location"] = jnp.zeros((h, c)), jnp.zeros((h, c))
    params["around"] = jnp.concatenate([jnp.full((4, c), 0.15), jnp.zeros((4, c))], axis=1)
    params["mixture"] = jnp.array([1.0, 1.0])
    widths = [4 * planes, *[filters] * (filter_layers - 1), 4 * planes]
    kernels = nn_kernels(keys, widths)
    params["filters"] = [{"kernel": k, "bias": jnp.zeros(k.shape[-1])} for k in kernels]
    if masks:
        params["masking"] = jnp.full((ANCHORS, c), 0.3)
        params["masked_hidden"], params["masked_outputs"] = jnp.zeros((9, h)), jnp.zeros((9, 2 * c))
        params["map"] = jnp.asarray(masking.start())
    params["scale_bias"] = _scales(params, x * 255)
    return params


def nn_kernels(keys, widths):
    """Of 3x3 convolutions; the last is 0."""
    pairs = list(itertools.pairwise(widths))
    made = [
        jax.random.normal(k, (3, 3, *p)) * (2 / (9 * p[0])) ** 0.5 for k, p in zip(keys, pairs, strict=False)
    ]
    return [*made[:-1], 0 * made[-1]]


def _scales(params, x):
    """log2 of the mean magnitude of each channel in a batch, at each anchor, less what neighbours add."""
    size = lambda t: jnp.abs(coefficients(params, x, jnp.full(len(x), t))).mean(axis=(0, 1, 2))
    found = jnp.stack([size(float(t)) for t in range(ANCHORS)])
    return jnp.log2(found + 0.06) - 4 * 0.15 * jnp.log2(1 + found)
