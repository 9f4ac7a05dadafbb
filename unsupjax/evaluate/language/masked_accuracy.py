"""How often a model of text finds the words that were hidden from it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.data.tokenizers import START
from unsupjax.evaluate import require
from unsupjax.evaluate.subject import Subject, lasting, map_batches


def masked_accuracy(subject: Subject, *, batch_size: int = 64) -> dict[str, float]:
    """The share of hidden tokens of held-out text that are predicted right, beside the most frequent token's.

    Which ones are hidden follows from the key of the evaluation, for a row the same ones in every batch.

    Args:
        subject: what is judged; its data are tokens.
        batch_size: rows that go through at once.

    Returns:
        `masked_accuracy`, and `masked_accuracy_unigram`, of always the most frequent training token; fractions.

    Raises:
        UserError: the method fills in nothing; no row has a token that is hidden.
    """
    fill = require.function(subject.method, "fill", "masked_accuracy")
    x, train = (np.asarray(rows) for rows in (subject.x_test, subject.x_train))
    usual = np.bincount(train[train > START], minlength=1).argmax()
    keys = np.asarray(jax.random.key_data(jax.random.split(subject.key, len(x))))
    counted = map_batches(_counting(fill), (x, keys), batch_size, subject.state, int(usual))
    hidden, right, frequent = counted.sum(0, dtype=np.int64).tolist()
    if not hidden:
        raise require.missing("masked_accuracy", "texts with words, and none has any", "choose other data")
    return {"masked_accuracy": right / hidden, "masked_accuracy_unigram": frequent / hidden}


@lasting
def _counting(fill: Callable) -> Callable:
    def one(state, usual, x, key):
        hidden, found, _ = fill(state, jax.random.wrap_key_data(key), x[None])
        right = (found == x[None], x[None] == usual)
        return jnp.stack([hidden.sum(), *((hidden & r).sum() for r in right)])

    return lambda state, usual, batch: jax.vmap(lambda x, key: one(state, usual, x, key))(*batch)
