"""Metrics over the course of training."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from unsupjax.errors import UserError
from unsupjax.evaluate.figures import style


def learning_curves(metrics_path: str | Path, path: str | Path) -> None:
    """Draw every metric of a `metrics.jsonl` over steps, one panel each, the loss first.

    A panel has a log scale where its values are positive and span more than 1.5 decades, but for learning rates.
    Metrics of few steps (evaluations) are marked point by point.

    Args:
        metrics_path: a file of one JSON object a line, with `"step"` (an integer) and metrics (numbers).
        path: the PNG to write.

    Raises:
        UserError: the file holds no metrics.
    """
    curves = read_curves(metrics_path)
    if not curves:
        raise UserError(f"{metrics_path} holds no metrics to draw; train for a step first")
    figure, axes = style.panels(len(curves), 3, 4.2, 3.0)
    for ax, (name, (steps, values)) in zip(axes, curves.items(), strict=True):
        marker = "o" if len(steps) < 30 else ""
        ax.plot(steps, values, color=style.PALETTE[0], linewidth=1.4, marker=marker, markersize=4)
        # A schedule's last value is next to 0: a log scale would show little else.
        if style.spans_decades(values) and not name.endswith("learning_rate"):
            ax.set_yscale("log")
        style.polish(ax, name, "step")
    style.save(figure, path)


def read_curves(metrics_path: str | Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps and float64 values of each metric, `"loss"` first and the others in order of appearance.

    Where a step stands twice (a run that was resumed from a checkpoint), the later line counts.
    """
    curves = defaultdict(dict)
    for line in Path(metrics_path).read_text().splitlines():
        record = json.loads(line)
        for name, value in record.items():
            if name != "step" and isinstance(value, int | float):
                curves[name][record["step"]] = value
    names = sorted(curves, key=lambda name: name != "loss")
    points = {name: sorted(curves[name].items()) for name in names}
    return {name: tuple(np.array(column) for column in zip(*points[name], strict=True)) for name in names}
