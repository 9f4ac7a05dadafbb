import os
import signal

import numpy as np
import pytest

from unsupjax.data.feeds import Feed
from unsupjax.run.loop import Asked, Diverged, Meter, Progress, Report, interruptible, train

GO_ON = Asked(stop=False, rested=True)


def counting(block):
    """A feed whose blocks are the numbers of their steps."""
    return Feed(lambda a, b, t: (np.arange(i, min(i + t, b)) for i in range(a, b, t)), None, (), block)


def run_fake(stop, ask=lambda: GO_ON, save_every=4, evaluate_every=0, block=3, every=2, losses=None):
    """Steps that count; their losses are their numbers."""
    losses = np.arange(1.0, 100.0) if losses is None else losses
    feed = counting(block)
    reports, pauses = [], []
    step, state = train(
        lambda state, steps: (state + len(steps), {"loss": losses[steps]}),
        0,
        feed,
        lambda block: block,
        start=0,
        stop=stop,
        meter=Meter(batch_size=10, every=every),
        on_report=reports.append,
        save_every=save_every,
        evaluate_every=evaluate_every,
        on_pause=lambda step, state: pauses.append((step, state)),
        ask=ask,
    )
    return step, state, reports, pauses


def test_pauses_at_the_first_block_after_each_multiple_and_at_the_end():
    step, state, _, pauses = run_fake(10)
    assert (step, state) == (10, 10)
    assert pauses == [(6, 6), (9, 9), (10, 10)]


def test_a_checkpoint_that_is_due_waits_until_the_run_is_rested():
    rested = iter([False, True, False, False, True])
    _, _, _, pauses = run_fake(20, lambda: Asked(False, next(rested, False)), save_every=1)
    assert [step for step, _ in pauses] == [6, 15, 20]
    rested = iter([True, False, True])  # after steps 3, 6, where one is due, and 9
    assert [step for step, _ in run_fake(10, lambda: Asked(False, next(rested, False)), save_every=6)[3]] == [
        9,
        10,
    ]


def test_evaluation_does_not_wait():
    _, _, _, pauses = run_fake(20, lambda: Asked(False, False), save_every=1, evaluate_every=8)
    assert [step for step, _ in pauses] == [9, 18, 20]


def test_reports_hold_each_step_once():
    _, _, reports, _ = run_fake(10)
    assert [r.step for r in reports] == [3, 6, 9, 10]
    np.testing.assert_allclose([r.metrics["loss"] for r in reports], [2, 5, 8, 10])
    assert all(r.examples_per_second > 0 for r in reports)


def test_an_interruption_ends_after_a_pause():
    asked = iter([GO_ON, Asked(True, False)])
    assert run_fake(10, lambda: next(asked))[0] == 6
    step, _, reports, pauses = run_fake(10, lambda: Asked(True, False))
    assert step == 3 and pauses == [(3, 3)] and reports[-1].step == 3


def test_a_run_that_has_converged_ends_a_block_later():
    pauses, meter = [], Meter(10, 100)
    step, _ = train(
        lambda state, steps: (state, {"loss": 1.0 + steps, "converged": (steps >= 4).astype(np.float32)}),
        0,
        counting(3),
        lambda block: block,
        start=0,
        stop=300,
        meter=meter,
        on_report=lambda report: None,
        save_every=1000,
        evaluate_every=0,
        on_pause=lambda step, state: pauses.append(step),
        ask=lambda: GO_ON,
    )
    assert meter.converged and step == 9 and pauses == [9]


def test_a_loss_that_is_not_finite_names_its_step_and_is_never_saved():
    losses = np.arange(1.0, 100.0)
    losses[4] = np.nan
    saved = []
    with pytest.raises(Diverged, match="nan at step 5"):
        train(
            lambda state, steps: (state, {"loss": losses[steps]}),
            0,
            counting(3),
            lambda block: block,
            start=0,
            stop=12,
            meter=Meter(10, 100),
            on_report=saved.append,
            save_every=1,
            evaluate_every=0,
            on_pause=lambda step, state: saved.append(step),
            ask=lambda: GO_ON,
        )
    assert saved == [3]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signals_ask_and_handlers_are_put_back(signum):
    before = signal.getsignal(signum)
    with interruptible() as interrupted:
        assert not interrupted()
        os.kill(os.getpid(), signum)
        assert interrupted()
    assert signal.getsignal(signum) is before


def test_progress_off_a_terminal_is_plain_lines(capsys):
    progress = Progress(0, 10, seconds=0.0)
    progress.show(Report(5, {"loss": 1.25}, 1000.0))
    progress.show(Report(10, {"loss": 1.0}, 2000.0))
    progress.close()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("step 5/10: loss 1.25, 1,000 examples/s, ")
    assert lines[1] == "step 10/10: loss 1, 2,000 examples/s, 0 s left"
