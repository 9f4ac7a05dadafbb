"""Prediction of the next token."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax.methods.base import Generator, Method, State, Wants, init_state, update
from unsupjax.methods.parts.tokens import PAD, START, mean_of_real, segments, vocabulary_of
from unsupjax.models.transformer import Cache, drawn
from unsupjax.parallel.collectives import pmean


def next_token(
    network: nn.Module,
    tx: optax.GradientTransformation,
    *,
    axis_name: str | None = None,
) -> Method:
    r"""Minimises the cross-entropy of every token given those before it in its document.

    :math:`-\frac{1}{n} \sum_t \log p(x_t | x_{<t})` over the n tokens of a batch that are no padding. An example is a
    row `[L]` of one document or of several behind each other, each led by a token of its own; no token sees another
    document. `encode` is the mean of the last hidden states over the real tokens, `log_prob` the exact log-likelihood
    in nats, `sample` draws from the start of a document, `generate` goes on from a prompt.

    Args:
        network: a `Transformer`.
        tx: the optimizer.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: a network that is not over tokens.

    Source: Bengio et al., "A neural probabilistic language model", JMLR 2003; Radford et al., 2019.
    """
    vocabulary_of(network)
    network = network.clone(causal=True)
    apply = lambda params, *args, **kw: network.apply({"params": params}, *args, **kw)

    def init(key, batch):
        params = network.init(jax.random.fold_in(key, 0), batch[:, :-1], method="both")["params"]
        return init_state(key, params, tx)

    def log_p(params, x, **options):
        """Of each token but the first, `[B, L - 1]`, and whether it is one."""
        logits = apply(params, x[:, :-1], segments(x)[:, :-1], method="both", **options)
        chosen = jnp.take_along_axis(logits, x[:, 1:, None], axis=-1)[..., 0]
        return chosen - jax.nn.logsumexp(logits, axis=-1), x[:, 1:] != PAD

    def step(state: State, x: jax.Array):
        dropped = {"train": True, "rngs": {"dropout": jax.random.fold_in(state.key, state.step)}}

        def loss(params):
            found, real = log_p(params, x, **(dropped if network.dropout else {}))
            # The share of real tokens is of the global batch: devices may hold more or fewer.
            share = pmean(real.mean(dtype=jnp.float32), axis_name)
            return -jnp.where(real, found, 0).mean() / jnp.maximum(share, 1e-9), {}

        value, metrics, params, opt_state = update(loss, state.params, state.opt_state, tx, axis_name)
        state = state._replace(step=state.step + 1, params=params, opt_state=opt_state)
        return state, {"loss": value, "perplexity": jnp.exp(jnp.minimum(value, 50.0))} | metrics

    def encode(state: State, x: jax.Array):
        return mean_of_real(apply(state.params, x, segments(x)), x)

    def log_prob(state: State, key: jax.Array, x: jax.Array, n: int):
        found, real = log_p(state.params, x)
        return jnp.where(real, found, 0).sum(1)

    def token_log_prob(state: State, x: jax.Array):
        return log_p(state.params, x)

    def prefill(state: State, tokens: jax.Array, lengths: jax.Array | None = None) -> Cache:
        return apply(state.params, tokens, lengths, method="prefill")

    def extend(state: State, cache: Cache, key: jax.Array, n: int, temperature=1.0, top_k=0, top_p=1.0):
        def one(cache, i):
            # Neither padding nor the start of another document is a word of this one.
            logits = cache.logits.at[:, jnp.array([PAD, START])].set(-jnp.inf)
            token = drawn(logits, jax.random.fold_in(key, i), temperature, top_k, top_p)
            return apply(state.params, cache, token, method="extend"), token

        first = cache.length
        cache, tokens = jax.lax.scan(one, cache, first + jnp.arange(n))
        return cache, tokens.T

    def sample(state: State, key: jax.Array, n: int):
        start = jnp.full((n, 1), START, jnp.int32)
        _, tokens = extend(state, prefill(state, start), key, network.length - 1)
        return jnp.concatenate([start, tokens], axis=1)

    return Method(
        init,
        step,
        encode,
        sample=sample,
        log_prob=log_prob,
        generate=Generator(prefill, extend, network.length),
        token_log_prob=token_log_prob,
        wants=Wants(kinds=("tokens",)),
    )
