"""Sparse autoencoders: a KL or L1 penalty on the code, or only its k largest units kept."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax import losses
from unsupjax.methods.base import Method, State, descend, init_state, likelihood_wants
from unsupjax.methods.parts.coder import coder
from unsupjax.parallel.collectives import pmean


def _unit_norm_dictionary(params: dict) -> dict:
    """`params` with the rows of the decoder's first kernel, one a code unit, scaled to length 1."""
    decoder = params["decoder"]
    kernel = decoder["Dense_0"]["kernel"]
    unit = kernel / jnp.linalg.norm(kernel, axis=1, keepdims=True).clip(1e-8)
    return params | {"decoder": decoder | {"Dense_0": decoder["Dense_0"] | {"kernel": unit}}}


def sparse(
    encoder: nn.Module,
    decoder: nn.Module,
    tx: optax.GradientTransformation,
    *,
    latent_dim: int = 1000,
    penalty: str = "kl",
    weight: float = 1.0,
    target: float = 0.05,
    likelihood: str = "bernoulli",
    tied: bool = False,
    axis_name: str | None = None,
    dtype: jnp.dtype | None = None,
) -> Method:
    """Reconstruction error plus `weight` times a sparsity penalty.

    "kl": sigmoid code; the KL divergence of each unit's mean activation, over the global batch, from `target`.
    "l1": relu code; the sum of absolute activations. The decoder's dictionary is kept at unit norm, or the
    penalty could be scaled away.

    Args:
        encoder, decoder: Linen modules, `[B, ...] -> [B, H]` and `[B, latent_dim] -> [B, ...]`; for "l1" the
            decoder's first layer is a dense one.
        tx: the optimizer.
        latent_dim: width of the code.
        penalty: "kl" or "l1".
        weight: factor of the penalty, which is summed over the code's units.
        target: rho, the target activation of a unit ("kl" alone).
        likelihood: "bernoulli" (inputs in [0, 1]), "squared_error" or "gaussian"; summed over the event.
        tied: the decoder's dense kernels are the encoder's, transposed ("kl" alone).
        axis_name: the mapped device axis under `pmap` or `shard_map`.
        dtype: compute dtype of the code layer; the modules carry their own.

    Source: Ng, "Sparse autoencoder", CS294A lecture notes, 2011.
    """
    if penalty not in ("kl", "l1"):
        raise ValueError(f"unknown penalty {penalty!r}; 'kl' or 'l1'")
    if penalty == "l1" and tied:
        raise ValueError("penalty 'l1' normalises the decoder's own dictionary: it cannot be tied")
    networks = coder(encoder, decoder, latent_dim, tied=tied, dtype=dtype)
    p_x = losses.likelihood(likelihood)
    activate = nn.sigmoid if penalty == "kl" else nn.relu
    constrain = (lambda params: params) if penalty == "kl" else _unit_norm_dictionary

    def init(key, batch):
        params = networks.init(key, batch)
        if penalty == "l1" and "Dense_0" not in params["decoder"]:
            raise ValueError("penalty 'l1' needs a decoder whose first layer is a dense one")
        return init_state(key, params, tx)

    def step(state: State, x: jax.Array):
        def loss(params):
            z = activate(networks.encode(params, x))
            error = p_x.nll(networks.decode(constrain(params), z), x).mean()
            kl = lambda: losses.kl_sparsity(z, target, axis_name=axis_name).sum()
            cost = kl() if penalty == "kl" else losses.l1(z).mean()
            return error + weight * cost, {"reconstruction": error, "sparsity": cost, "activation": z.mean()}

        return descend(loss, state, tx, axis_name)

    def encode(state: State, x: jax.Array):
        return activate(networks.encode(state.params, x))

    def decode(state: State, z: jax.Array):
        return p_x.mean(networks.decode(constrain(state.params), z))

    return Method(init, step, encode, decode, wants=likelihood_wants(likelihood))


class KSparseState(NamedTuple):
    """`State` with two statistics of the data.

    Attributes:
        mean: the mean input so far, of the shape of one example.
        last_active: the step at which each unit was last among the k largest of any example, `[latent_dim]`.
    """

    step: jax.Array
    key: jax.Array
    params: Any
    opt_state: optax.OptState
    mean: jax.Array
    last_active: jax.Array


