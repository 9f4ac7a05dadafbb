"""Word vectors by which two views of a text, each with words left out, find each other."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from unsupjax import losses
from unsupjax.methods.base import Method, State, Wants, descend, init_state
from unsupjax.methods.parts.bags import dense
from unsupjax.methods.parts.corpus_words import corpus_words, heavy
from unsupjax.methods.parts.views import diagnose, health
from unsupjax.parallel.collectives import example_keys, pmean


def word_contrast(
    tx: optax.GradientTransformation,
    *,
    dropped: float = 0.5,
    temperature: float = 0.5,
    vectors: str = "context",
    dimensions: int = 200,
    window: int = 10,
    sif: float = 1e-3,
    kind: Any,
    rows: np.ndarray | None = None,
    axis_name: str | None = None,
) -> Method:
    r"""Minimises `losses.info_nce` between two views of each text, which lack other words.

    A text is :math:`\sum_w (1 + \ln n_w)\,a_w e_w`, of length 1, over its words w, n times each. Vectors e and weights
    a > 0 are learnt; they begin as those of `word_means`. A word with its uniform u is in the first view where u >= q,
    in the second where u < 1 - q, for q = `dropped`: of one half each has what the other lacks. The other texts of the
    batch are the negatives; a text of which a view is empty counts for nothing.

    `encode` is the whole text; `items` the word vectors times their weights.

    Args:
        tx: the optimizer.
        dropped: q, the share of a text's words that a view lacks. One half for what a text is about, less for what
            exactly it says.
        temperature: of the softmax over cosine similarities.
        vectors: "context" or "spelling", as of `word_means`.
        dimensions: D.
        window: words that share a window of so many stand together; of bags without an order, all of a document do.
        sif: a of the weights' beginning.
        kind: of the data, baskets.
        rows: the training split as it is stored. Only training needs it.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: an argument out of its range.

    Source: Gao et al., "SimCSE: simple contrastive learning of sentence embeddings", EMNLP 2021, there of a
    transformer and its dropout; the beginning: Arora, Liang and Ma, ICLR 2017.
    """
    if not 0 < dropped < 1:
        raise ValueError(f"{dropped=} must be between 0 and 1")
    found = corpus_words(rows, kind, dimensions, window, sif, vectors)

    def init(key, batch):
        del batch
        words = found()
        params = {
            "vectors": jnp.asarray(words.vectors),
            "log_weights": jnp.log(jnp.asarray(words.sif) + 1e-12),
        }
        return init_state(key, params, tx)

    def embed(params, bags):
        return losses.normalize(heavy(bags, jnp.exp(params["log_weights"])) @ params["vectors"])

    def step(state: State, x: jax.Array):
        bags = dense(x, kind.size)
        keys = example_keys(jax.random.fold_in(state.key, state.step), len(x), axis_name)
        u = jax.vmap(lambda key: jax.random.uniform(key, (kind.size,)))(keys)
        first, second = jnp.where(u >= dropped, bags, 0), jnp.where(u < 1 - dropped, bags, 0)
        both = (first.max(axis=1) > 0) & (second.max(axis=1) > 0)
        share = jnp.maximum(pmean(both.mean(dtype=jnp.float32), axis_name), 1e-9)

        def loss(params):
            z1, z2 = embed(params, first), embed(params, second)
            options = {"temperature": temperature, "axis_name": axis_name, "where": both}
            value = losses.info_nce(z1, z2, **options).mean() / share
            return value, health(z1, z2, axis_name)

        return descend(loss, state, tx, axis_name)

    def encode(state: State, x: jax.Array):
        return embed(state.params, dense(x, kind.size))

    def items(state: State):
        return state.params["vectors"] * jnp.exp(state.params["log_weights"])[:, None]

    return Method(init, step, encode, items=items, diagnose=diagnose, wants=Wants(kinds=("baskets",)))
