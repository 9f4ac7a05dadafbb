"""How well a method ranks what held-out users took and it was not told."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.data.bags import Rows, unpadded
from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.judge import Facts
from unsupjax.evaluate.subject import Subject, chunks, host_seed, lasting, map_batches

CUTS, DEEP = (20, 50), 100  # of recall and of nDCG


class Folded(NamedTuple):
    """Held-out rows, divided.

    Attributes:
        told: what the method is given, as rows are stored, `[M, ...]`.
        hidden: what it is to find, likewise.
    """

    told: np.ndarray
    hidden: np.ndarray


def ranking(
    subject: Subject,
    *,
    fold_in: float = 0.8,
    last: bool = False,
    regularization: float = 300.0,
    most_items: int = 20000,
    batch_size: int = 256,
) -> dict[str, float]:
    r"""Ranks all items that a held-out user is not known to have, and looks where those lie that were hidden.

    Of a user with n hidden items, nDCG@100 is :math:`\sum_r h_r / \log_2(r + 1)` over the first 100 ranks, where
    :math:`h_r` is 1 for a hidden item, over its greatest value, that of :math:`\min(n, 100)` of them at the top;
    Recall@k is the number of hidden items among the first k over :math:`\min(n, k)`. All items are ranked, none is
    sampled; equal scores are ordered at random. Users with one item alone are left out.

    Args:
        subject: whose test examples are rows of items.
        fold_in: the fraction of a row's items that the method is told, drawn at random; of two or more at least one is
            hidden, and at least one told.
        last: hide the last item of each row in place of that: the newest, of data that were read with
            `config.data.leave_last`.
        regularization: of the EASE that stands beside.
        most_items: of more items there is no EASE, which would take 16 V^2 bytes.
        batch_size: users at once.

    Returns:
        `ndcg_100`, `recall_20`, `recall_50`; `coverage_20`, the fraction of all items that are in the first 20 of
        anybody; `popularity_bias_20`, the mean number of training users of what is in the first 20 over that of what is
        hidden: above 1, what is recommended is more popular than what is taken; the same of EASE, fitted on the same
        training examples (`_ease` behind), and of the items that most users have (`_popularity`); `ranking_users`, and
        `ndcg_100_error`, the standard error of the mean over them.

    Raises:
        UserError: no user has two items.

    Source: Liang et al., WWW 2018; biases of sampled metrics: Krichene and Rendle, KDD 2020.
    """
    recommend = require.function(subject.method, "recommend", "ranking")
    if not 0 < fold_in < 1:
        raise UserError(f"config.evaluate.ranking.fold_in={fold_in} must be above 0 and below 1")
    size = subject.kind.size
    folded = fold(np.asarray(subject.x_test), fold_in, last, host_seed(subject.key))
    order = np.random.default_rng(host_seed(subject.key)).permutation(size)  # of equal scores
    taken = _counts(subject.x_train, size)

    def judged(function: Callable, state: Any) -> tuple[dict[str, float], np.ndarray]:
        found = map_batches(_measured(function, size), folded, batch_size, state, order)
        return _summary(found, taken, folded.hidden), found[:, 0]

    results, each = judged(recommend, subject.state)
    results["ndcg_100_error"] = float(each.std() / np.sqrt(len(each)))
    beside = {"popularity": (_popular, jnp.asarray(taken, jnp.float32))}
    if size <= most_items:
        beside["ease"] = (_linear, _ease(subject.x_train, size, regularization))
    for name, (function, state) in beside.items():
        results |= {f"{key}_{name}": value for key, value in judged(function, state)[0].items()}
    return results | {"ranking_users": float(len(each))}


def check(arguments: Mapping[str, Any], facts: Facts) -> None:
    """Refuses to hide what was trained on."""
    if facts.kind.leave_last and not arguments["last"]:
        raise UserError(
            "config.data.leave_last=True keeps nothing from training but the last item of each user: set "
            "config.evaluate.ranking.last=True"
        )


def fold(x: np.ndarray, fold_in: float, last: bool, seed: int) -> Folded:
    """Divides rows `[M, L]` or `[M, L, 2]`; those with one item are left out."""
    rows = unpadded(x)
    rows = rows.select(np.flatnonzero(rows.lengths > 1))
    if not len(rows):
        raise UserError("ranking: no test row has two items, one to be told and one to be hidden")
    owners, starts, n = rows.owners, rows.starts[:-1], rows.lengths
    hidden = np.zeros(len(owners), bool)
    if last:
        hidden[rows.starts[1:] - 1] = True
    else:
        many = np.clip(np.round((1 - fold_in) * n), 1, n - 1)
        shuffled = np.lexsort((np.random.default_rng(seed).random(len(owners)), owners))
        hidden[shuffled] = np.arange(len(owners)) - starts[owners] < many[owners]
    padded = lambda part: part.padded(x.shape[1], x.ndim == 3)
    return Folded(padded(rows.kept(~hidden)), padded(rows.kept(hidden)))


@lasting
def _measured(recommend: Callable, size: int) -> Callable:
    """`(state, order, folded) -> [B, 3 + 20]`: nDCG, both recalls, and the first 20 items (-1: no item)."""
    from unsupjax.methods.parts.bags import dense

    def measured(state, order, folded):
        told, hidden = (dense(x, size) > 0 for x in folded)
        scores = jnp.where(told, -jnp.inf, recommend(state, folded.told))
        # Of equal scores `top_k` takes the first: in a random order that is a random one.
        best, at = jax.lax.top_k(scores[:, order], min(DEEP, size))
        hits = jnp.take_along_axis(hidden[:, order], at, axis=1).astype(jnp.float32)
        n = hidden.sum(axis=1)
        gains = 1 / jnp.log2(jnp.arange(2.0, 2 + DEEP))
        ideal = jnp.cumsum(gains)[jnp.clip(n, 1, DEEP) - 1]
        ndcg = hits @ gains[: hits.shape[1]] / ideal
        recalls = [hits[:, :k].sum(axis=1) / jnp.clip(n, 1, k) for k in CUTS]
        items = jnp.where(jnp.isfinite(best), order[at], -1)[:, : CUTS[0]]
        return jnp.column_stack([ndcg, *recalls, items.astype(jnp.float32)])

    return measured


def _summary(found: np.ndarray, taken: np.ndarray, hidden: np.ndarray) -> dict[str, float]:
    values = found[:, :3].mean(axis=0, dtype=np.float64)
    first = found[:, 3:].astype(int).ravel()
    first = first[first >= 0]
    wanted = taken[unpadded(hidden).items].mean()
    return {
        f"ndcg_{DEEP}": float(values[0]),
        **{f"recall_{k}": float(v) for k, v in zip(CUTS, values[1:], strict=True)},
        f"coverage_{CUTS[0]}": len(np.unique(first)) / len(taken),
        f"popularity_bias_{CUTS[0]}": float(taken[first].mean() / max(wanted, 1e-12)),
    }


def _counts(x: Any, size: int) -> np.ndarray:
    """How many rows have each item, `[V]`."""
    return sum(np.bincount(unpadded(part).items, minlength=size) for part in chunks(x))


def _ease(x: Any, size: int, regularization: float) -> jax.Array:
    """The weights of EASE, of sparse products."""
    from scipy import sparse

    from unsupjax.methods.ease import weights

    gram = np.zeros((size, size), np.float32)
    for part in chunks(x):
        rows: Rows = unpadded(part)
        counts = np.ones(len(rows.items), np.float32) if rows.counts is None else rows.counts
        matrix = sparse.csr_matrix((counts.astype(np.float32), rows.items, rows.starts), (len(rows), size))
        gram += (matrix.T @ matrix).toarray()
    return jax.jit(weights)(gram, regularization)


def _linear(state: jax.Array, x: jax.Array) -> jax.Array:
    from unsupjax.methods.parts.bags import dense

    return dense(x, len(state)) @ state


def _popular(state: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.broadcast_to(state[None], (len(x), len(state)))
