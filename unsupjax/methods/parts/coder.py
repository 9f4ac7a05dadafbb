"""Encoder, code layer and decoder as one triple of pure functions: what the autoencoders have in common."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp


class Coder(NamedTuple):
    """Pure functions over `params = {"encoder": ..., "code": ..., "decoder": ...}`.

    Attributes:
        init: `(key, x) -> params`.
        encode: `(params, x) -> [B, heads * latent_dim]` float32, the code layer before any activation.
        decode: `(params, z [B, latent_dim]) -> [B, ...]` float32, the decoder's output.
    """

    init: Callable
    encode: Callable
    decode: Callable


def _parameters(module: nn.Module, name: str, key: jax.Array, x: jax.Array) -> dict:
    variables = module.init(key, x)
    if extra := set(variables) - {"params"}:
        raise ValueError(
            f"the {name} keeps {sorted(extra)}: an autoencoder's networks may hold parameters only. "
            "Use GroupNorm or LayerNorm in place of BatchNorm."
        )
    return variables.get("params", {})


def _dense_layers(params: dict) -> list[str]:
    return sorted((k for k in params if k.startswith("Dense_")), key=lambda k: int(k.removeprefix("Dense_")))


def _tie(params: dict, latent_dim: int) -> dict:
    """The decoder's parameters with the encoder's dense kernels, transposed and in reverse order, filled in.

    Of a code layer with several heads that is the first.
    """
    encoder, decoder = params["encoder"], dict(params["decoder"])
    kernels = [encoder[k]["kernel"] for k in _dense_layers(encoder)] + [
        params["code"]["kernel"][:, :latent_dim]
    ]
    for name, kernel in zip(_dense_layers(decoder), reversed(kernels), strict=True):
        decoder[name] = decoder[name] | {"kernel": kernel.T}
    return decoder


def _untrained_kernels_removed(params: dict, latent_dim: int) -> dict:
    """`params` with the kernels that `_tie` fills in left out of the decoder, or ValueError if it would not fit."""
    own = params["decoder"]
    biases = {k: {n: v for n, v in own[k].items() if n != "kernel"} for k in _dense_layers(own)}
    tied = params | {"decoder": own | biases}
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)
    encoder_layers = len(_dense_layers(params["encoder"])) + 1
    if encoder_layers != len(_dense_layers(own)) or shapes(_tie(tied, latent_dim)) != shapes(own):
        raise ValueError(
            "tied weights need a decoder of dense layers that mirrors the encoder and its code layer; "
            f"the encoder has {shapes({**params['encoder'], 'code': params['code']})}, the decoder {shapes(own)}"
        )
    return tied


def coder(
    encoder: nn.Module,
    decoder: nn.Module,
    latent_dim: int,
    *,
    heads: int = 1,
    tied: bool = False,
    dtype: jnp.dtype | None = None,
) -> Coder:
    """Joins `encoder` `[B, ...] -> [B, H]`, a dense code layer and `decoder` `[B, latent_dim] -> [B, ...]`.

    Args:
        encoder, decoder: Linen modules without batch statistics.
        latent_dim: D, the width of the code.
        heads: the code layer is `heads * latent_dim` wide (a Gaussian posterior has two: mean, log-variance).
        tied: the decoder's dense kernels are the encoder's, transposed; its biases stay its own.
        dtype: compute dtype of the code layer.

    Raises:
        ValueError: `latent_dim` is below 1; and at `init`, where the decoder's output has another shape than the
            input, a module keeps batch statistics, or tied layers do not mirror each other.
    """
    if latent_dim < 1:
        raise ValueError(f"latent_dim={latent_dim} must be at least 1")
    code = nn.Dense(heads * latent_dim, dtype=dtype)

    def init(key, x):
        keys = jax.random.split(key, 3)
        params = {"encoder": _parameters(encoder, "encoder", keys[0], x)}
        hidden = encoder.apply({"params": params["encoder"]}, x)
        params["code"] = _parameters(code, "code layer", keys[1], hidden)
        z = jnp.zeros((x.shape[0], latent_dim))
        params["decoder"] = _parameters(decoder, "decoder", keys[2], z)
        output = jax.eval_shape(lambda p: decoder.apply({"params": p}, z), params["decoder"])
        if output.shape != x.shape:
            raise ValueError(f"the decoder makes {output.shape[1:]} of an input of {x.shape[1:]}")
        return _untrained_kernels_removed(params, latent_dim) if tied else params

    def encode(params, x):
        hidden = encoder.apply({"params": params["encoder"]}, x)
        return code.apply({"params": params["code"]}, hidden).astype(jnp.float32)

    def decode(params, z):
        weights = _tie(params, latent_dim) if tied else params["decoder"]
        return decoder.apply({"params": weights}, z).astype(jnp.float32)

    return Coder(init, encode, decode)
