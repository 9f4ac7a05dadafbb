"""How well hidden parts of held-out examples are predicted."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.evaluate import require
from unsupjax.evaluate.subject import Subject, chunks, lasting, map_batches


def completion(subject: Subject) -> dict[str, float]:
    r"""Error of what is predicted in place of hidden entries of test examples, beside that of simple guesses.

    All are the mean over test examples of :math:`\sum_h (x_h - \hat x_h)^2 / |h|` over the hidden entries h, in squared
    units of the input. Example i has the part hidden that follows from `fold_in(subject.key, i)`.

    Returns:
        `masked_mse` of the prediction; `masked_visible_mean_mse` of the mean of the entries that were not hidden of the
        same example; `masked_train_mean_mse` of the mean training example; and `masked_told_mse` of what the method was
        told of the hidden part (its `fill`), where it was told anything: a prediction that was told the mean of every
        hidden patch has to be compared with that.

    Raises:
        UserError: the method predicts nothing that is hidden.
    """
    fill = require.function(subject.method, "fill", "completion")
    mean = sum(part.sum(0, np.float64) for part in chunks(subject.x_train)) / len(subject.x_train)
    index = np.arange(len(subject.x_test), dtype=np.int32)
    errors = map_batches(
        _errors(fill), (index, subject.x_test), 256, subject.state, subject.key, mean.astype(np.float32)
    )
    names = ("masked_mse", "masked_visible_mean_mse", "masked_train_mean_mse", "masked_told_mse")
    means = errors.mean(0, dtype=np.float64)
    return {name: float(mean) for name, mean in zip(names, means, strict=False)}


@lasting
def filling(fill: Callable) -> Callable:
    """`(state, key, (index, x)) -> Filled`, in which what is hidden of an example depends on its index alone."""

    def filled(state, key, examples):
        def one(i, x):
            return jax.tree.map(lambda a: a[0], fill(state, jax.random.fold_in(key, i), x[None]))

        return jax.vmap(one)(*examples)

    return filled


@lasting
def _errors(fill: Callable) -> Callable:
    """`[B, 3]` of each guess, or `[B, 4]` where the method is told something."""

    def errors(state, key, mean, examples):
        x, filled = examples[1], filling(fill)(state, key, examples)
        axes = tuple(range(1, x.ndim))
        of_hidden = lambda a: jnp.sum(a * filled.hidden, axes) / filled.hidden.sum(axes)
        shown = jnp.mean(x, axes, where=~filled.hidden, keepdims=True)
        guesses = [filled.x, shown, mean[None]] + ([] if filled.told is None else [filled.told])
        return jnp.stack([of_hidden(jnp.square(x - guess)) for guess in guesses], axis=1)

    return errors
