"""Contrasts of sentences with themselves under another dropout."""

import flax.linen as nn
import jax
import optax

from unsupjax import losses
from unsupjax.methods.base import Method, State, Wants, descend, init_state
from unsupjax.methods.parts.tokens import mean_of_real, segments, vocabulary_of
from unsupjax.methods.parts.views import diagnose, health
from unsupjax.parallel.collectives import example_keys


def simcse(
    network: nn.Module,
    tx: optax.GradientTransformation,
    *,
    temperature: float = 0.05,
    axis_name: str | None = None,
) -> Method:
    """Minimises `losses.info_nce` between two codes of each text that differ by dropout alone.

    A code is the mean of the last hidden states over the real tokens, which see each other both ways; the other texts
    of the batch are the negatives. Each example's dropout follows from its place in the global batch. `encode` is the
    code without dropout.

    Args:
        network: a `Transformer` with dropout, 0.1 or so.
        tx: the optimizer.
        temperature: of the softmax over cosine similarities.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: a network that is not over tokens; or it has no dropout, so that nothing would be learnt.

    Source: Gao et al., "SimCSE: simple contrastive learning of sentence embeddings", EMNLP 2021.
    """
    vocabulary_of(network)
    if not network.dropout > 0:
        raise ValueError("the two codes of a text differ by dropout alone: set network.dropout, such as 0.1")
    network = network.clone(causal=False)
    apply = lambda params, x, **kw: network.apply({"params": params}, x, segments(x), **kw)

    def init(key, batch):
        return init_state(key, network.init(jax.random.fold_in(key, 0), batch, method="both")["params"], tx)

    def dropped(params, keys, x):
        one = lambda key, row: apply(params, row[None], train=True, rngs={"dropout": key})[0]
        return mean_of_real(jax.vmap(one)(keys, x), x)

    def step(state: State, x: jax.Array):
        keys = example_keys(jax.random.fold_in(state.key, state.step), len(x), axis_name)
        first, second = jax.vmap(jax.random.split, out_axes=1)(keys)

        def loss(params):
            z1, z2 = dropped(params, first, x), dropped(params, second, x)
            value = losses.info_nce(z1, z2, temperature=temperature, axis_name=axis_name).mean()
            accuracy = losses.contrastive_accuracy(z1, z2, axis_name=axis_name).mean()
            return value, {"contrastive_accuracy": accuracy} | health(z1, z2, axis_name)

        return descend(loss, state, tx, axis_name)

    def encode(state: State, x: jax.Array):
        return mean_of_real(apply(state.params, x), x)

    return Method(init, step, encode, diagnose=diagnose, wants=Wants(kinds=("tokens",)))
