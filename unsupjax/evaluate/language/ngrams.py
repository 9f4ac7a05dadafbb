"""Models of text that count."""

import numpy as np

from unsupjax.data.tokenizers import PAD

_DISCOUNT = 0.75
_NONE = -1  # the number of an n-gram that was never seen


def kneser_ney(train: np.ndarray, rows: np.ndarray, orders: tuple[int, ...], size: int) -> list[float]:
    r"""Cross-entropy of rows of tokens under interpolated Kneser-Ney models of another stream, summed, in nats.

    :math:`p_n(w | h) = \frac{\max(c(hw) - d, 0) + d N_{1+}(h \cdot) p_{n-1}(w | h')}{c(h)}` with d = .75; all orders
    but the highest count after how many different tokens an n-gram was seen, and the lowest is mixed with the uniform
    distribution. As for a network, the first token of a row is given, and contexts are those of the row.

    Args:
        train: tokens `[T]`.
        rows: held-out tokens `[N, L]`, whose padding is left out.
        orders: n of each model.
        size: of the vocabulary.

    Source: Chen and Goodman, "An empirical study of smoothing techniques for language modeling", 1999.
    """
    levels = _levels(train, max(orders) + 1, size)
    real = rows[:, 1:] != PAD
    losses = []
    for order in orders:
        p = np.full(rows.shape, 1.0 / size)
        ids = np.zeros(
            rows.shape, np.int64
        )  # of the (n - 1)-gram that ends at each token; there is one 0-gram
        for n in range(1, order + 1):
            count = levels[n].count if n == order else levels[n].preceded
            context = np.concatenate([np.full((len(rows), 1), _NONE if n > 1 else 0), ids[:, :-1]], axis=1)
            p, ids = levels[n].mixed(context, rows, p, count)
        losses.append(float(-np.log(p[:, 1:][real]).sum()))
    return losses


class _Level:
    """The n-grams of a text, numbered in the order of (number of the n - 1 tokens before, last token)."""

    def __init__(self, context: np.ndarray, token: np.ndarray, size: int):
        """Of the positions of a text: the number of what stands before each, and the token."""
        self._size = size
        self._keys, self.first, self.ids, self.count = np.unique(
            context * size + token, return_index=True, return_inverse=True, return_counts=True
        )
        self._heads = self._keys // size
        self.preceded = np.zeros(len(self._keys), np.int64)  # set by the next level

    def mixed(self, context: np.ndarray, token: np.ndarray, lower: np.ndarray, count: np.ndarray) -> tuple:
        """The probabilities of tokens after contexts, and the numbers of both together; `lower` is that of n - 1."""
        kept = np.maximum(count - _DISCOUNT, 0)
        total, left = (np.bincount(self._heads, weights=w) for w in (count, count - kept))
        wanted = context * self._size + token
        at = np.searchsorted(self._keys, wanted).clip(max=len(self._keys) - 1)
        found = (context >= 0) & (self._keys[at] == wanted)
        head = context.clip(0, len(total) - 1)
        seen = (context >= 0) & (context < len(total)) & (total[head] > 0)
        mixed = (np.where(found, kept[at], 0) + left[head] * lower) / np.where(seen, total[head], 1)
        return np.where(seen, mixed, lower), np.where(found, at, _NONE)


def _levels(train: np.ndarray, most: int, size: int) -> list[_Level]:
    """Levels 1 to `most`; the 0th is none."""
    token = train.astype(np.int64)
    levels, context, start = [None], np.zeros(len(token), np.int64), 0
    for n in range(1, most + 1):
        level = _Level(context, token[start:], size)
        if n > 1:  # of each different n-gram the (n - 1)-gram at its end
            tails = levels[-1].ids[level.first + 1]
            levels[-1].preceded = np.bincount(tails, minlength=len(levels[-1].count))
        levels.append(level)
        context, start = level.ids[:-1], start + 1
    return levels
