"""Whether what is near in one space is near in the other: inputs and codes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.judge import Facts
from unsupjax.evaluate.principal import components
from unsupjax.evaluate.subject import Subject, random_subset


def check(arguments: Mapping[str, Any], facts: Facts) -> None:
    """Refuses, at the start of a run, more neighbours than half the examples that will be compared."""
    _check_k(arguments["k"], min(arguments["examples"], facts.test))


def _check_k(k: int, n: int) -> None:
    if not 1 <= k < n / 2:
        raise UserError(
            f"config.evaluate.neighbours.k={k} must be at least 1 and below half of the {n} test examples that are "
            "compared; lower it, or raise config.evaluate.neighbours.examples"
        )


def neighbours(subject: Subject, *, k: int = 10, examples: int = 2000) -> dict[str, float]:
    r"""Trustworthiness and continuity of test codes, beside those of PCA codes of the same width.

    Over n examples, with :math:`r(i, j)` the rank of j among the neighbours of i in the inputs (1 is the nearest) and
    :math:`U_i` those among the k nearest codes of i that are not among the k nearest inputs,

    .. math:: T = 1 - \frac{2}{n k (2n - 3k - 1)} \sum_i \sum_{j \in U_i} (r(i, j) - k).

    Trustworthiness T is low where codes bring together what is far apart; continuity is T with the roles of the spaces
    exchanged, and is low where codes tear apart what is near. Distances are Euclidean. The principal components are
    those of the training inputs, as `reconstruction` has them.

    Args:
        subject: what is judged.
        k: number of neighbours.
        examples: at most so many test examples, drawn at random, are compared: the cost is quadratic in them.

    Returns:
        `trustworthiness_k{k}`, `continuity_k{k}`, and of PCA codes `trustworthiness_pca_k{k}` and
        `continuity_pca_k{k}` (left out where an input has more than 4096 elements); in [0, 1], 1 is best.

    Raises:
        UserError: k is not in [1, n / 2); an entry is missing.

    Source: Venna and Kaski, "Neighborhood preservation in nonlinear projection methods", ICANN 2001.
    """
    from sklearn.manifold import trustworthiness

    rows = random_subset(subject.key, len(subject.x_test), examples)
    _check_k(k, len(rows))
    x, z = subject.x_test[rows].reshape(len(rows), -1), subject.z_test[rows]
    if not np.isfinite(x).all():
        raise require.missing("neighbours", "inputs without missing entries", "fill them in")
    spaces, found = {"": z}, components(subject.x_train, z.shape[1])
    if found is not None:
        spaces["_pca"] = found.codes(x)
    results = {}
    for name, codes in spaces.items():
        results[f"trustworthiness{name}_k{k}"] = float(trustworthiness(x, codes, n_neighbors=k))
        results[f"continuity{name}_k{k}"] = float(trustworthiness(codes, x, n_neighbors=k))
    return results
