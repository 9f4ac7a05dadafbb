"""Rows of numbers by modes and of categories, as a generator makes them and a critic sees them.

A vector holds the columns of a stored row in another order: [scalars | modes | categories], of each number a scalar in
[-1, 1] and a one-hot of its mode, of each category a one-hot. One-hots of equal width lie beside each other, so that a
softmax over each of them is a few reshapes and no gather. Columns of a single value are left out.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

TAU = 0.2  # temperature of the Gumbel-softmax
_FLOOR = 1e-2  # standard deviation below which a component counts as constant
_WEIGHT = 0.3  # of the whitened components beside the rest


class Layout(NamedTuple):
    """How a vector `[D]` is divided, and where its entries lie in a stored row.

    Attributes:
        numbers, categories: the columns, by their index, in the order of their one-hots.
        modes, sizes: the widths of these one-hots.
        order: `[D]`, where each entry lies in a stored row.
        row: `[W]`, a stored row of the columns that are left out, and 0 in the others.
        mean, slope: `[M, J]`, of J numbers the mean of each of the M modes in deviations from the column's mean, and
            what a mode's scalar is multiplied by; 0 of other columns' modes.
    """

    numbers: tuple[int, ...]
    categories: tuple[int, ...]
    modes: tuple[int, ...]
    sizes: tuple[int, ...]
    order: np.ndarray
    row: np.ndarray
    mean: np.ndarray
    slope: np.ndarray

    @property
    def scalars(self) -> int:
        """J, how many numbers there are."""
        return len(self.modes)

    @property
    def hots(self) -> tuple[int, ...]:
        """Widths of all one-hots, H together."""
        return (*self.modes, *self.sizes)

    @property
    def width(self) -> int:
        """D."""
        return self.scalars + sum(self.hots)

    @property
    def spread(self) -> np.ndarray:
        """`[M]`, 1 for modes that are an interval and 0 for those that are one value."""
        return (self.slope.sum(axis=1) > 0).astype(np.float32)

    @property
    def column(self) -> np.ndarray:
        """`[H]`, which of the columns a one-hot's entry belongs to, numbers first."""
        return np.repeat(np.arange(len(self.hots)), self.hots)


def layout(kind: Any) -> Layout:
    """The layout of a kind's rows.

    Raises:
        ValueError: another kind than a table of categories and of numbers by modes, or a table of constants.
    """
    if getattr(kind, "name", None) != "table":
        raise ValueError(f"it models tables, and this is {getattr(kind, 'name', 'no')} data")
    other = next((c for c in kind.columns if c.type not in ("modes", "category")), None)
    if other is not None:
        raise ValueError(
            f"column {other.name!r} is a {other.type}, and it models numbers by their modes: set "
            "config.data.numbers='modes'"
        )
    hots = {i: c.width - (c.type == "modes") for i, c in enumerate(kind.columns)}
    free = sorted(
        (i for i in hots if hots[i] > 1 or any(getattr(kind.columns[i], "scale", ()))), key=hots.get
    )
    if not free:
        raise ValueError("every column of the table is constant; there is nothing to model")
    numbers, categories = (
        tuple(i for i in free if kind.columns[i].type == name) for name in ("modes", "category")
    )
    after = lambda i: range(kind.starts[i] + 1, kind.starts[i] + kind.columns[i].width)
    order = [kind.starts[i] for i in numbers]
    order += [at for i in numbers for at in after(i)]
    order += [kind.starts[i] + k for i in categories for k in range(hots[i])]
    row = np.zeros(kind.shape, np.float32)
    row[[kind.starts[i] + kind.columns[i].width - 1 for i in hots if i not in free]] = 1
    sizes = [tuple(hots[i] for i in part) for part in (numbers, categories)]
    return Layout(numbers, categories, *sizes, np.array(order), row, *_slopes(kind, numbers, sizes[0]))