def top_k(h: jax.Array, k: int | jax.Array, most: int | None = None) -> jax.Array:
    """`h` `[B, D]` with all but each row's k largest entries set to 0 (entries equal to the k-th are kept).

    Where `k` is traced, `most` is its static upper bound.
    """
    largest, _ = jax.lax.top_k(h, most or k)
    threshold = jax.lax.dynamic_slice_in_dim(largest, k - 1, 1, axis=1)
    # The mask is a constant of the gradient, as the sort that made it need not be differentiated.
    return jnp.where(h >= jax.lax.stop_gradient(threshold), h, 0)


def k_sparse(
    encoder: nn.Module,
    decoder: nn.Module,
    tx: optax.GradientTransformation,
    *,
    latent_dim: int = 1000,
    k: int = 25,
    k_start: int = 100,
    anneal_steps: int = 2000,
    encode_factor: float = 3.0,
    dead_after: int = 1000,
    likelihood: str = "squared_error",
    tied: bool = True,
    axis_name: str | None = None,
    dtype: jnp.dtype | None = None,
) -> Method:
    """Linear units of which each example keeps its k largest.

    Units see the input less the mean input: with the mean left in, the units that point along it win everywhere
    and a good part of the others die.

    Args:
        encoder, decoder: Linen modules, `[B, ...] -> [B, H]` and `[B, latent_dim] -> [B, ...]`.
        tx: the optimizer.
        latent_dim: width of the code.
        k: units kept an example.
        k_start, anneal_steps: k falls linearly from `k_start` over the first `anneal_steps` steps, so that
            units which k alone would never choose are trained before it bites.
        encode_factor: `encode` keeps `encode_factor * k` units: more than in training serves classifiers.
        dead_after: a unit that no example chose for this many steps counts as dead in the metrics.
        likelihood: "squared_error", "gaussian" or "bernoulli" (inputs in [0, 1]); summed over the event.
        tied: the decoder's dense kernels are the encoder's, transposed.
        axis_name: the mapped device axis under `pmap` or `shard_map`.
        dtype: compute dtype of the code layer; the modules carry their own.

    Source: Makhzani and Frey, "k-Sparse autoencoders", ICLR 2014.
    """
    k_encode = round(encode_factor * k)
    if not 1 <= k <= k_start <= latent_dim or not k <= k_encode <= latent_dim:
        raise ValueError(
            f"k={k}, k_start={k_start} and encode_factor*k={k_encode} must lie between 1 and "
            f"latent_dim={latent_dim}, none below k"
        )
    networks = coder(encoder, decoder, latent_dim, tied=tied, dtype=dtype)
    p_x = losses.likelihood(likelihood)

    def init(key, batch):
        state = init_state(key, networks.init(key, batch), tx)
        mean = jnp.zeros(batch.shape[1:])
        return KSparseState(*state, mean=mean, last_active=jnp.zeros(latent_dim, jnp.int32))

    def step(state: KSparseState, x: jax.Array):
        progress = jnp.minimum(state.step / max(anneal_steps, 1), 1.0)
        k_now = jnp.round(k_start + (k - k_start) * progress).astype(jnp.int32)
        mean = state.mean + (pmean(x.mean(axis=0), axis_name) - state.mean) / (state.step + 1)

        def loss(params):
            z = top_k(networks.encode(params, x - mean[None]), k_now, k_start)
            error = p_x.nll(networks.decode(params, z), x).mean()
            return error, {"active": (z != 0).any(axis=0).astype(jnp.float32)}

        new, metrics = descend(loss, state, tx, axis_name)
        # `descend` averages metrics over devices: above 0 where any device's examples chose the unit.
        last_active = jnp.where(metrics.pop("active") > 0, state.step, state.last_active)
        dead = (new.step - last_active > dead_after).mean(dtype=jnp.float32)
        return new._replace(mean=mean, last_active=last_active), metrics | {
            "dead_units": dead,
            "k": k_now.astype(jnp.float32),
        }

    def encode(state: KSparseState, x: jax.Array):
        return top_k(networks.encode(state.params, x - state.mean[None]), k_encode)

    def decode(state: KSparseState, z: jax.Array):
        return p_x.mean(networks.decode(state.params, z))

    return Method(init, step, encode, decode, wants=likelihood_wants(likelihood))
