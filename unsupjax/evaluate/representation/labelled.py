"""Which training examples keep their labels, for judges that ask how few of them do."""

import jax
import numpy as np

from unsupjax.errors import UserError
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
    classes, order = len(np.unique(y)), np.asarray(jax.random.permutation(subject.key, len(y)))
    if not fractions:
        raise UserError(f"config.evaluate.{user}.fractions is empty; give one, such as 1.0")
    for f in fractions:
        if not (0 < f <= 1 or (float(f).is_integer() and classes <= f <= len(y))):
            raise UserError(
                f"config.evaluate.{user}.fractions: {f} must be in (0, 1], or a number of labelled examples from "
                f"{classes}, one of each class, to {len(y)}, all of them"
            )
    return {f: stratified(order, y, f) for f in fractions}


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