def _slopes(kind: Any, numbers: tuple[int, ...], modes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Missing numbers stand at the mean."""
    mean, slope = np.zeros((2, sum(modes), len(modes)), np.float32)
    ends = np.cumsum((0, *modes))
    for j, i in enumerate(numbers):
        weight, centre, scale = (
            np.array(getattr(kind.columns[i], n), float) for n in ("weight", "mean", "scale")
        )
        there = ~np.isnan(centre)
        weight = np.where(there, weight, 0) / max(weight[there].sum(), 1e-12)
        centred = np.where(there, centre - weight[there] @ centre[there], 0)
        deviation = np.sqrt(weight @ (centred**2 + scale**2)) or 1.0
        rows = slice(ends[j], ends[j + 1])
        mean[rows, j], slope[rows, j] = centred / deviation, 4 * scale / deviation
    return mean, slope


def arranged(layout: Layout, x: jax.Array) -> jax.Array:
    """Vectors `[B, D]` of stored rows `[B, W]`; what lies far out in its mode is brought to the edge of it."""
    x = x[:, layout.order]
    return x.at[:, : layout.scalars].set(jnp.clip(x[:, : layout.scalars], -1, 1))


def placed(layout: Layout, vectors: jax.Array) -> jax.Array:
    """Rows `[B, W]` of vectors."""
    rows = jnp.broadcast_to(layout.row, (len(vectors), len(layout.row)))
    return rows.at[:, layout.order].set(vectors)


class Generator(nn.Module):
    """Dense layers with batch norm whose outputs are joined to their inputs, then a linear one that starts at zero.

    `[B, L] -> [B, width]`.

    Attributes:
        width: of the output: M scalars, one for each mode, and H logits.
        features: widths of the hidden layers.
        axis_name: the device axis under `pmap`.

    Source: Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019, section 4.4.
    """

    width: int
    features: Sequence[int]
    axis_name: str | None = None

    @nn.compact
    def __call__(self, z: jax.Array, train: bool = False) -> jax.Array:
        for n in self.features:
            norm = nn.BatchNorm(use_running_average=not train, momentum=0.9, axis_name=self.axis_name)
            z = jnp.concatenate([nn.relu(norm(nn.Dense(n)(z))), z], axis=1)
        return nn.Dense(self.width, kernel_init=nn.initializers.zeros)(z)


class Critic(nn.Module):
    """Packs of examples to logits, `[B, P, E] -> [B]`: dense layers, leaky ReLU of slope 0.2, dropout.

    Attributes:
        features: widths of the hidden layers.
        dropout: the part of the units that is dropped where there are keys.
    """

    features: Sequence[int]
    dropout: float

    @nn.compact
    def __call__(self, x: jax.Array, keys: jax.Array | None = None, features: bool = False) -> jax.Array:
        x = x.reshape(x.shape[0], -1)
        for i, n in enumerate(self.features):
            x = nn.leaky_relu(nn.Dense(n)(x), 0.2)
            if keys is not None and self.dropout:
                keep = lambda key, i=i, n=n: jax.random.bernoulli(
                    jax.random.fold_in(key, i), 1 - self.dropout, (n,)
                )
                x = jnp.where(jax.vmap(keep)(keys), x / (1 - self.dropout), 0)
        return x if features else nn.Dense(1)(x)[:, 0]


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
    layout: Layout, gumbel: jax.Array, raw: jax.Array, start: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    r"""Vectors `[B, D]` of the generator's outputs `[B, M + H]`, which are added to a start; and the logits `[B, H]`.

    One-hots are Gumbel-softmax of temperature 0.2, hard, with the soft ones' gradient: the critic never sees what
    the kind rounds away. A column's scalar is, by tanh, that of the mode which was drawn: one scalar for all modes
    could not follow the draw. That of a mode which is a single value is 0.

    Source: Jang, Gu and Poole, "Categorical reparameterization with Gumbel-softmax", ICLR 2017.
    """
    modes = sum(layout.modes)
    logits, scalars = start[0] + raw[:, modes:], layout.spread[None] * jnp.tanh(start[1] + raw[:, :modes])
    noisy = (logits + gumbel) / TAU
    soft = by_group(jax.nn.softmax, layout.hots, noisy)
    hard = by_group(lambda x: jax.nn.one_hot(x.argmax(axis=-1), x.shape[-1]), layout.hots, noisy)
    hots = soft + jax.lax.stop_gradient(hard - soft)
    scalar = by_group(lambda x: x.sum(axis=-1), layout.modes, hots[:, :modes] * scalars)
    return jnp.concatenate([scalar, hots], axis=1), logits


def condition_loss(layout: Layout, logits: jax.Array, condition: jax.Array) -> jax.Array:
    """Cross-entropy `[B]` of the categories asked for, one-hot `[B, C]`, under the logits `[B, H]`."""
    categories = logits[:, sum(layout.modes) :]
    return -(condition * by_group(jax.nn.log_softmax, layout.sizes, categories)).sum(axis=1)


class View(NamedTuple):
    """Numbers whitened: `centre` `[J]` and `whiten` `[J, J]`."""

    centre: jax.Array
    whiten: jax.Array


def fit_view(layout: Layout, vectors: np.ndarray) -> View:
    """The view of a table's vectors `[N, D]`."""
    x = np.asarray(numbers(layout, vectors)[0], np.float64)
    centre = x.mean(axis=0)
    eigenvalues, axes = np.linalg.eigh((x - centre).T @ (x - centre) / len(x))
    return View(centre, axes / np.sqrt(eigenvalues.clip(0) + _FLOOR**2))


def numbers(layout: Layout, vectors: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The numbers of vectors `[B, D]` in deviations from their mean; their modes' means and slopes; `[B, J]` each."""
    modes = vectors[:, layout.scalars : layout.scalars + sum(layout.modes)]
    mean, slope = _matmul(modes, layout.mean), _matmul(modes, layout.slope)
    return mean + slope * vectors[:, : layout.scalars], mean, slope


def see(layout: Layout, view: View, vectors: jax.Array, condition: jax.Array) -> jax.Array:
    """What the critic is given, `[B, D + C + 2 J]`: a vector, its condition, its numbers and their components.

    Columns that nearly determine each other (a radius and an area) do so in a direction of little variance, which a
    critic of bounded slope overlooks unless it is stretched.
    """
    x, _, _ = numbers(layout, vectors)
    components = _WEIGHT * _matmul(x - view.centre[None], view.whiten)
    return jnp.concatenate([vectors, condition, x, components], axis=1)


def _matmul(a, b):
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
