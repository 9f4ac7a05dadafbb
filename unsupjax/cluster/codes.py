"""Tables of codes: how well they are used, and making them unique."""

from typing import Any

import numpy as np

from unsupjax.errors import UserError


def report(codes: np.ndarray, k: int) -> dict[str, Any]:
    r"""How well codes are used.

    Args:
        codes: integers in [0, K), `[N, L]`.
        k: K, codes at each level.

    Returns:
        utilisation: the fraction of the K codes that any row has, float64 `[L]`.
        perplexity: :math:`\exp(-\sum_k p_k \log p_k)` with p the fractions of rows, `[L]`; K where all are equal.
        collision_rate: the fraction of rows that share their complete code with another row.
        distinct: how many complete codes there are.

    Raises:
        UserError: codes are no integers `[N, L]` in [0, K).
    """
    codes = _table(codes)
    if codes.min() < 0 or codes.max() >= k:
        raise UserError(f"codes lie in [{codes.min()}, {codes.max()}] and not in [0, {k})")
    p = np.stack([np.bincount(level, minlength=k) for level in codes.T]) / len(codes)
    entropy = -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=1)
    _, counts = np.unique(codes, axis=0, return_counts=True)
    return {
        "utilisation": (p > 0).mean(axis=1),
        "perplexity": np.exp(entropy),
        "collision_rate": float(counts[counts > 1].sum() / len(codes)),
        "distinct": len(counts),
    }


def unique_codes(codes: np.ndarray) -> np.ndarray:
    """Codes with one more level, which numbers the rows of equal codes 0, 1, 2, ... in their order, as TIGER does.

    Args:
        codes: integers `[N, L]`.

    Returns:
        int32 `[N, L + 1]`, no row twice. The last level can exceed K.

    Raises:
        UserError: codes are no integers `[N, L]`.
    """
    codes = _table(codes)
    _, group, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    number = np.empty(len(codes), np.int32)
    number[order] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.concatenate([codes, number[:, None]], axis=1).astype(np.int32)


def _table(codes: np.ndarray) -> np.ndarray:
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.size == 0 or codes.dtype.kind not in "iu":
        raise UserError(f"codes must be integers [N, L] and are {codes.dtype} of shape {codes.shape}")
    return codes
