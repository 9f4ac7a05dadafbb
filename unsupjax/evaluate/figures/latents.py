"""What lies between samples."""

from pathlib import Path

import jax
import numpy as np

from unsupjax.evaluate import require
from unsupjax.evaluate.figures import style
from unsupjax.evaluate.figures.pictures import displayed, framed, mosaic
from unsupjax.evaluate.subject import Subject, flat


def interpolations(subject: Subject, path: str | Path, *, n: int = 8, steps: int = 10) -> None:
    """Draw the way between n pairs of samples, in `steps` steps between their latent vectors, a row each.

    Vectors are drawn as paths over the first two features of the test data.

    Args:
        subject: what is shown.
        path: the PNG to write.
        n: number of pairs.
        steps: samples in a row, both ends counted.

    Raises:
        UserError: the method has no latent vectors to go between.
    """
    between = require.function(subject.method, "interpolate", "interpolations")
    rows = np.asarray(jax.jit(between, static_argnums=(2, 3))(subject.state, subject.key, n, steps))
    title = "Between pairs of samples"
    if require.is_image(rows[0]):
        figure = framed(mosaic(displayed(rows, subject.x_test)), n, steps, title)
    else:
        figure = style.new_figure(5.4, 4.6)
        ax = figure.subplots()
        ax.scatter(*flat(subject.x_test)[:, :2].T, s=6, color="0.75", linewidths=0)
        for row in rows.reshape(n, steps, -1):
            ax.plot(row[:, 0], row[:, 1], marker=".", linewidth=1)
        style.polish(ax, title, "feature 0", "feature 1")
    style.save(figure, path)
