"""Prediction of tokens that are hidden."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax.methods.base import Method, State, Wants, init_state, update
from unsupjax.methods.parts.tokens import START, mean_of_real, segments
from unsupjax.parallel.collectives import example_keys, pmean


def masked_tokens(
    network: nn.Module,
    tx: optax.GradientTransformation,
    *,
    share: float = 0.15,
    masked: float = 0.8,
    random: float = 0.1,
    axis_name: str | None = None,
) -> Method:
    """Minimises the cross-entropy of chosen tokens given all others of their document.

    Every real token is chosen with the probability `share`, anew at each step; in its place the network sees a token
    of its own for "hidden", another token drawn uniformly, or the token itself. Padding and the tokens that begin
    documents are never chosen, and padding is seen by none. `encode` is the mean of the last hidden states over the
    real tokens of the whole document.

    Args:
        network: a `Transformer`, which gets one token more, for what is hidden.
        tx: the optimizer.
        share: of the tokens that are chosen.
        masked: of those, the part that is hidden.
        random: of those, the part in whose place another token stands; the rest is shown.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: shares that are none.

    Source: Devlin et al., "BERT: pre-training of deep bidirectional transformers", NAACL 2019.
    """
    if not 0 < share < 1 or masked < 0 or random < 0 or masked + random > 1:
        raise ValueError(f"{share=} must be between 0 and 1, and {masked=} and {random=} parts of 1")
    hidden_token = network.vocabulary
    network = network.clone(causal=False, vocabulary=network.vocabulary + 1)
    apply = lambda params, *args, **kw: network.apply({"params": params}, *args, **kw)

    def init(key, batch):
        return init_state(key, network.init(jax.random.fold_in(key, 0), batch, method="both")["params"], tx)

    def hide(key, x):
        """A row `[L]` as the network sees it, and which of its tokens are chosen."""
        choose, how, other = jax.random.split(key, 3)
        chosen = (jax.random.uniform(choose, x.shape) < share) & (x > START)  # no padding, no beginning
        u = jax.random.uniform(how, x.shape)
        drawn = jax.random.randint(other, x.shape, START + 1, hidden_token)
        shown = jnp.where(u < masked, hidden_token, jnp.where(u < masked + random, drawn, x))
        return jnp.where(chosen, shown, x), chosen

    def step(state: State, x: jax.Array):
        keys = example_keys(jax.random.fold_in(state.key, state.step), x.shape[0], axis_name)
        seen, chosen = jax.vmap(hide)(keys, x)
        dropped = {"train": True, "rngs": {"dropout": jax.random.fold_in(state.key, state.step)}}
        # The share of chosen tokens is of the global batch: devices may hold more or fewer.
        part = jnp.maximum(pmean(chosen.mean(dtype=jnp.float32), axis_name), 1e-9)

        def loss(params):
            options = dropped if network.dropout else {}
            logits = apply(params, seen, segments(x), method="both", **options)
            log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), x[..., None], axis=-1)[..., 0]
            right = (logits.argmax(-1) == x) & chosen
            metrics = {"masked_accuracy": right.mean(dtype=jnp.float32) / part}
            return -jnp.where(chosen, log_p, 0).mean() / part, metrics

        value, metrics, params, opt_state = update(loss, state.params, state.opt_state, tx, axis_name)
        state = state._replace(step=state.step + 1, params=params, opt_state=opt_state)
        return state, {"loss": value} | metrics

    def encode(state: State, x: jax.Array):
        return mean_of_real(apply(state.params, x, segments(x)), x)

    return Method(init, step, encode, wants=Wants(kinds=("tokens",)))
