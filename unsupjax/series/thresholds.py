"""Thresholds of scores, from those of the training part, and the alarms that they raise."""

from typing import NamedTuple

import numpy as np

from unsupjax.errors import UserError, nearest
from unsupjax.series.intervals import runs

RULES = ("quantile", "tail", "per_day", "per_thousand", "contamination")
_INITIAL = 0.98  # the level beyond which scores are the tail
_FEWEST = 20  # scores in it


class Alarm(NamedTuple):
    """An interval of steps whose scores reach the threshold.

    Attributes:
        first, last: its steps.
        peak: the step of the greatest score, and
        score: that score.
        channel: the one that contributed most there.
    """

    first: int
    last: int
    peak: int
    score: float
    channel: int


def threshold(rule: str, scores: np.ndarray, per_day: float = 0.0) -> float:
    """The threshold that a rule makes of the scores of the training part.

    Args:
        rule: a number, as it is; or `NAME:VALUE`, `quantile:0.999` of the scores; `tail:0.0001`, the score that a step
            exceeds with this probability by the generalised Pareto distribution of the tail (`tail_quantile`);
            `per_day:1`, so many alarms a day; `per_thousand:5`, so many in 1,000 steps or rows; `contamination:0.01`,
            that part of them.
        scores: of the training part, `[T]`; NaN is left out.
        per_day: steps in a day; 0: not known.

    Raises:
        UserError: no such rule, a value out of its range, or no scores.
    """
    name, _, text = rule.rpartition(":")
    try:
        value = float(text)
    except ValueError:
        raise UserError(
            f"--threshold={rule!r} must be a number or NAME:VALUE; {nearest(name, RULES)}"
        ) from None
    if not np.isfinite(value):
        raise UserError(f"--threshold={rule!r} must be finite")
    if not name:
        return value
    scores = np.asarray(scores, np.float64)
    scores = scores[np.isfinite(scores)]
    if not len(scores):
        raise UserError("the training part has no scores to choose a threshold by; give a number")
    shares = {"quantile": 1 - value, "tail": value, "contamination": value, "per_thousand": value / 1000}
    if name == "per_day":
        if not per_day:
            raise UserError(
                f"--threshold={rule!r} needs times, and the series had none; take tail:PROBABILITY"
            )
        if value <= 0:
            raise UserError(f"--threshold={rule!r}: alarms a day must be above 0")
        return _of_alarms(scores, value / per_day)
    if name not in shares:
        raise UserError(f"--threshold={rule!r}: {nearest(name, RULES)}")
    if not 0 < shares[name] < 1:
        most = 1000 if name == "per_thousand" else 1
        raise UserError(f"--threshold={rule!r}: the number must be in (0, {most})")
    if name == "tail":
        return tail_quantile(scores, value)
    return float(np.quantile(scores, 1 - shares[name]))


def tail_quantile(scores: np.ndarray, probability: float, initial: float = _INITIAL) -> float:
    r"""The score that is exceeded with a probability, by peaks over a threshold.

    The scores beyond t, their quantile `initial`, follow a generalised Pareto distribution of shape :math:`\gamma` and
    scale :math:`\sigma` (maximum likelihood); with :math:`N_t` of N beyond,
    :math:`z_q = t + \frac{\sigma}{\gamma} \big((q N / N_t)^{-\gamma} - 1\big)`. Within the scores that there are, and
    with fewer than 20 beyond t, it is their quantile.

    Source: Siffer, Fouque, Termier and Largouet, "Anomaly detection in streams with extreme value theory", KDD 2017.
    """
    from scipy.stats import genpareto

    t = float(np.quantile(scores, initial))
    excess = scores[scores > t] - t
    if len(excess) < _FEWEST or probability * len(scores) >= len(excess) or np.ptp(excess) == 0:
        return float(np.quantile(scores, 1 - probability))
    shape, _, scale = genpareto.fit(excess / excess.mean(), floc=0)
    shape, scale = float(np.clip(shape, -1, 0.5)), scale * excess.mean()
    ratio = probability * len(scores) / len(excess)
    beyond = -np.log(ratio) if abs(shape) < 1e-6 else (ratio**-shape - 1) / shape
    return float(t + scale * beyond)


def _of_alarms(scores: np.ndarray, share: float) -> float:
    """The lowest threshold down to which the training part has at most `share` alarms a step; merged where they touch.

    Of less than one alarm in all of it, that of the tail.
    """
    allowed = share * len(scores)
    if allowed < 1:
        return tail_quantile(scores, share)
    best = float(np.nextafter(scores.max(), np.inf))
    for level in np.quantile(scores, 1 - np.geomspace(1 / len(scores), 0.5, 100)):
        if len(runs(scores >= level)) > allowed:
            break
        best = float(level)
    return best


def alarms(scores: np.ndarray, level: float, parts: np.ndarray, gap: int = 1) -> list[Alarm]:
    """The alarms of a series in order, joined where at most `gap` steps lie between two.

    Args:
        scores: `[T]`; NaN raises none.
        level: the threshold; a score that reaches it is one.
        parts: what each channel contributes, `[T, C]`.
        gap: see above.
    """
    above = np.isfinite(scores) & (np.nan_to_num(scores) >= level)
    joined: list[list[int]] = []
    for first, last in runs(above):
        if joined and first - joined[-1][1] - 1 <= gap:
            joined[-1][1] = last
        else:
            joined.append([first, last])
    made = []
    for first, last in joined:
        peak = first + int(np.nanargmax(scores[first : last + 1]))
        channel = int(np.nanargmax(np.nan_to_num(parts[peak])))
        made.append(Alarm(first, last, peak, float(scores[peak]), channel))
    return made
