"""What a representation saves in labels."""

import re
from pathlib import Path

from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.figures import style
from unsupjax.evaluate.subject import Subject

LINES = {"fine_tune": "fine-tuned", "from_scratch": "from scratch"}


def label_efficiency(subject: Subject, path: str | Path) -> None:
    """Draw the test accuracies that `fine_tune` found, over the number of labels it was given; nothing is trained anew.

    Two lines where that had `from_scratch=True`: of the trained encoder, and of one that starts at random.

    Args:
        subject: what is shown, with `results`.
        path: the PNG to write.

    Raises:
        UserError: there are no labels; `fine_tune` has not run.
    """
    total = len(require.labels(subject.y_train, "label_efficiency"))
    lines = {start: points(subject.results or {}, start, total) for start in LINES}
    if not lines["fine_tune"]:
        raise UserError(
            "config.evaluate.figures: 'label_efficiency' shows what 'fine_tune' found: add that to "
            "config.evaluate.run, with several config.evaluate.fine_tune.fractions"
        )
    figure = style.new_figure(5.4, 3.8)
    ax = figure.subplots()
    for (start, name), colour, marker in zip(LINES.items(), style.PALETTE[::2], "os", strict=False):
        if lines[start]:
            ax.plot(*zip(*lines[start], strict=True), color=colour, marker=marker, markersize=5, label=name)
    ticks = [labels for labels, _ in lines["fine_tune"]]
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{labels:,}" for labels in ticks])
    ax.minorticks_off()
    style.polish(ax, "Label efficiency", "labelled examples (log)", "test accuracy")
    ax.legend(frameon=False, fontsize=9)
    style.save(figure, path)


def points(results: dict[str, float], start: str, total: int) -> list[tuple[int, float]]:
    """Numbers of labels and accuracies of the entries `{start}_accuracy_{f}`, by the number; of `total` without f."""
    found = {}
    for name, accuracy in results.items():
        if match := re.fullmatch(f"{start}_accuracy(?:_(.+))?", name):
            part = float(match[1] or total)
            found[round(part if part >= 1 else part * total)] = accuracy
    return sorted(found.items())
