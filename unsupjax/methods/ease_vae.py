"""EASE and Mult-VAE side by side, whose scores are added."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax.methods.base import Method, Wants
from unsupjax.methods.ease import EaseState, ease
from unsupjax.methods.mult_vae import mult_vae
from unsupjax.methods.parts.bags import unit_rows


class EaseVaeState(NamedTuple):
    """The states of both."""

    step: jax.Array
    key: jax.Array
    linear: EaseState
    latent: Any


def ease_vae(
    encoder: nn.Module,
    decoder: nn.Module,
    tx: optax.GradientTransformation,
    *,
    weight: float = 2.0,
    regularization: float = 300.0,
    latent_dim: int = 200,
    beta: float = 0.2,
    anneal: float = 0.5,
    dropout: float = 0.5,
    tied: bool = False,
    vocabulary: int,
    examples: int,
    total_steps: int,
    axis_name: str | None = None,
    dtype: jnp.dtype | None = None,
) -> Method:
    """Scores that are the sum of EASE's and Mult-VAE's, each standardised over all items of a row.

    The one knows pairs of items and no more, the other what kind of row it is: where they err, they err apart. Both
    train on the same batches, EASE in the first epoch. `encode` is Mult-VAE's; `items` has the embeddings of both,
    each less its mean and of length 1, beside each other.

    Args:
        encoder, decoder: Linen modules, `[B, V] -> [B, H]` and `[B, latent_dim] -> [B, V]`.
        tx: the optimizer.
        weight: of Mult-VAE's scores; EASE's have 1.
        regularization: of EASE.
        latent_dim: width of the code of Mult-VAE, and of EASE's embeddings of items.
        beta: of Mult-VAE, the weight of the KL divergence at last.
        anneal: the fraction of all steps in which it grows.
        dropout: of Mult-VAE's input.
        tied: the kernels of Mult-VAE's decoder are its encoder's, transposed.
        vocabulary: V, how many items there are.
        examples: in an epoch.
        total_steps: of the run.
        axis_name: the mapped device axis under `pmap` or `shard_map`.
        dtype: compute dtype of the code layer; the modules carry their own.

    Raises:
        ValueError: an argument out of its range, or more than 50,000 items.

    Source: `ease`, `mult_vae`.
    """
    linear = ease(
        regularization=regularization,
        latent_dim=latent_dim,
        vocabulary=vocabulary,
        examples=examples,
        axis_name=axis_name,
    )
    how = {"latent_dim": latent_dim, "beta": beta, "anneal": anneal, "dropout": dropout, "tied": tied}
    facts = {
        "vocabulary": vocabulary,
        "total_steps": total_steps,
        "axis_name": axis_name,
        "dtype": dtype,
    }
    latent = mult_vae(encoder, decoder, tx, **how, **facts)

    def init(key, batch):
        of_linear, of_latent = (m.init(key, batch) for m in (linear, latent))
        return EaseVaeState(jnp.zeros((), jnp.int32), key, of_linear, of_latent)

    def step(state: EaseVaeState, x: jax.Array):
        of_linear, found = linear.step(state.linear, x)
        of_latent, metrics = latent.step(state.latent, x)
        state = EaseVaeState(state.step + 1, state.key, of_linear, of_latent)
        return state, metrics | {"ease_loss": found["loss"]}

    def finish(state: EaseVaeState):
        return state._replace(linear=linear.finish(state.linear))

    def encode(state: EaseVaeState, x: jax.Array):
        return latent.encode(state.latent, x)

    def recommend(state: EaseVaeState, x: jax.Array):
        scores = _standardised(linear.recommend(state.linear, x))
        return scores + weight * _standardised(latent.recommend(state.latent, x))

    def items(state: EaseVaeState):
        both = linear.items(state.linear), latent.items(state.latent)
        return jnp.concatenate([unit_rows(e - e.mean(axis=0, keepdims=True)) for e in both], axis=1)

    wants = Wants(kinds=("baskets",))
    return Method(init, step, encode, finish=finish, recommend=recommend, items=items, wants=wants)


def _standardised(scores: jax.Array) -> jax.Array:
    mean, deviation = scores.mean(axis=1, keepdims=True), scores.std(axis=1, keepdims=True)
    return (scores - mean) / jnp.maximum(deviation, 1e-12)
