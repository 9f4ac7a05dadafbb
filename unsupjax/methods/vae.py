"""The variational autoencoder."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax import losses
from unsupjax.methods.base import Method, State, descend, init_state, likelihood_wants
from unsupjax.methods.parts.coder import coder
from unsupjax.methods.parts.latents import between
from unsupjax.parallel.collectives import example_keys


def vae(
    encoder: nn.Module,
    decoder: nn.Module,
    tx: optax.GradientTransformation,
    *,
    latent_dim: int = 20,
    beta: float = 1.0,
    likelihood: str = "bernoulli",
    scale: float = 1.0,
    axis_name: str | None = None,
    dtype: jnp.dtype | None = None,
) -> Method:
    r"""Maximises :math:`\mathbb E_{q(z|x)} \log p(x|z) - \beta\, \mathrm{KL}(q(z|x) \,\|\, \mathcal N(0, I))`.

    The posterior is a diagonal Gaussian, sampled once a step by reparametrisation. `encode` is its mean;
    `sample` gives the mean of p(x | z) for z from the prior; `log_prob` is the evidence lower bound for one
    sample (with the KL in closed form) and the importance-weighted bound for more.

    Args:
        encoder, decoder: Linen modules, `[B, ...] -> [B, H]` and `[B, latent_dim] -> [B, ...]`.
        tx: the optimizer.
        latent_dim: width of the code.
        beta: weight of the KL divergence; 1 is the evidence lower bound.
        likelihood: "bernoulli" (inputs in {0, 1}) or "gaussian".
        scale: standard deviation of the Gaussian likelihood.
        axis_name: the mapped device axis under `pmap` or `shard_map`.
        dtype: compute dtype of the code layer; the modules carry their own.

    Source: Kingma and Welling, ICLR 2014; beta: Higgins et al., ICLR 2017; more samples: Burda et al., ICLR 2016.
    """
    if likelihood not in ("bernoulli", "gaussian"):
        raise ValueError(f"likelihood {likelihood!r} has no density; 'bernoulli' or 'gaussian'")
    networks = coder(encoder, decoder, latent_dim, heads=2, dtype=dtype)
    p_x = losses.gaussian(scale) if likelihood == "gaussian" else losses.likelihood(likelihood)

    def init(key, batch):
        return init_state(key, networks.init(key, batch), tx)

    def posterior(params, x):
        return jnp.split(networks.encode(params, x), 2, axis=1)

    def draw(keys, mean, log_variance):
        noise = jax.vmap(lambda key: jax.random.normal(key, (latent_dim,)))(keys)
        return mean + jnp.exp(0.5 * log_variance) * noise

    def step(state: State, x: jax.Array):
        keys = example_keys(jax.random.fold_in(state.key, state.step), x.shape[0], axis_name)

        def loss(params):
            mean, log_variance = posterior(params, x)
            nll = p_x.nll(networks.decode(params, draw(keys, mean, log_variance)), x).mean()
            kl = losses.kl_standard_normal(mean, log_variance).mean()
            return nll + beta * kl, {"nll": nll, "kl": kl}

        return descend(loss, state, tx, axis_name)

    def encode(state: State, x: jax.Array):
        return posterior(state.params, x)[0]

    def decode(state: State, z: jax.Array):
        return p_x.mean(networks.decode(state.params, z))

    def sample(state: State, key: jax.Array, n: int):
        return decode(state, jax.random.normal(key, (n, latent_dim)))

    def interpolate(state: State, key: jax.Array, n: int, steps: int):
        z = between(*jnp.split(jax.random.normal(key, (2 * n, latent_dim)), 2), steps)
        x = decode(state, z.reshape(n * steps, latent_dim))
        return x.reshape(n, steps, *x.shape[1:])

    def log_prob(state: State, key: jax.Array, x: jax.Array, n: int):
        mean, log_variance = posterior(state.params, x)

        def log_weight(key):
            z = draw(example_keys(key, x.shape[0], None), mean, log_variance)
            log_p = -p_x.nll(networks.decode(state.params, z), x)
            if n == 1:
                return log_p - losses.kl_standard_normal(mean, log_variance)
            log_q = losses.normal_log_prob(z, mean, log_variance)
            return log_p + losses.normal_log_prob(z, 0.0, jnp.zeros_like(z)) - log_q

        # One sample at a time: memory stays that of a single decoding.
        return losses.importance_weighted_bound(jax.lax.map(log_weight, jax.random.split(key, n)))

    return Method(
        init, step, encode, decode, sample, interpolate, log_prob, wants=likelihood_wants(likelihood)
    )
