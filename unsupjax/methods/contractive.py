"""The contractive autoencoder."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax import losses
from unsupjax.methods.base import Method, State, descend, init_state, likelihood_wants
from unsupjax.methods.parts.coder import coder
from unsupjax.numerics.activations import activation
from unsupjax.parallel.collectives import example_keys

ESTIMATORS = ("closed_form", "exact", "hutchinson")


def contractive(
    encoder: nn.Module,
    decoder: nn.Module,
    tx: optax.GradientTransformation,
    *,
    latent_dim: int = 1000,
    weight: float = 0.1,
    estimator: str = "closed_form",
    probes: int = 1,
    code_activation: str = "sigmoid",
    likelihood: str = "bernoulli",
    tied: bool = True,
    axis_name: str | None = None,
    dtype: jnp.dtype | None = None,
) -> Method:
    r"""Reconstruction error plus `weight` times the squared Frobenius norm of the encoder's Jacobian.

    An untied decoder can undo a shrunken code and game the penalty: weights are tied by default.

    Args:
        encoder, decoder: Linen modules, `[B, ...] -> [B, H]` and `[B, latent_dim] -> [B, ...]`.
        tx: the optimizer.
        latent_dim: width of the code.
        weight: lambda, factor of :math:`\|\partial h/\partial x\|_F^2`.
        estimator: "closed_form" (one sigmoid layer: an encoder without parameters), "exact" (min(D, H) passes)
            or "hutchinson" (`probes` passes, unbiased: for deep encoders).
        probes: random-sign probes an example ("hutchinson" alone).
        code_activation: activation of the code layer, by name.
        likelihood: "bernoulli" (inputs in [0, 1]), "squared_error" or "gaussian"; summed over the event.
        tied: the decoder's dense kernels are the encoder's, transposed.
        axis_name: the mapped device axis under `pmap` or `shard_map`.
        dtype: compute dtype of the code layer; the modules carry their own.

    Source: Rifai et al., "Contractive auto-encoders", ICML 2011.
    """
    if estimator not in ESTIMATORS:
        raise ValueError(f"unknown estimator {estimator!r}; one of {', '.join(ESTIMATORS)}")
    if estimator == "closed_form" and code_activation != "sigmoid":
        raise ValueError("estimator 'closed_form' is that of a sigmoid code; use 'exact' or 'hutchinson'")
    networks = coder(encoder, decoder, latent_dim, tied=tied, dtype=dtype)
    activate, p_x = activation(code_activation), losses.likelihood(likelihood)

    def init(key, batch):
        params = networks.init(key, batch)
        if estimator == "closed_form" and params["encoder"]:
            raise ValueError(
                "estimator 'closed_form' is that of one layer; use 'hutchinson' for deep encoders"
            )
        return init_state(key, params, tx)

    def jacobian(params, x, z, key):
        if estimator == "closed_form":
            return losses.jacobian_sigmoid(z, params["code"]["kernel"])
        f = lambda x: activate(networks.encode(params, x))
        if estimator == "exact":
            return losses.jacobian_exact(f, x)
        return losses.jacobian_hutchinson(f, x, example_keys(key, x.shape[0], axis_name), probes)

    def step(state: State, x: jax.Array):
        def loss(params):
            z = activate(networks.encode(params, x))
            error = p_x.nll(networks.decode(params, z), x).mean()
            penalty = jacobian(params, x, z, jax.random.fold_in(state.key, state.step)).mean()
            return error + weight * penalty, {"reconstruction": error, "jacobian": penalty}

        return descend(loss, state, tx, axis_name)

    def encode(state: State, x: jax.Array):
        return activate(networks.encode(state.params, x))

    def decode(state: State, z: jax.Array):
        return p_x.mean(networks.decode(state.params, z))

    return Method(init, step, encode, decode, wants=likelihood_wants(likelihood))
