"""Which training examples keep their labels, for judges that ask how few of them do."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from unsupjax.errors import UserError
from unsupjax.evaluate.judge import Facts
from unsupjax.evaluate.subject import Subject


def labelled(subject: Subject, fractions: tuple, user: str) -> dict[float, np.ndarray]:
    """The rows of the training set that each fraction, or number, of labels leaves; the same ones for every judge.

    Args:
        subject: what is judged; it has labels.
        fractions: as of `stratified`.
        user: the judge that asks.

    Raises:
        UserError: there is none, or one is neither a fraction nor a number of examples.
    """
    y = np.asarray(subject.y_train)
    order = np.asarray(jax.random.permutation(subject.key, len(y)))
    _refuse(fractions, len(np.unique(y)), len(y), user)
    return {f: stratified(order, y, f) for f in fractions}


def check(arguments: Mapping[str, Any], facts: Facts) -> None:
    """Refuses, at the start of a run, what `labelled` would refuse at its end."""
    _refuse(arguments["fractions"], len(facts.label_names or ()), facts.train, "fractions")


def _refuse(fractions: tuple, classes: int, n: int, user: str) -> None:
    where = "config.evaluate: fractions" if user == "fractions" else f"config.evaluate.{user}.fractions"
    if not fractions:
        raise UserError(f"{where} is empty; give one, such as 1.0")
    for f in fractions:
        if not (0 < f <= 1 or (float(f).is_integer() and classes <= f <= n)):
            raise UserError(
                f"{where}: {f} must be in (0, 1], or a number of labelled examples from {classes}, one of each class, "
                f"to {n}, all of them"
            )


def suffix(f: float) -> str:
    """What stands behind the names of results of a fraction or number of labels; nothing of all of them."""
    return "" if f == 1 else f"_{f:g}" if f < 1 else f"_{int(f)}"


def stratified(order: np.ndarray, y: np.ndarray, part: float) -> np.ndarray:
    """The first of each class in an order.

    Args:
        order: a permutation of the N examples.
        y: their labels `[N]`.
        part: in (0, 1]: that fraction of each class, to the nearest, and at least one. More: so many examples in all,
            those that come first when the one of rank r of n in its class stands at (r + 1/2) / n, and every class's
            first before all others.

    Returns:
        indices of examples, in that order.
    """
    kept, rank, size = np.zeros(len(order), bool), np.zeros(len(order)), np.zeros(len(order))
    for label in np.unique(y):
        places = np.flatnonzero(y[order] == label)
        kept[places[: max(1, round(part * len(places)))]] = True
        rank[places], size[places] = np.arange(len(places)), len(places)
    if part > 1:
        first = np.argsort(np.where(rank == 0, 0, (rank + 0.5) / size), kind="stable")
        kept[:] = False
        kept[first[: int(part)]] = True
    return order[kept]
