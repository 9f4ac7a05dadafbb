"""The denoising autoencoder."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax import losses
from unsupjax.augment import corruption as corruption_named
from unsupjax.methods.base import Method, State, descend, init_state, likelihood_wants
from unsupjax.methods.parts.coder import coder
from unsupjax.numerics.activations import activation
from unsupjax.parallel.collectives import example_keys


def denoising(
    encoder: nn.Module,
    decoder: nn.Module,
    tx: optax.GradientTransformation,
    *,
    latent_dim: int = 1000,
    corruption: str = "masking",
    level: float = 0.25,
    code_activation: str = "sigmoid",
    likelihood: str = "bernoulli",
    tied: bool = False,
    axis_name: str | None = None,
    dtype: jnp.dtype | None = None,
) -> Method:
    """Reconstructs the clean input from a corrupted one; encodes clean inputs.

    Args:
        encoder, decoder: Linen modules, `[B, ...] -> [B, H]` and `[B, latent_dim] -> [B, ...]`.
        tx: the optimizer.
        latent_dim: width of the code; overcomplete codes are useful here.
        corruption: "gaussian", "masking" or "salt_and_pepper".
        level: standard deviation of the Gaussian noise, or the probability that an element is destroyed.
        code_activation: activation of the code layer, by name.
        likelihood: "bernoulli" (inputs in [0, 1]), "squared_error" or "gaussian"; summed over the event.
        tied: the decoder's dense kernels are the encoder's, transposed.
        axis_name: the mapped device axis under `pmap` or `shard_map`.
        dtype: compute dtype of the code layer; the modules carry their own.

    Source: Vincent et al., "Extracting and composing robust features with denoising autoencoders", ICML 2008.
    """
    networks = coder(encoder, decoder, latent_dim, tied=tied, dtype=dtype)
    activate, p_x = activation(code_activation), losses.likelihood(likelihood)
    corrupt = corruption_named(corruption)

    def init(key, batch):
        return init_state(key, networks.init(key, batch), tx)

    def step(state: State, x: jax.Array):
        keys = example_keys(jax.random.fold_in(state.key, state.step), x.shape[0], axis_name)
        noisy = jax.vmap(corrupt, in_axes=(0, 0, None))(keys, x, level)

        def loss(params):
            output = networks.decode(params, activate(networks.encode(params, noisy)))
            return p_x.nll(output, x).mean(), {}

        return descend(loss, state, tx, axis_name)

    def encode(state: State, x: jax.Array):
        return activate(networks.encode(state.params, x))

    def decode(state: State, z: jax.Array):
        return p_x.mean(networks.decode(state.params, z))

    def denoise(state: State, x: jax.Array):
        return decode(state, encode(state, x))

    return Method(init, step, encode, decode, denoise=denoise, wants=likelihood_wants(likelihood))
