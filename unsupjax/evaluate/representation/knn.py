"""Nearest-neighbour classification of frozen codes."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.judge import Facts
from unsupjax.evaluate.subject import Subject, codes, flat, lasting, map_batches, untrained

_BLOCK = 2**25  # similarities held at once: 128 MiB of float32


def check(arguments: Mapping[str, Any], facts: Facts) -> None:
    """Refuses, at the start of a run, more neighbours than there are training examples."""
    _check_k(arguments["k"], facts.train, "config.evaluate: kNN")


def _check_k(k: int, n: int, user: str) -> None:
    if not 1 <= k <= n:
        raise UserError(f"{user}: k={k} must be between 1 and the {n} training examples; lower it")


def knn(subject: Subject, *, k: int = 10) -> dict[str, float]:
    """Test accuracy of the majority vote of the k training codes of highest cosine similarity.

    Every neighbour has one vote; a tie between classes goes to the lowest label, and one between neighbours
    to the earlier training example.

    Args:
        subject: what is judged.
        k: number of neighbours.

    Returns:
        `knn_accuracy_k{k}`, a fraction of the test set.

    Raises:
        UserError: there are no labels, or fewer than two classes; k is not in [1, N].
    """
    accuracy = _accuracy(subject, subject.z_train, subject.z_test, k, "knn")
    return {f"knn_accuracy_k{k}": accuracy}


def knn_weighted(subject: Subject, *, k: int = 200, temperature: float = 0.1) -> dict[str, float]:
    """Test accuracy of a weighted vote of the k training codes of highest cosine similarity s.

    Each neighbour votes with the weight `exp(s / temperature)`: nearer neighbours count for more.

    Args:
        subject: what is judged.
        k: number of neighbours.
        temperature: towards 0 the nearest neighbour decides, towards infinity every neighbour has one vote.

    Returns:
        `knn_weighted_accuracy_k{k}`, a fraction of the test set.

    Raises:
        UserError: there are no labels, or fewer than two classes; k is not in [1, N]; the temperature is not
            positive.

    Source: Wu et al., "Unsupervised feature learning via non-parametric instance discrimination", CVPR 2018.
    """
    accuracy = _accuracy(subject, subject.z_train, subject.z_test, k, "knn_weighted", temperature)
    return {f"knn_weighted_accuracy_k{k}": accuracy}


def knn_baselines(subject: Subject, *, k: int = 10) -> dict[str, float]:
    """Test accuracy of `knn` on the codes, on the inputs themselves, and on the codes of an untrained encoder.

    What training is worth is the distance from the codes to the better of the other two. The inputs are
    flattened and compared by cosine similarity like codes. The untrained State is the method's `init` with
    another key, on the batch that training began with; an encoder with batch norm uses the statistics it
    starts from, mean 0 and variance 1.

    Args:
        subject: what is judged.
        k: number of neighbours.

    Returns:
        `knn_accuracy_k{k}_codes`, `knn_accuracy_k{k}_inputs` and `knn_accuracy_k{k}_random_encoder`, fractions of
        the test set.

    Raises:
        UserError: as `knn`.
    """
    method, inputs = subject.method, (subject.x_train, subject.x_test)
    key = jax.random.fold_in(subject.key, 2)

    def accuracy(train, test):
        return _accuracy(subject, train, test, k, "knn_baselines")

    results = {
        "codes": accuracy(subject.z_train, subject.z_test),
        "inputs": accuracy(*map(flat, inputs)),
    }
    state = untrained(subject, key)
    results["random_encoder"] = accuracy(*(codes(method, state, x) for x in inputs))
    return {f"knn_accuracy_k{k}_{space}": value for space, value in results.items()}


def _accuracy(
    subject: Subject,
    train: np.ndarray,
    test: np.ndarray,
    k: int,
    user: str,
    temperature: float = float("inf"),
) -> float:
    """`knn_predict`'s accuracy on the labels of the subject, from points `[N, D]` and `[M, D]` of any space.

    Raises:
        UserError: as `knn_weighted`; `user` is the evaluator that asks.
    """
    y_train, y_test = (require.labels(y, user) for y in (subject.y_train, subject.y_test))
    _check_k(k, len(y_train), user)
    if not temperature > 0:
        raise UserError(f"{user}: {temperature=} must be above 0")
    return float(np.mean(knn_predict(train, y_train, test, k, temperature) == y_test))


def knn_predict(
    z_train: np.ndarray,
    y_train: np.ndarray,
    z_test: np.ndarray,
    k: int,
    temperature: float = float("inf"),
) -> np.ndarray:
    """Labels `[M]` of test codes `[M, D]` by the vote of k of the training codes `[N, D]`.

    A neighbour of cosine similarity s has the weight `exp(s / temperature)`: 1 at infinity, which is the same as
    scikit-learn's `KNeighborsClassifier(k, metric="cosine")` where no two similarities tie. Codes of length
    zero are similar to nothing. Memory is bounded by blocks of test codes.
    """
    classes, y = np.unique(y_train, return_inverse=True)
    z_train = np.asarray(z_train)
    length = np.linalg.norm(z_train, axis=1, keepdims=True)
    train = jnp.asarray(z_train / np.where(length > 0, length, 1))
    vote = _vote(k, len(classes), temperature)
    return classes[map_batches(vote, z_test, max(1, _BLOCK // len(y)), train, jnp.asarray(y))]


@lasting
def _vote(k: int, classes: int, temperature: float) -> Callable:
    def vote(train, y, test):
        # The length of a test code scales all its similarities alike, and so changes no rank.
        similarity, index = jax.lax.top_k(jnp.matmul(test, train.T, precision="highest"), k)
        length = jnp.linalg.norm(test, axis=1, keepdims=True)
        cosine = similarity / jnp.where(length > 0, length, 1)
        # The nearest neighbour's weight as the unit: the sums neither overflow nor vanish.
        weight = jnp.exp((cosine - cosine[:, :1]) / temperature)
        return (jax.nn.one_hot(y[index], classes) * weight[..., None]).sum(axis=1).argmax(axis=1)

    return vote
