"""Nearest-neighbour classification of frozen codes."""

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.subject import Subject, map_batches

_BLOCK = 2**25  # similarities held at once: 128 MiB of float32


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
    y_train, y_test = (require.labels(y, "knn") for y in (subject.y_train, subject.y_test))
    if not 1 <= k <= len(y_train):
        raise UserError(f"knn: k={k} must be between 1 and the {len(y_train)} training examples")
    predicted = knn_predict(subject.z_train, y_train, subject.z_test, k)
    return {f"knn_accuracy_k{k}": float(np.mean(predicted == y_test))}


def knn_predict(z_train: np.ndarray, y_train: np.ndarray, z_test: np.ndarray, k: int) -> np.ndarray:
    """Labels `[M]` of test codes `[M, D]` by the vote of k of the training codes `[N, D]`.

    The same as scikit-learn's `KNeighborsClassifier(k, metric="cosine")` where no two similarities tie. Codes
    of length zero are similar to nothing. Memory is bounded by blocks of test codes.
    """
    classes, y = np.unique(y_train, return_inverse=True)

    def vote(train, y, test):
        # The length of a test code scales all its similarities alike, and so changes no rank.
        similarity = jnp.matmul(test, train.T, precision="highest")
        nearest = y[jax.lax.top_k(similarity, k)[1]]
        return jax.nn.one_hot(nearest, len(classes)).sum(axis=1).argmax(axis=1)

    length = np.linalg.norm(z_train, axis=1, keepdims=True)
    train = jnp.asarray(z_train / np.where(length > 0, length, 1))
    return classes[map_batches(vote, z_test, max(1, _BLOCK // len(y)), train, jnp.asarray(y))]
