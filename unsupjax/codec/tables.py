"""Distributions of whole numbers as integer tables, the same on every machine.

Exponentials come from `decimal`, whose `exp` and `ln` are correctly rounded: no table depends on a machine's own.
"""

import decimal
import functools
import itertools
from decimal import Decimal

import numpy as np

LEVELS = 52  # of scales: 2^((level - 16) / 4)
FRACTIONS = 8  # of a step, to which locations are known
FIRST = 16  # the level of scale 1
WIDEST = 20  # the last level whose numbers are coded whole; beyond, their lowest bits are written as they are
MOST = 15  # the greatest magnitude in a table; what is beyond is an escape
SYMBOLS = 2 * MOST + 2
TOTAL = 2**20
_CONTEXT = decimal.Context(prec=30, rounding=decimal.ROUND_HALF_EVEN)
_LN2 = _CONTEXT.ln(Decimal(2))


def exp2(x: float) -> Decimal:
    """2^x of a float, to 30 digits."""
    return _CONTEXT.exp(_CONTEXT.multiply(Decimal(float(x)), _LN2))


def exp(x: float) -> Decimal:
    """e^x of a float, to 30 digits."""
    return _CONTEXT.exp(Decimal(float(x)))


def shift_of(level: np.ndarray) -> np.ndarray:
    """How many of the lowest bits are written as they are, where the scale is of that level."""
    return np.maximum(-((WIDEST - level) // 4), 0)


def row_of(level: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """The row of `tables`; `fraction` in -4..3 eighths."""
    whole = level <= WIDEST
    return np.where(
        whole, level * FRACTIONS + fraction + FRACTIONS // 2, WIDEST * (FRACTIONS - 1) + FRACTIONS - 1 + level
    )


@functools.lru_cache(maxsize=8)
def tables(logit: float, stretch: float) -> np.ndarray:
    r"""Probabilities of the symbols in units of 1 / `TOTAL`, int64 `[rows, SYMBOLS]`; every one is at least 1.

    A row is of a level (a scale b) and a location f: the symbol s stands for the number :math:`a = s - 15`, or, the
    last one, for all others, under :math:`w L(f, b) + (1 - w) L(f, 2^r b)`, two Laplace distributions, with
    :math:`w = 1 / (1 + e^{-logit})` and r `stretch`.
    """
    with decimal.localcontext(_CONTEXT):
        share = 1 / (1 + exp(-logit))
        rows = []
        for level in range(LEVELS):
            b = exp2((level - FIRST) / 4)
            scales = ((share, b), (1 - share, b * exp2(stretch)))
            shift = int(shift_of(np.array(level)))
            for fraction in range(-FRACTIONS // 2, FRACTIONS // 2) if level <= WIDEST else (0,):
                edges = [
                    Decimal(a * 2**shift) - Decimal(2**shift) / 2 - (Decimal("0.5") if shift else 0)
                    for a in range(-MOST, MOST + 2)
                ]
                cdf = [_cdf(e - Decimal(fraction) / FRACTIONS, scales) for e in edges]
                rows.append(_counts([b - a for a, b in itertools.pairwise(cdf)]))
    return np.array(rows, np.int64)


def softmax(logits: np.ndarray) -> list[int]:
    """Of logits `[n]`, in units of 1 / `TOTAL`; every one is at least 1."""
    with decimal.localcontext(_CONTEXT):
        powers = [exp(x) for x in logits]
        total = sum(powers)
        return _counts([p / total for p in powers[:-1]])


def _cdf(x: Decimal, scales) -> Decimal:
    tail = sum(share * (-abs(x) / b).exp() / 2 for share, b in scales)
    return 1 - tail if x > 0 else tail


def _counts(probabilities: list[Decimal]) -> list[int]:
    counts = [max(1, int(p * TOTAL)) for p in probabilities]
    counts.append(max(1, TOTAL - sum(counts)))
    counts[int(np.argmax(counts))] += TOTAL - sum(counts)
    return counts


def logarithms(most: int) -> np.ndarray:
    """`round(16 log2(1 + n))` for n = 0 .. most, in whole numbers throughout."""
    return np.array([((1 + n) ** 32).bit_length() // 2 for n in range(most + 1)], np.float64)
