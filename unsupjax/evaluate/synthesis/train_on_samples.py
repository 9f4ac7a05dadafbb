"""What samples of known classes are worth as training data."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax

from unsupjax.data.feeds import example_order
from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.judge import Facts
from unsupjax.evaluate.subject import Subject, flat, host_seed, lasting, map_batches, random_subset
from unsupjax.evaluate.synthesis.generation import drawn, drawn_classes
from unsupjax.models import MLPEncoder

_BATCH = 128
_SEEDS = 3


def check(arguments: Mapping[str, Any], facts: Facts) -> None:
    """Refuses, at the start of a run, counts below 1."""
    _check(**{name: arguments[name] for name in ("n", "per_class", "steps")})


def _check(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"config.evaluate.train_on_samples.{name}={value} must be at least 1; raise it")


def train_on_samples(
    subject: Subject, *, n: int = 5000, per_class: int = 10, steps: int = 1000
) -> dict[str, float]:
    """Accuracy on real test examples of a classifier trained on samples, beside that of one trained on real ones.

    The classifier is a network of one hidden layer of 256 on flattened inputs, which are centred and scaled as a whole
    as those of the real training examples are. Each is trained by as many steps of Adam (batches of 128, learning rate
    1e-3 with a cosine to 0) on

    - n samples, sample i of class i mod K: `train_on_samples_accuracy`;
    - as many real training examples: `train_on_real_accuracy`, what samples as good as the data would reach;
    - `per_class` real ones of each class: `few_real_accuracy`;
    - these and the samples: `few_real_and_samples_accuracy`, above the last where the samples add something.

    Each is the mean of three seeds, which draw the real examples and the first weights; the samples are the same.
    Beside each stands the standard deviation over the seeds, `..._std`. The same subject gives the same numbers.

    Args:
        subject: what is judged, of a method that models classes.
        n: samples, and as many real examples; at most as many as there are training examples.
        per_class: real examples of each class, at most as many as there are.
        steps: of training of each classifier.

    Raises:
        UserError: there are no labels, or fewer than two classes; the method models no classes or cannot sample;
            samples are not finite; entries are missing; a count is below 1.

    Source: Ravuri and Vinyals, "Classification accuracy score for conditional generative models", NeurIPS 2019.
    """
    y_train, y_test = (require.labels(y, "train_on_samples") for y in (subject.y_train, subject.y_test))
    classes = require.conditional(subject.method, "train_on_samples")
    _check(n=n, per_class=per_class, steps=steps)
    n = min(n, len(y_train))
    samples = flat(drawn(subject, n, "train_on_samples")), drawn_classes(n, classes)
    x_test, found = flat(subject.x_test), {}
    for seed in range(_SEEDS):
        key = jax.random.fold_in(subject.key, 3 + seed)
        real, few = (
            (flat(subject.x_train[rows]), y_train[rows])
            for rows in (random_subset(key, len(y_train), n), _few(key, y_train, per_class))
        )
        both = tuple(np.concatenate(pair) for pair in zip(few, samples, strict=True))
        if not np.isfinite(real[0]).all():
            raise require.missing("train_on_samples", "inputs without missing entries", "fill them in")
        scaled = functools.partial(_scaled, real[0].mean(), real[0].std())
        sets = {
            "train_on_samples": samples,
            "train_on_real": real,
            "few_real": few,
            "few_real_and_samples": both,
        }
        for name, (x, y) in sets.items():
            params = _trained(key, scaled(x), y, classes, steps)
            guess = map_batches(_predict(classes), scaled(x_test), 512, params)
            found.setdefault(f"{name}_accuracy", []).append(np.mean(guess == y_test))
    deviations = {f"{name}_std": float(np.std(values)) for name, values in found.items()}
    return {name: float(np.mean(values)) for name, values in found.items()} | deviations


def _scaled(mean: np.floating, std: np.floating, x: np.ndarray) -> np.ndarray:
    return ((x - mean) / (std or 1)).astype(np.float32)


def _few(key: jax.Array, y: np.ndarray, per_class: int) -> np.ndarray:
    """Indices of so many random examples of each class, ascending."""
    order = np.asarray(jax.random.permutation(key, len(y)))
    return np.sort(np.concatenate([order[y[order] == label][:per_class] for label in np.unique(y)]))


def _classifier(classes: int) -> nn.Module:
    return nn.Sequential([MLPEncoder(features=(256,)), nn.Dense(classes)])


@lasting
def _predict(classes: int) -> Callable:
    return lambda params, x: _classifier(classes).apply(params, x).argmax(axis=1)


def _trained(key: jax.Array, x: np.ndarray, y: np.ndarray, classes: int, steps: int) -> Any:
    """Parameters of the classifier of rows `[N, D]` and classes `[N]`."""
    positions = np.arange(steps * _BATCH).reshape(steps, _BATCH)
    return _training(classes, steps)(key, x, y, example_order(positions, len(y), host_seed(key)))


@lasting
def _training(classes: int, steps: int) -> Callable:
    network, tx = _classifier(classes), optax.adam(optax.cosine_decay_schedule(1e-3, steps))

    @jax.jit
    def train(key, x, y, order):
        def step(carry, index):
            params, opt_state = carry

            def loss(params):
                logits = network.apply(params, x[index])
                return optax.softmax_cross_entropy_with_integer_labels(logits, y[index]).mean()

            updates, opt_state = tx.update(jax.grad(loss)(params), opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), None

        params = network.init(key, x[:1])
        return jax.lax.scan(step, (params, tx.init(params)), order)[0][0]

    return train
