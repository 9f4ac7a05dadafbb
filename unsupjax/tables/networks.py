"""The two networks over vectors of `transform`, and what stands between them."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from unsupjax.tables.transform import Transform

TAU = 0.2  # temperature of the Gumbel-softmax


class Layout(NamedTuple):
    """How a vector is divided: a scalar for every entry of `modes`, one-hots of modes, one-hots of categories."""

    modes: tuple[int, ...]
    categories: tuple[int, ...]

    @property
    def scalars(self) -> int:
        """How many continuous columns there are."""
        return len(self.modes)

    @property
    def hots(self) -> tuple[int, ...]:
        """Widths of all one-hots, H together."""
        return (*self.modes, *self.categories)

    @property
    def width(self) -> int:
        """D."""
        return self.scalars + sum(self.hots)


def layout(transform: Transform) -> Layout:
    """The layout of the transform's vectors."""
    return Layout(
        tuple(len(c.mean) for c in transform.continuous),
        tuple(len(d.categories) for d in transform.discrete),
    )


class TableGenerator(nn.Module):
    """Dense layers with batch norm whose outputs are joined to their inputs, then a linear one that starts at zero.

    `[B, L] -> [B, width]`.

    Attributes:
        width: of the output: M scalars, one for each mode, and H logits.
        features: widths of the hidden layers.

    Source: Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019, section 4.4.
    """

    width: int
    features: Sequence[int] = (256, 256)

    @nn.compact
    def __call__(self, z: jax.Array, train: bool = False) -> jax.Array:
        for n in self.features:
            h = nn.BatchNorm(use_running_average=not train, momentum=0.9)(nn.Dense(n)(z))
            z = jnp.concatenate([nn.relu(h), z], axis=1)
        return nn.Dense(self.width, kernel_init=nn.initializers.zeros)(z)


class TableCritic(nn.Module):
    """Packs of examples to logits, `[B, P, E] -> [B]` float32: dense layers, leaky ReLU of slope 0.2, dropout.

    Attributes:
        features: widths of the hidden layers.
        dropout: the part of the units that is dropped in training.
    """

    features: Sequence[int] = (256, 256)
    dropout: float = 0.25

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = x.reshape(x.shape[0], -1)
        for n in self.features:
            x = nn.leaky_relu(nn.Dense(n)(x), 0.2)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(1)(x)[:, 0]


def by_group(function: Callable, widths: Sequence[int], x: jax.Array) -> jax.Array:
    """`function` on blocks `[B, G, K]` of x `[B, sum(widths)]`: each run of G groups of equal width K, joined again."""
    done, at = [x[:, :0]], 0
    for width, run in groupby(widths):
        n = len(list(run))
        block = x[:, at : at + n * width].reshape(-1, n, width)
        done.append(function(block).reshape(x.shape[0], -1))
        at += n * width
    return jnp.concatenate(done, axis=1)


def compose(
    layout: Layout, key: jax.Array, raw: jax.Array, start: tuple[jax.Array, jax.Array], spread: jax.Array
) -> tuple[jax.Array, jax.Array]:
    r"""Vectors `[B, D]` of the generator's outputs `[B, M + H]`, which are added to a start; and the logits `[B, H]`.

    `spread` `[M]` is 0 for modes that are a single value, whose scalar is 0.

    One-hots are Gumbel-softmax of temperature 0.2, hard, with the soft ones' gradient: the critic never sees what
    `decode` rounds away. A column's scalar is, by tanh, that of the mode which was drawn: one scalar for all modes
    could not follow the draw.

    Source: Jang, Gu and Poole, "Categorical reparameterization with Gumbel-softmax", ICLR 2017.
    """
    modes = sum(layout.modes)
    logits, scalars = start[0] + raw[:, modes:], spread[None] * jnp.tanh(start[1] + raw[:, :modes])
    noisy = (logits + jax.random.gumbel(key, logits.shape)) / TAU
    soft = by_group(jax.nn.softmax, layout.hots, noisy)
    hard = by_group(lambda x: jax.nn.one_hot(x.argmax(axis=-1), x.shape[-1]), layout.hots, noisy)
    hots = soft + jax.lax.stop_gradient(hard - soft)
    scalar = by_group(lambda x: x.sum(axis=-1), layout.modes, hots[:, :modes] * scalars)
    return jnp.concatenate([scalar, hots], axis=1), logits


def condition_loss(layout: Layout, logits: jax.Array, condition: jax.Array) -> jax.Array:
    """Cross-entropy `[B]` of the categories asked for, one-hot `[B, C]`, under the logits `[B, H]`."""
    categories = logits[:, sum(layout.modes) :]
    return -(condition * by_group(jax.nn.log_softmax, layout.categories, categories)).sum(axis=1)
