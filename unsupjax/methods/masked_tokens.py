"""Prediction of tokens that are hidden."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from unsupjax.methods.base import Filled, Method, State, Wants, descend, init_state
from unsupjax.methods.parts.tokens import PAD, START, mean_of_real, segments, vocabulary_of
from unsupjax.parallel.collectives import example_keys, pmean


def masked_tokens(
    network: nn.Module,
    tx: optax.GradientTransformation,
    *,
    share: float = 0.15,
    masked: float = 0.8,
    random: float = 0.1,
    whole_words: bool = True,
    kind: Any = None,
    axis_name: str | None = None,
) -> Method:
    """Minimises the cross-entropy of chosen tokens given all others of their document.

    In each row that share of its real tokens is chosen, to the nearest, others at every step; in the place of one the
    network sees a token of its own for "hidden", another token drawn uniformly, or the token itself. Padding and the
    tokens that begin documents are never chosen, and padding is seen by none. Logits are of chosen tokens alone.
    `encode` is the mean of the last hidden states over the real tokens of the whole document; `fill` hides all that is
    chosen.

    Args:
        network: a `Transformer`, which gets one token more, for what is hidden.
        tx: the optimizer.
        share: of the tokens that are chosen.
        masked: of those, the part that is hidden.
        random: of those, the part in whose place another token stands; the rest is shown.
        whole_words: all tokens of a word are chosen or none (but of a word longer than the share of its row), where
            `kind` tells which belong together.
        kind: of the data; None: every token is a word.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: shares that are none, or a network that is not over tokens.

    Source: Devlin et al., "BERT: pre-training of deep bidirectional transformers", NAACL 2019; whole words: the
    authors' release of May 2019.
    """
    if not 0 < share < 1 or masked < 0 or random < 0 or masked + random > 1:
        raise ValueError(f"{share=} must be between 0 and 1, and {masked=} and {random=} parts of 1")
    hidden_token = vocabulary_of(network)
    network = network.clone(causal=False, vocabulary=hidden_token + 1)
    apply = lambda params, *args, **kw: network.apply({"params": params}, *args, **kw)
    joins = kind.joins() if whole_words and kind is not None else np.zeros((2, hidden_token), bool)

    def init(key, batch):
        return init_state(key, network.init(jax.random.fold_in(key, 0), batch, method="both")["params"], tx)

    def choose(key, x):
        """Of a row `[L]`: the places `[K]` of what is chosen, and which of these K are used."""
        real = x > START  # no padding, no beginning
        left, right = jnp.asarray(joins)[:, x]
        word = jnp.cumsum(~(left & jnp.roll(right, 1)))  # the first token of a row is a beginning
        u = jnp.where(real, jax.random.uniform(key, (len(x) + 1,))[word], 2.0)
        order = jnp.argsort(u)  # stable: a word's tokens stay behind each other
        n = jnp.clip(jnp.round(share * real.sum()).astype(jnp.int32), jnp.minimum(1, real.sum()))
        most = max(1, round(share * len(x)))
        cut = word[order[n % len(x)]]  # of this one not all has room
        whole = (word[order[:most]] != cut) | (word[order[0]] == cut)
        return order[:most], (jnp.arange(most) < n) & whole

    def hide(key, x, masked, random):
        """A row as the network sees it, the places of what is chosen, and which of these are used."""
        first, how, other = jax.random.split(key, 3)
        at, used = choose(first, x)
        u, drawn = (
            jax.random.uniform(how, at.shape),
            jax.random.randint(other, at.shape, START + 1, hidden_token),
        )
        shown = jnp.where(u < masked, hidden_token, jnp.where(u < masked + random, drawn, x[at]))
        return x.at[at].set(jnp.where(used, shown, x[at])), at, used

    def logits_at(params, seen, at, x, **options):
        """Of the tokens at the places `[B, K]`, float32 `[B, K, V]`: what a text may hold, and no other."""
        states = apply(params, seen, segments(x), **options)
        chosen = jnp.take_along_axis(states, at[..., None], axis=1)
        return apply(params, chosen, method="logits").at[..., jnp.array([PAD, START, hidden_token])].set(-1e9)

    def step(state: State, x: jax.Array):
        keys = example_keys(jax.random.fold_in(state.key, state.step), x.shape[0], axis_name)
        seen, at, used = jax.vmap(lambda key, x: hide(key, x, masked, random))(keys, x)
        true = jnp.take_along_axis(x, at, axis=1)
        dropped = {"train": True, "rngs": {"dropout": jax.random.fold_in(state.key, state.step)}}
        # The share of chosen tokens is of the global batch: devices may hold more or fewer.
        part = jnp.maximum(pmean(used.mean(dtype=jnp.float32), axis_name), 1e-9)

        def loss(params):
            logits = logits_at(params, seen, at, x, **(dropped if network.dropout else {}))
            log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), true[..., None], axis=-1)[..., 0]
            right = (logits.argmax(-1) == true) & used
            metrics = {"masked_accuracy": right.mean(dtype=jnp.float32) / part}
            return -jnp.where(used, log_p, 0).mean() / part, metrics

        return descend(loss, state, tx, axis_name)

    def encode(state: State, x: jax.Array):
        return mean_of_real(apply(state.params, x, segments(x)), x)

    def fill(state: State, key: jax.Array, x: jax.Array):
        every = lambda key, row: hide(key, row, 1.0, 0.0)
        seen, at, used = jax.vmap(every)(example_keys(key, len(x), None), x)
        found = logits_at(state.params, seen, at, x).argmax(-1).astype(x.dtype)
        found = jnp.where(used, found, jnp.take_along_axis(x, at, axis=1))
        return Filled(
            seen == hidden_token, jax.vmap(lambda row, i, token: row.at[i].set(token))(x, at, found)
        )

    return Method(init, step, encode, fill=fill, wants=Wants(kinds=("tokens",)))
