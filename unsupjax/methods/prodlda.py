"""ProdLDA: topics that multiply each other, learnt by a variational autoencoder."""

import flax.linen as nn
import optax

from unsupjax.methods.base import Method
from unsupjax.methods.parts.topic_model import topic_model


def prodlda(
    encoder: nn.Module,
    tx: optax.GradientTransformation,
    *,
    topics: int = 20,
    alpha: float = 1.0,
    dropout: float = 0.2,
    relevance: float = 0.5,
    vocabulary: int,
    axis_name: str | None = None,
) -> Method:
    r"""A document's words are a product of its topics, :math:`p(w) \propto \prod_k \exp(B_{kw})^{\theta_k}`.

    LDA mixes topics: a word that is likely in one is likely in the mixture. Here a word must be likely in all that a
    document has, which makes topics sharper. How it is trained, and what keeps it from collapsing:
    `parts.topic_model`.

    `encode` gives :math:`\theta` of the posterior's mean, `assign` its greatest, `topics` weights of words.

    Args:
        encoder: a Linen module `[B, V] -> [B, H]`.
        tx: the optimizer.
        topics: K.
        alpha: of the symmetric Dirichlet prior of proportions; below 1 documents have few topics.
        dropout: of hidden units and of proportions.
        relevance: of words for a topic: 1 puts those first that are frequent, 0 those that are found nowhere else.
        vocabulary: V, how many words there are.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: an argument out of its range.

    Source: Srivastava and Sutton, "Autoencoding variational inference for topic models", ICLR 2017.
    """

    def decoder(key):
        return nn.initializers.xavier_uniform()(key, (topics, vocabulary)), ()

    return topic_model(
        encoder,
        tx,
        decoder=decoder,
        logits=lambda b, _: b,
        topics=topics,
        alpha=alpha,
        dropout=dropout,
        relevance=relevance,
        vocabulary=vocabulary,
        axis_name=axis_name,
    )
