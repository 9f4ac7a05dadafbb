"""How near the samples of a method are to real data, in the features of a reference encoder."""

import jax
import numpy as np

from unsupjax import generation as measures
from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.subject import Subject, host_seed, random_subset
from unsupjax.evaluate.synthesis import reference

_BATCH = 500
_FOLDS = 5


def generation(
    subject: Subject, *, encoder: str = "inputs", n: int = 10_000, neighbours: int = 5
) -> dict[str, float]:
    """Distances of samples to test examples, beside those of real training examples and of noise.

    All four sets are of n examples and go through the same encoder; the names of the results end in its name and the
    first digits of its digest, as in `frechet_mnist_1a2b3c4d`. Numbers of different encoders or different n do not
    compare. `_real` is the floor, training against test examples, which a model that beats it has memorised or
    been judged by chance; `_noise` is the ceiling, normal noise with the mean and standard deviation of each
    element of the inputs, cut off at its least and greatest value. (No bound: a model can be worse than noise.)

    Args:
        subject: what is judged.
        encoder: "inputs", the inputs as they are; a packaged encoder, "digits", "mnist" or "cifar10"; or the path
            of an `.npz` file that `unsupjax export RUN NAME.npz --format=reference` wrote.
        n: samples, and examples of each split; at most as many as the smaller split has.
        neighbours: k of precision, recall, density and coverage.

    Returns:
        `frechet` and `kid` (`unsupjax.generation.frechet_distance` and `kernel_distance`), with `_real` and
        `_noise`; `precision`, `recall`, `density` and `coverage`; `c2st_auc` of logistic regression, with `_real`
        (an encoder may tell the examples that it was trained on from others); and of inputs that are vectors
        `sliced_wasserstein`, with `_real`. `generation_examples` is n.

    Raises:
        UserError: the method cannot sample; samples are not finite; too few examples; no such encoder, or one for
            inputs of another shape.
    """
    judge = reference.load(encoder)
    n = min(n, len(subject.x_train), len(subject.x_test))
    if not 1 <= neighbours < n or n < _FOLDS:
        least = max(neighbours + 1, _FOLDS)
        raise UserError(f"generation: {neighbours=} must be positive, and {n} examples at least {least}")
    keys = jax.random.split(subject.key, 4)
    train, test = (
        x[random_subset(key, len(x), n)]
        for key, x in zip(keys, (subject.x_train, subject.x_test), strict=False)
    )
    inputs = {"real": train, "noise": _noise(keys[2], train), "": drawn(subject, n, "generation")}
    target = judge.encode(test)
    features = {name: judge.encode(x) for name, x in inputs.items()}
    results = {}
    for name, z in features.items():
        end = f"_{name}" if name else ""
        results["frechet" + end] = measures.frechet_distance(z, target)
        results["kid" + end] = measures.kernel_distance(z, target)
    results |= measures.prdc(target, features[""], neighbours=neighbours)._asdict()
    vectors = encoder == "inputs" and test.ndim == 2
    for end, z in (("_real", features["real"]), ("", features[""])):
        results["c2st_auc" + end] = measures.c2st(z, target, folds=_FOLDS, seed=host_seed(keys[3])).auc
        if vectors:
            results["sliced_wasserstein" + end] = measures.sliced_wasserstein(keys[3], z, target)
    return {f"{name}_{judge.label}": value for name, value in results.items()} | {
        "generation_examples": float(n)
    }


def drawn(subject: Subject, n: int, user: str) -> np.ndarray:
    """n samples of the method, `[n, ...]` as its inputs are: the same for every evaluator that asks for as many.

    Drawn in batches of one shape, so that they compile once and bound the device's memory.

    Raises:
        UserError: the method cannot sample; n is below 1; samples of another shape than the data's, or not finite.
    """
    sample = require.function(subject.method, "sample", user)
    if n < 1:
        raise UserError(f"{user}: {n=} must be at least 1")
    draw, size = jax.jit(sample, static_argnums=2), min(n, _BATCH)
    key = jax.random.fold_in(subject.key, 1)
    batches = (draw(subject.state, jax.random.fold_in(key, i), size) for i in range(-(-n // size)))
    samples = np.concatenate([np.asarray(batch, np.float32) for batch in batches])[:n]
    if samples.shape[1:] != subject.x_test.shape[1:]:
        raise UserError(f"{user}: samples are {samples.shape[1:]}, and inputs {subject.x_test.shape[1:]}")
    bad = n - np.isfinite(samples.reshape(n, -1)).all(axis=1).sum()
    if bad:
        raise UserError(
            f"{user}: {bad} of {n} samples are not finite: the training diverged; lower the learning rate and "
            "train again, or evaluate an earlier checkpoint"
        )
    return samples


def drawn_classes(n: int, labels: int) -> np.ndarray:
    """The class of each of the n samples that `drawn` gives of a method of so many classes, int `[n]`.

    Sample i of each batch is of class i mod labels.
    """
    return np.arange(n) % min(n, _BATCH) % labels


def _noise(key: jax.Array, x: np.ndarray) -> np.ndarray:
    """Normal noise `[N, ...]` with the mean and standard deviation of each element of x, within its range."""
    noise = np.asarray(jax.random.normal(key, x.shape))
    return np.clip(x.mean(axis=0) + x.std(axis=0) * noise, x.min(axis=0), x.max(axis=0))
