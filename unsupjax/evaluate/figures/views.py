"""The random views that training compares."""

import math
from pathlib import Path

import jax
import numpy as np

from unsupjax.evaluate import require
from unsupjax.evaluate.figures import style
from unsupjax.evaluate.figures.pictures import displayed, framed, mosaic
from unsupjax.evaluate.subject import Subject, random_subset


def views(subject: Subject, path: str | Path, *, n: int = 8, draws: int = 8) -> None:
    """Draw test images, each followed by random views of it: what training takes for the same thing.

    Views come in the pairs that training compares, so that a method whose two views differ in kind shows both.

    Args:
        subject: what is shown.
        path: the PNG to write.
        n: number of images, drawn at random.
        draws: number of views of each.

    Raises:
        UserError: the method has no views; the inputs are no images.
    """
    draw = jax.jit(require.function(subject.method, "views", "views"))
    require.images(subject.x_test, "views")
    x = subject.x_test[random_subset(subject.key, len(subject.x_test), n)]
    pairs = [draw(key, x) for key in jax.random.split(subject.key, math.ceil(draws / 2))]
    drawn = np.stack([view for pair in pairs for view in pair][:draws], axis=1)
    originals, drawn = (mosaic(displayed(images, subject.x_test)) for images in (x[:, None], drawn))
    apart = np.ones((len(drawn), x.shape[2] // 4, x.shape[3]), np.float32)
    title = f"{len(x)} test images (left) and {draws} random views of each"
    style.save(framed(np.concatenate([originals, apart, drawn], axis=1), len(x), draws + 1, title), path)
