"""A generator and a discriminator as pure functions over their variables."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp


class Adversaries(NamedTuple):
    """Pure functions; `stats` are a network's batch statistics, `spectral` the discriminator's singular vectors.

    Attributes:
        init: `(key, z, x, label) -> (generator params, stats, discriminator params, stats, spectral)`.
        generate: `(params, stats, z, label) -> (x, stats)`, in training mode: batch norm takes the statistics of this
            batch and moves its running ones.
        draw: `(params, stats, z, label) -> x`, in evaluation mode.
        judge: `(params, stats, spectral, x, label) -> (logits [B], stats)`, in training mode.
        features: `(params, stats, spectral, x) -> [B, H]`, before the last layer, in evaluation mode.
    """

    init: Callable
    generate: Callable
    draw: Callable
    judge: Callable
    features: Callable


def adversaries(generator: nn.Module, discriminator: nn.Module) -> Adversaries:
    """Joins `generator(z, label, train)` and `discriminator(x, label, train, features)`; label may be None."""

    def init(key, z, x, label):
        made = generator.init(jax.random.fold_in(key, 0), z, label, train=False)
        judge = discriminator.init(jax.random.fold_in(key, 1), x, label, train=False)
        part = lambda variables, name: variables.get(name, {})
        return (
            made["params"],
            part(made, "batch_stats"),
            judge["params"],
            part(judge, "batch_stats"),
            part(judge, "spectral"),
        )

    def generate(params, stats, z, label):
        variables = {"params": params, "batch_stats": stats}
        x, changed = generator.apply(variables, z, label, train=True, mutable=["batch_stats"])
        return x, changed.get("batch_stats", {})

    def draw(params, stats, z, label):
        return generator.apply({"params": params, "batch_stats": stats}, z, label, train=False)

    def variables_of(params, stats, spectral):
        return {"params": params, "batch_stats": stats, "spectral": spectral}

    def judge(params, stats, spectral, x, label):
        variables = variables_of(params, stats, spectral)
        logits, changed = discriminator.apply(variables, x, label, train=True, mutable=["batch_stats"])
        return logits, changed.get("batch_stats", {})

    def features(params, stats, spectral, x):
        variables = variables_of(params, stats, spectral)
        return discriminator.apply(variables, x, None, train=False, features=True).astype(jnp.float32)

    return Adversaries(init, generate, draw, judge, features)


def diversity(fake: jax.Array, real: jax.Array, mean: Callable[[Any], Any]) -> jax.Array:
    r"""Spread of generated examples over that of real ones, :math:`\sqrt{\sum_d Var(\tilde x_d) / \sum_d Var(x_d)}`.

    About 1 where a generator is healthy and 0 where all its samples are the same.

    Args:
        fake, real: `[B, ...]`, of this device.
        mean: over devices.
    """

    def variance(x):
        first, second = mean((x.mean(axis=0), (x * x).mean(axis=0)))
        return jnp.maximum(second - first * first, 0).sum()

    return jnp.sqrt(variance(fake) / jnp.maximum(variance(real), 1e-12))
