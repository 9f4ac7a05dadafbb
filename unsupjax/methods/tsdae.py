"""Texts written anew from one vector of what is left of them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax.methods.base import Method, State, Wants, descend, init_state
from unsupjax.methods.parts.tokens import PAD, START, mean_of_real, segments, vocabulary_of
from unsupjax.parallel.collectives import example_keys, pmean


def tsdae(
    network: nn.Module,
    tx: optax.GradientTransformation,
    *,
    deleted: float = 0.6,
    axis_name: str | None = None,
) -> Method:
    r"""Minimises the cross-entropy of a text, token by token, given one vector of the same text with tokens deleted.

    :math:`-\frac{1}{n} \sum_t \log p(x_t | x_{<t}, z)` over the n tokens of a batch, where z is the mean of the last
    hidden states over what each deletion leaves, whose tokens see each other both ways. One network does both: to
    write, no token sees those after it, and z stands where the beginning of the text stands, so that all that is read
    passes through z. `encode` is z of the whole text.

    Args:
        network: a `Transformer`.
        tx: the optimizer.
        deleted: each token's probability, others at every step; one is left at least.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: a share that is none, or a network that is not over tokens.

    Source: Wang, Reimers and Gurevych, "TSDAE: using transformer-based sequential denoising auto-encoder for
    unsupervised sentence embedding learning", EMNLP findings 2021. There the vector is attended to by a decoder whose
    weights are the encoder's.
    """
    if not 0 <= deleted < 1:
        raise ValueError(f"{deleted=} must be at least 0 and below 1")
    vocabulary_of(network)
    reader, writer = network.clone(causal=False), network.clone(causal=True)

    def init(key, batch):
        return init_state(key, reader.init(jax.random.fold_in(key, 0), batch, method="both")["params"], tx)

    def left(key, row):
        """What is left of a row `[L]`, behind its beginning and without gaps."""
        u = jnp.where(row > START, jax.random.uniform(key, row.shape), jnp.where(row == START, 2.0, -1.0))
        kept = (u >= deleted) | ((row > START) & (u == jnp.where(u < 1, u, -1).max()))
        order = jnp.argsort(~kept, stable=True)
        return jnp.where(kept[order], row[order], PAD)

    def read(params, x, **options):
        return mean_of_real(reader.apply({"params": params}, x, segments(x), **options), x)

    def step(state: State, x: jax.Array):
        keys = example_keys(jax.random.fold_in(state.key, state.step), len(x), axis_name)
        documents = segments(x)
        # What stands behind a row's first document does not see the vector.
        seen, real = jax.vmap(left)(keys, x), (x > START)[:, 1:] & (documents == documents[:, :1])[:, 1:]
        share = jnp.maximum(pmean(real.mean(dtype=jnp.float32), axis_name), 1e-9)
        rngs = [{"dropout": jax.random.fold_in(state.key, 2 * state.step + i)} for i in range(2)]
        reads, writes = ({"train": True, "rngs": r} if network.dropout else {} for r in rngs)

        def loss(params):
            z = read(params, seen, **reads)
            options = {"segments": documents[:, :-1], "first": z, "method": "both"} | writes
            logits = writer.apply({"params": params}, x[:, :-1], **options)
            log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), x[:, 1:, None], axis=-1)[..., 0]
            return -jnp.where(real, log_p, 0).mean() / share, {}

        return descend(loss, state, tx, axis_name)

    def encode(state: State, x: jax.Array):
        return read(state.params, x)

    return Method(init, step, encode, wants=Wants(kinds=("tokens",)))
