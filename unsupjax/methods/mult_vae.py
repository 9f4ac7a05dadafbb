"""The variational autoencoder of baskets: what a user takes, or a document says, as draws from one multinomial."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax import losses
from unsupjax.methods.base import Method, State, Wants, descend, init_state
from unsupjax.methods.parts.bags import dense, unit_rows
from unsupjax.methods.parts.coder import coder
from unsupjax.parallel.collectives import example_keys

_AT_ONCE = 256  # items that are encoded together


def mult_vae(
    encoder: nn.Module,
    decoder: nn.Module,
    tx: optax.GradientTransformation,
    *,
    latent_dim: int = 200,
    beta: float = 0.2,
    anneal: float = 0.5,
    dropout: float = 0.5,
    tied: bool = False,
    vocabulary: int,
    total_steps: int,
    axis_name: str | None = None,
    dtype: jnp.dtype | None = None,
) -> Method:
    r"""Maximises :math:`\mathbb E_q \sum_i x_i \log \mathrm{softmax}_i f(z) - \beta\, \mathrm{KL}(q(z|x) \| p(z))`.

    The encoder sees the counts of an example as a row of length 1, some of it dropped; :math:`\beta` grows linearly
    from 0. The likelihood is of items that are drawn one by one: they compete for probability, which is what a ranking
    asks for. `encode` is the mean of the posterior; `recommend` gives log-probabilities of the next item, `items` the
    code of someone who has that item alone.

    It is no likelihood of `vae`, whose input is what its decoder makes again: here the one is a list of items, the
    other a row of probabilities of all.

    Args:
        encoder, decoder: Linen modules, `[B, V] -> [B, H]` and `[B, latent_dim] -> [B, V]`.
        tx: the optimizer.
        latent_dim: width of the code.
        beta: the weight of the KL divergence at last.
        anneal: the fraction of all steps in which it grows.
        dropout: the probability with which each item is left out of the input.
        tied: the decoder's kernels are the encoder's, transposed.
        vocabulary: V, how many items there are.
        total_steps: of the run.
        axis_name: the mapped device axis under `pmap` or `shard_map`.
        dtype: compute dtype of the code layer; the modules carry their own.

    Raises:
        ValueError: an argument out of its range.

    Source: Liang et al., "Variational autoencoders for collaborative filtering", WWW 2018.
    """
    if not 0 <= dropout < 1 or not 0 <= anneal <= 1:
        raise ValueError(f"{dropout=} must be in [0, 1) and {anneal=} in [0, 1]")
    networks = coder(encoder, decoder, latent_dim, heads=2, tied=tied, dtype=dtype)

    def init(key, batch):
        return init_state(key, networks.init(key, dense(batch, vocabulary)), tx)

    def posterior(params, rows):
        return jnp.split(networks.encode(params, unit_rows(rows)), 2, axis=1)

    def step(state: State, x: jax.Array):
        keys = example_keys(jax.random.fold_in(state.key, state.step), x.shape[0], axis_name)
        rows = dense(x, vocabulary)
        weight = beta * jnp.minimum(1.0, state.step / max(anneal * total_steps, 1))

        def draw(key):
            left, noise = jax.random.split(key)
            kept = jax.random.bernoulli(left, 1 - dropout, x.shape[1:2])
            return kept, jax.random.normal(noise, (latent_dim,))

        kept, noise = jax.vmap(draw)(keys)
        kept = kept.reshape(kept.shape + (1,) * (x.ndim - 2))
        length = jnp.maximum(jnp.linalg.norm(rows, axis=1, keepdims=True), 1e-12)  # of the whole row
        seen = dense(jnp.where(kept, x, 0), vocabulary) / length / (1 - dropout)

        def loss(params):
            mean, log_variance = jnp.split(networks.encode(params, seen), 2, axis=1)
            logits = networks.decode(params, mean + jnp.exp(0.5 * log_variance) * noise)
            nll = losses.multinomial_nll(logits, rows).mean()
            kl = losses.kl_standard_normal(mean, log_variance).mean()
            return nll + weight * kl, {"nll": nll, "kl": kl}

        return descend(loss, state, tx, axis_name)

    def encode(state: State, x: jax.Array):
        return posterior(state.params, dense(x, vocabulary))[0]

    def recommend(state: State, x: jax.Array):
        return jax.nn.log_softmax(networks.decode(state.params, encode(state, x)))

    def items(state: State):
        alone = jnp.arange(1, vocabulary + 1, dtype=jnp.int32)[:, None]
        return jax.lax.map(lambda x: encode(state, x[None])[0], alone, batch_size=_AT_ONCE)

    return Method(init, step, encode, recommend=recommend, items=items, wants=Wants(kinds=("baskets",)))
