"""VUS against its definition in loops, NAB's score worked by hand, thresholds against known distributions."""

import numpy as np
import pytest

from unsupjax.errors import UserError
from unsupjax.series.fold import Fold, smoothed
from unsupjax.series.intervals import runs
from unsupjax.series.nab import adapted, nab_score, records
from unsupjax.series.period import period
from unsupjax.series.steps import day
from unsupjax.series.thresholds import Alarm, alarms, tail_quantile, threshold
from unsupjax.series.vus import volumes


def range_areas(scores, labels, width, thresholds):
    """One width, step by step and threshold by threshold, as the paper and its `opt` code define it."""
    n = len(labels)
    soft = labels.astype(float)
    spans = runs(labels)
    for first, last in spans:
        for d in range(1, width // 2 + 1):
            for t in (first - d, last + d):
                if 0 <= t < n:
                    soft[t] += np.sqrt(1 - d / width)
    soft = np.minimum(soft, 1)
    near = np.zeros(n, bool)
    for first, last in spans:
        near[max(first - width // 2, 0) : last + width // 2 + 1] = True
    joined = [list(spans[0])]
    for first, last in spans[1:]:
        if joined[-1][1] + width // 2 >= first - width // 2:
            joined[-1][1] = last
        else:
            joined.append([first, last])
    ranges = [(max(a - width // 2, 0), b + width // 2) for a, b in joined]
    curve, before, pr, roc = [], (0.0, 0.0), 0.0, 0.0
    ranked = sorted(scores, reverse=True)
    for i in np.linspace(0, n - 1, thresholds).astype(int):
        chosen = scores >= ranked[i]
        tp = sum(soft[t] for t in range(n) if chosen[t])
        weights = sum(1.0 if labels[t] else soft[t] * chosen[t] for t in range(n))
        p = (labels.sum() + weights) / 2
        met = np.mean([chosen[a : b + 1].any() for a, b in ranges])
        curve.append((min(tp / p, 1) * met, (chosen.sum() - tp) / (n - p), tp / chosen.sum()))
    for tpr, fpr, precision in [*curve, (1.0, 1.0, None)]:
        roc += (fpr - before[1]) * (tpr + before[0]) / 2
        pr += 0 if precision is None else (tpr - before[0]) * precision
        before = (tpr, fpr)
    return pr, roc


@pytest.mark.parametrize("spans", [[(20, 26), (40, 41)], [(0, 3), (5, 9), (56, 59)], [(10, 40)]])
def test_volumes_are_those_of_the_definition(spans):
    rng = np.random.default_rng(len(spans))
    labels = np.zeros(60, bool)
    for a, b in spans:
        labels[a : b + 1] = True
    scores = np.round(rng.normal(size=60) + labels, 1)  # with ties
    expected = np.mean([range_areas(scores, labels, w, 25) for w in range(9)], axis=0)
    found = volumes(scores, labels, 8, thresholds=25)
    np.testing.assert_allclose((found.pr, found.roc), expected, rtol=1e-12)


def test_volumes_have_their_limits():
    labels = np.zeros(200, bool)
    labels[90:110] = True
    assert volumes(labels.astype(float), labels, 0).roc == pytest.approx(1)
    late = np.roll(labels, 5).astype(float)
    assert volumes(late, labels, 0).pr < volumes(late, labels, 40).pr < 1  # tolerance at the edges
    for scores, flags in ((np.r_[np.nan, np.zeros(199)], labels), (np.zeros(200), labels & False)):
        with pytest.raises(UserError, match="VUS"):
            volumes(scores, flags, 3)


def sigma(y):
    return 2 / (1 + np.exp(5 * y)) - 1


def test_nab_by_hand():
    """Probation is 15 of 100 steps; an interval of 10; one detection in it, one false one, one far behind."""
    labels = np.zeros(100, bool)
    labels[40:50] = True
    scores = np.zeros(100)
    scores[3] = 9  # in probation: it counts for nothing
    scores[43], scores[52] = 3, 2
    gain = sigma(-(49 - 43 + 1) / 10) / sigma(-1) + 1
    assert nab_score([scores], [labels]) == pytest.approx(100 * gain / 2)
    scores[52] = 4  # must be accepted with the detection
    both = gain + 0.11 * sigma((52 - 49) / 9)
    assert nab_score([scores], [labels]) == pytest.approx(100 * both / 2)
    scores[20] = 5  # before any interval: the whole cost
    assert nab_score([scores], [labels]) == pytest.approx(100 * (both - 0.11) / 2)
    assert nab_score([scores, np.zeros(100)], [labels, labels]) == pytest.approx(100 * (both - 0.11) / 4)
    assert nab_score([labels.astype(float)], [labels]) == pytest.approx(100)
    assert nab_score([-labels.astype(float)], [labels]) == 0
    with pytest.raises(UserError, match="NAB: no anomalous interval"):
        nab_score([scores], [np.arange(100) < 3])


def test_records_raise_an_alarm_once():
    x = np.random.default_rng(0).random(40)
    for width in (1, 2, 5):
        new = np.array([x[t] == x[max(t - width + 1, 0) : t + 1].max() for t in range(40)])
        np.testing.assert_array_equal(records(x, width), np.where(new, x, x.min()))


def test_scores_adapt_to_those_before():
    x = np.random.default_rng(0).normal(5, 2, 50)
    for t in (10, 30, 49):
        for span in (20, 100):
            before = x[max(t - span, 0) : t]
            assert adapted(x, 10, span)[t] == pytest.approx((x[t] - before.mean()) / before.std())
    assert (adapted(x, 10)[:10] == 0).all() and np.isfinite(adapted(np.ones(50), 10)).all()


def test_tails_are_those_of_known_distributions():
    """Of samples that lie on the quantiles of an exponential, a uniform and a Pareto distribution."""
    u = (np.arange(10_000) + 0.5) / 10_000
    assert tail_quantile(-2 * np.log(1 - u), 1e-5) == pytest.approx(2 * np.log(1e5), rel=0.05)
    assert tail_quantile(u, 1e-5) == pytest.approx(1, abs=2e-3)
    assert tail_quantile((1 - u) ** -0.25, 1e-5) == pytest.approx(1e5**0.25, rel=0.1)
    few = np.random.default_rng(0).random(100)
    assert tail_quantile(few, 0.1) == np.quantile(few, 0.9)


def test_rules_of_thresholds():
    scores = np.r_[np.arange(1000.0), np.nan]
    assert threshold("7.5", scores) == 7.5
    for rule in ("quantile:0.99", "contamination:0.01", "per_thousand:10"):
        assert threshold(rule, scores) == pytest.approx(np.quantile(np.arange(1000.0), 0.99))
    bumps = np.zeros(1000)
    bumps[[100, 101, 300, 500, 700]] = [5, 4, 3, 2, 1]
    level = threshold("per_day:2", bumps, per_day=1000)
    assert len(runs(bumps >= level)) == 2
    for rule, said in (("quantil:0.9", "quantile"), ("tail", "NAME:VALUE"), ("quantile:1.5", r"in \(0, 1\)")):
        with pytest.raises(UserError, match=said):
            threshold(rule, scores)
    with pytest.raises(UserError, match="needs times"):
        threshold("per_day:1", scores)


def test_alarms_are_intervals():
    scores = np.array([0, 3, 0, 4, np.nan, 0, 0, 5, 0])
    parts = np.stack([scores, 2 * scores * (np.arange(9) > 5)], axis=1)
    assert alarms(scores, 3, parts) == [Alarm(1, 3, 3, 4.0, 0), Alarm(7, 7, 7, 5.0, 1)]
    assert alarms(scores, 9, parts) == []


@pytest.mark.parametrize("span", [1, 3])
def test_windows_fold_back_to_steps(span):
    """In two batches, one that says the same of all its steps."""
    rng = np.random.default_rng(0)
    ends, errors = np.array([4, 5, 8, 9]), rng.random((4, span, 2))
    fold = Fold(12, 2)
    fold.add(errors[:2], ends[:2], span)
    fold.add(errors[2:, :1], ends[2:], span)
    for t in range(12):
        there = [
            errors[i, (t - e + span - 1) if i < 2 else 0] for i, e in enumerate(ends) if 0 <= e - t < span
        ]
        expected = np.mean(there, axis=0) if there else [np.nan] * 2
        np.testing.assert_allclose(fold.means()[t], expected)


def test_smoothing_leaves_out_what_is_missing():
    x = np.r_[np.nan, np.arange(6.0), np.nan, 3.0]
    for causal in (True, False):
        found = smoothed(x, 3, causal=causal)
        for t in range(9):
            near = x[max(t - 2, 0) : t + 1] if causal else x[max(t - 1, 0) : t + 2]
            assert np.isnan(found[t]) if np.isnan(x[t]) else found[t] == pytest.approx(np.nanmean(near))


def test_periods_and_days():
    t = np.arange(2000)
    assert period(np.sin(2 * np.pi * t / 37)) == 37 and period(np.zeros(4000)) == 125
    assert period(t * 1.0, usual=0) == 1 and period(np.sin(2 * np.pi * t[:400] / 37)) == 20
    time = np.datetime64("2024-01-01") + np.r_[t, t] * np.timedelta64(5, "m")
    assert day(time, np.array([2000, 4000])) == 288 and day(None, np.array([4])) == 0
