"""A variational autoencoder whose code is the proportions of topics, whatever makes words of these."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax import losses
from unsupjax.methods.base import Method, Wants, update
from unsupjax.methods.parts.bags import dense, unit_rows
from unsupjax.parallel.collectives import example_keys, pmean

_MOMENTUM, _EPSILON = 0.9, 1e-3


class Moments(NamedTuple):
    """Running mean and variance of each feature, `[D]`."""

    mean: jax.Array
    variance: jax.Array


class TopicModelState(NamedTuple):
    """The state of a topic model.

    Attributes:
        step, key, params, opt_state: as of every method that is trained by gradients.
        norms: of the means, of the log-variances, and of the logits of words.
        facts: what the decoder knows and does not learn.
    """

    step: jax.Array
    key: jax.Array
    params: Any
    opt_state: optax.OptState
    norms: tuple[Moments, Moments, Moments]
    facts: Any


def topic_model(
    encoder: nn.Module,
    tx: optax.GradientTransformation,
    *,
    decoder: Callable,
    logits: Callable,
    words: Callable | None = None,
    penalty: Callable | None = None,
    items: Callable | None = None,
    topics: int,
    alpha: float,
    dropout: float,
    relevance: float,
    vocabulary: int,
    axis_name: str | None,
) -> Method:
    r"""Maximises the evidence lower bound of words, :math:`\sum_i n_i \log \mathrm{softmax}_i(N(\theta B) + b)`.

    :math:`\theta = \mathrm{softmax}(h)`, of which some is dropped, and h is normal with a mean and a log-variance that
    the encoder gives; the prior is the normal distribution that is nearest to a symmetric Dirichlet in the basis of the
    softmax. Means, log-variances and the logits N(.) of words are standardised over the batch, without a scale of their
    own: a mean that could shrink would, and all documents would have the same topics.

    The weight of a word for a topic is :math:`p(w | k)^\lambda (p(w | k) / p(w))^{1 - \lambda}`, of a document of that
    topic alone, up to a factor.

    Args:
        encoder: `[B, V] -> [B, H]`, without batch statistics.
        tx: the optimizer.
        decoder: `(key) -> (parameters, facts)`.
        words: `(weights [K, V], facts) -> [K, V]`, what else is made of the weights of words; None: nothing.
        logits: `(parameters, facts) -> [K, V]`, B.
        penalty: `(parameters, facts) -> scalar`, which is added to the loss; None: there is none.
        items: `(facts) -> [V, D]`, vectors of words.
        topics: K.
        alpha: of the Dirichlet distribution.
        dropout: of hidden units, and of proportions.
        relevance: :math:`\lambda`: 1 puts words first that are frequent, 0 those that are found nowhere else.
        vocabulary: V.
        axis_name: the mapped device axis.

    Raises:
        ValueError: an argument out of its range.

    Source: Srivastava and Sutton, "Autoencoding variational inference for topic models", ICLR 2017; relevance: Sievert
    and Shirley, "LDAvis", 2014.
    """
    if topics < 2 or alpha <= 0 or not 0 <= dropout < 1 or not 0 <= relevance <= 1:
        raise ValueError(
            f"{topics=} must be at least 2, {alpha=} above 0, {dropout=} in [0, 1) and {relevance=} in [0, 1]"
        )
    heads = nn.Dense(2 * topics, use_bias=False)  # which standardising would take away
    spread = (1 - 2 / topics) / alpha + 1 / (topics * alpha)  # the prior's variance

    def init(key, batch):
        keys = jax.random.split(key, 3)
        bags = dense(batch, vocabulary)
        variables = encoder.init(keys[0], bags)
        if set(variables) - {"params"}:
            raise ValueError(f"the encoder keeps {sorted(variables)}: it may hold parameters only")
        own = variables.get("params", {})
        hidden = encoder.apply({"params": own}, bags)
        made, facts = decoder(keys[2])
        params = {"encoder": own, "heads": heads.init(keys[1], hidden)["params"], "decoder": made}
        params["background"] = jnp.zeros(vocabulary)
        norms = tuple(Moments(jnp.zeros(n), jnp.ones(n)) for n in (topics, topics, vocabulary))
        return TopicModelState(jnp.zeros((), jnp.int32), key, params, tx.init(params), norms, facts)

    def posterior(params, norms, bags, kept, standardise):
        hidden = encoder.apply({"params": params["encoder"]}, unit_rows(jnp.log1p(bags)))
        hidden = hidden if kept is None else hidden * kept
        both = jnp.split(heads.apply({"params": params["heads"]}, hidden).astype(jnp.float32), 2, axis=1)
        return [standardise(x, norm) for x, norm in zip(both, norms, strict=True)]

    def step(state: TopicModelState, x: jax.Array):
        keys = example_keys(jax.random.fold_in(state.key, state.step), x.shape[0], axis_name)
        bags = dense(x, vocabulary)
        width = jax.eval_shape(lambda b: encoder.apply({"params": state.params["encoder"]}, b), bags).shape[1]

        def draw(key):
            noise, *left = jax.random.split(key, 3)
            kept = [
                jax.random.bernoulli(k, 1 - dropout, (n,)) for k, n in zip(left, (width, topics), strict=True)
            ]
            return jax.random.normal(noise, (topics,)), *(k / (1 - dropout) for k in kept)

        noise, of_hidden, of_topics = jax.vmap(draw)(keys)

        def loss(params):
            learn = lambda x, norm: _standardised(x, norm, axis_name)
            (mean, at_mean), (log_variance, at_variance) = posterior(
                params, state.norms[:2], bags, of_hidden, learn
            )
            theta = jax.nn.softmax(mean + jnp.exp(0.5 * log_variance) * noise) * of_topics
            said, at_words = learn(theta @ logits(params["decoder"], state.facts), state.norms[2])
            nll = losses.multinomial_nll(said + params["background"][None], bags).mean()
            kl = _kl(mean, log_variance, spread).mean()
            more = penalty(params["decoder"], state.facts) if penalty else 0.0
            return nll + kl + more, ({"nll": nll, "kl": kl}, (at_mean, at_variance, at_words))

        value, (metrics, norms), params, opt_state = update(
            loss, state.params, state.opt_state, tx, axis_name
        )
        state = state._replace(step=state.step + 1, params=params, opt_state=opt_state, norms=norms)
        return state, {"loss": value} | metrics

    def encode(state, x):
        use = lambda x, norm: _as_known(x, norm)
        return jax.nn.softmax(posterior(state.params, state.norms[:2], dense(x, vocabulary), None, use)[0])

    def weights(state):
        params = state.params
        alone = _as_known(logits(params["decoder"], state.facts), state.norms[2])
        found = jax.nn.softmax(alone + relevance * params["background"][None])
        return found if words is None else words(found, state.facts)

    return Method(
        init,
        step,
        encode,
        assign=lambda state, x: jnp.argmax(encode(state, x), axis=1).astype(jnp.int32),
        topics=weights,
        items=None if items is None else lambda state: items(state.facts),
        wants=Wants(kinds=("baskets",)),
    )


def _standardised(x: jax.Array, running: Moments, axis_name: str | None) -> tuple[jax.Array, Moments]:
    """Over the global batch, and the running moments after it."""
    mean = pmean(x.mean(axis=0), axis_name)
    variance = pmean(jnp.square(x - mean[None]).mean(axis=0), axis_name)
    found = Moments(mean, variance)
    moved = jax.tree.map(lambda old, new: _MOMENTUM * old + (1 - _MOMENTUM) * new, running, found)
    return _as_known(x, found), jax.lax.stop_gradient(moved)


def _as_known(x: jax.Array, moments: Moments) -> jax.Array:
    return (x - moments.mean[None]) / jnp.sqrt(moments.variance + _EPSILON)[None]


def _kl(mean: jax.Array, log_variance: jax.Array, spread: float) -> jax.Array:
    """KL divergence to a normal distribution of mean 0 and variance `spread`, `[B]`."""
    ratio = (jnp.exp(log_variance) + jnp.square(mean)) / spread
    return 0.5 * (ratio - 1 + jnp.log(spread) - log_variance).sum(axis=1)
