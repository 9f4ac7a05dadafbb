"""Supervised fine-tuning of an encoder from its unsupervised parameters."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from unsupjax.errors import UserError, choose
from unsupjax.evaluate import require
from unsupjax.evaluate.representation.labelled import labelled, suffix
from unsupjax.evaluate.subject import Subject, lasting, map_batches, untrained

SCHEDULES = {"constant": lambda rate, steps: rate, "cosine": optax.cosine_decay_schedule}
OPTIMIZERS = {
    "adam": lambda rate, momentum, decay: optax.adamw(rate, weight_decay=decay),
    "sgd": lambda rate, momentum, decay: optax.chain(
        optax.add_decayed_weights(decay), optax.sgd(rate, momentum=momentum)
    ),
}


def fine_tune(
    subject: Subject,
    *,
    fractions: tuple = (1.0,),
    epochs: int = 20,
    batch_size: int = 128,
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    schedule: str = "cosine",
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    freeze: bool = False,
    validation: int = 0,
    from_scratch: bool = False,
) -> dict[str, float]:
    """Test error of a softmax classifier on the code, trained with the encoder on the training labels.

    Minimises the mean cross-entropy of `softmax(encode(x) W + b)` over W, b (from zero) and `state.params`
    (from their trained values) on shuffled minibatches; the last incomplete one of an epoch is left out. The
    encoder is that of `encode`: one with batch norm keeps the statistics of its unsupervised training.

    Args:
        subject: what is judged; the training set must fit in device memory.
        fractions: of the training labels that are used, each in a fine-tuning of its own. In (0, 1]: that part of each
            class, drawn at random, at least one example. A whole number of 2 or more: so many examples in all, of each
            class in proportion, at least one. A smaller part's examples are among a larger's.
        epochs: passes over the training set; over a fraction f of it the next whole number from
            `epochs / sqrt(f)`, so that few examples are seen more often and take fewer steps all the same.
        batch_size: examples in a minibatch; all that are trained on where those are fewer.
        optimizer: `"adam"` or `"sgd"`.
        learning_rate: initial learning rate.
        schedule: `"constant"`, or `"cosine"` decay to zero over all epochs.
        momentum: momentum of `"sgd"`; unused by `"adam"`.
        weight_decay: of all trained parameters; decoupled for `"adam"`, part of the gradient for `"sgd"`.
        freeze: train the classifier alone and leave the encoder as it is.
        validation: number of the labelled examples held out, at random, to choose the epoch of the lowest error
            on them (the earliest on a tie); 0 trains on all and takes the last epoch.
        from_scratch: train a twin each time, from a State that `init` makes anew in place of the trained one, on the
            same examples in the same order with the same settings: what the unsupervised training is worth. It takes
            as long again.

    Returns:
        `fine_tune_accuracy` and `fine_tune_error`, fractions of the test set, and the epoch they are of,
        `fine_tune_epoch`, counted from 1; with `_{f}` appended for a fraction f below 1 and for a number of examples,
        as in `fine_tune_accuracy_0.01` and `fine_tune_accuracy_100`. With `from_scratch` the same of the twin, as in
        `from_scratch_accuracy_100`. The test set chooses nothing.

    Raises:
        UserError: there are no labels, or fewer than two classes; the State has no `params`; a fraction is neither in
            (0, 1] nor a number of examples that there are, one of each class at least; `validation` leaves nothing to
            train on; the training diverges.
    """
    y_train, _ = (require.labels(y, "fine_tune") for y in (subject.y_train, subject.y_test))
    if not hasattr(subject.state, "params"):
        raise require.missing("fine_tune", "a State with `params`", "choose a method trained by gradient")
    if epochs < 1:
        raise UserError(f"fine_tune: {epochs=} must be 1 or more")
    transform = lambda steps: _transform(optimizer, schedule, learning_rate, steps, momentum, weight_decay)
    rows_of = labelled(subject, fractions, "fine_tune")
    fewest = min(map(len, rows_of.values()))
    if not 0 <= validation < fewest:
        raise UserError(f"fine_tune: {validation=} must be in [0, {fewest}), the labelled examples")
    starts = {"fine_tune": subject}
    if from_scratch:
        fresh = untrained(subject, jax.random.fold_in(subject.key, 3))
        starts["from_scratch"] = subject._replace(state=fresh)
    results = {}
    for f, rows in rows_of.items():
        held_out, rest = np.split(rows, [validation])
        passes = math.ceil(epochs / math.sqrt(f if f <= 1 else f / len(y_train)))
        for start, judged in starts.items():
            epoch, error = _tuned(judged, held_out, rest, passes, batch_size, transform, freeze)
            scores = {"accuracy": 1 - error, "error": error, "epoch": float(epoch)}
            results |= {f"{start}_{name}" + suffix(f): x for name, x in scores.items()}
    return results


@lasting
def _transform(
    optimizer: str, schedule: str, learning_rate: float, steps: int, momentum: float, weight_decay: float
) -> optax.GradientTransformation:
    rate = choose("schedule", schedule, SCHEDULES)(learning_rate, steps)
    return choose("optimizer", optimizer, OPTIMIZERS)(rate, momentum, weight_decay)


def _tuned(
    subject: Subject,
    held_out: np.ndarray,
    rest: np.ndarray,
    epochs: int,
    batch_size: int,
    transform: Callable,
    freeze: bool,
) -> tuple[int, float]:
    """The chosen epoch, and its error on the test set, of a training on the examples `rest`.

    `transform` gives the optimizer for a number of steps; the examples `held_out` choose the epoch where there
    are any.
    """
    classes, y = np.unique(subject.y_train, return_inverse=True)
    batch_size = min(batch_size, len(rest))
    tx = transform(epochs * (len(rest) // batch_size))
    predict = _predicting(subject.method.encode)

    def error(model, x, y):
        return float(np.mean(classes[map_batches(predict, x, 512, subject.state, model)] != y))

    def rank(item):
        epoch, model = item
        return error(model, subject.x_train[held_out], subject.y_train[held_out]) if len(held_out) else -epoch

    model = _classifier(subject, len(classes), freeze)
    models = _epochs(subject, model, tx, rest, y, epochs, batch_size)
    epoch, model = min(enumerate(models, 1), key=rank)
    return epoch, error(model, subject.x_test, subject.y_test)


def _classifier(subject: Subject, classes: int, freeze: bool) -> dict[str, Any]:
    """All that is trained: the classifier's weights, and the encoder's unless it is frozen."""
    head = {"kernel": jnp.zeros((subject.z_train.shape[1], classes)), "bias": jnp.zeros(classes)}
    return {"head": head} if freeze else {"head": head, "params": subject.state.params}


@lasting
def _predicting(encode: Callable) -> Callable:
    return lambda state, model, x: _logits(encode, state, model, x).argmax(axis=1)


def _logits(encode: Callable, state: Any, model: dict[str, Any], x: jax.Array) -> jax.Array:
    """Float32 logits `[B, classes]`."""
    state = state._replace(params=model.get("params", state.params))
    code = encode(state, x).astype(jnp.float32)
    return code @ model["head"]["kernel"] + model["head"]["bias"][None]


def _epochs(
    subject: Subject,
    model: dict[str, Any],
    tx: optax.GradientTransformation,
    rest: np.ndarray,
    y: np.ndarray,
    epochs: int,
    batch_size: int,
) -> Iterator[dict[str, Any]]:
    """The model after each epoch on the training examples `rest`, whose class indices y `[N]` has."""
    step = _step(subject.method.encode, tx)
    opt_state = tx.init(model)
    for epoch in range(epochs):
        order = np.asarray(jax.random.permutation(jax.random.fold_in(subject.key, epoch), len(rest)))
        # One call a minibatch: XLA's convolution gradients are far slower inside a loop on CPU.
        for index in rest[order[: len(rest) // batch_size * batch_size]].reshape(-1, batch_size):
            model, opt_state, value = step(model, opt_state, subject.state, subject.x_train[index], y[index])
        if not np.isfinite(value):
            raise UserError(f"fine_tune: the loss of epoch {epoch + 1} is not finite; lower learning_rate")
        yield model


@lasting
def _step(encode: Callable, tx: optax.GradientTransformation) -> Callable:
    @jax.jit
    def step(model, opt_state, state, x, y):
        def loss(model):
            logits = _logits(encode, state, model, x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        value, grads = jax.value_and_grad(loss)(model)
        updates, opt_state = tx.update(grads, opt_state, model)
        return optax.apply_updates(model, updates), opt_state, value

    return step
