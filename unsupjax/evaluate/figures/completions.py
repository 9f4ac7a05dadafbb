"""Pictures of which a part was hidden."""

from pathlib import Path

import jax
import numpy as np

from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.fidelity.completion import filling
from unsupjax.evaluate.figures import style
from unsupjax.evaluate.figures.pictures import displayed, framed, mosaic
from unsupjax.evaluate.subject import Subject, random_subset

HIDDEN = 0.5  # the grey of what is hidden


def completions(subject: Subject, path: str | Path, *, n: int = 10) -> None:
    """Draw test pictures with a part hidden, with that part predicted, and as they are, in three rows.

    A method that is told something of what is hidden (`told` of its `fill`) has a fourth row of that: nothing but what
    the prediction adds to it was learnt. What was visible is shown as it is. Of two channels their mean is shown, of
    more than three the first three.

    Args:
        subject: what is shown.
        path: the PNG to write.
        n: number of pictures, drawn at random.

    Raises:
        UserError: the method predicts nothing that is hidden; the inputs are no pictures `[N, H, W, C]`.
    """
    fill = require.function(subject.method, "fill", "completions")
    if subject.x_test.ndim != 4:
        shape = subject.x_test.shape[1:]
        raise UserError(f"the figure 'completions' draws pictures (H, W, C), and one input is {shape}")
    index = random_subset(subject.key, len(subject.x_test), n)
    x = subject.x_test[index]
    filled = jax.jit(filling(fill))(subject.state, subject.key, (index.astype(np.int32), x))
    true = displayed(x, x)
    shown = {"visible": np.where(filled.hidden, HIDDEN, true)}
    if filled.told is not None:
        told = displayed(np.asarray(filled.told), x)
        shown["visible and told"] = np.where(filled.hidden, told, true)
    shown |= {"predicted": displayed(np.asarray(filled.x), x), "original": true}
    rows = np.stack(list(shown.values()))
    title = f"{np.mean(filled.hidden):.0%} of each picture hidden, and predicted from the rest"
    style.save(framed(mosaic(_colours(rows)), *rows.shape[:2], title, tuple(shown)), path)


def _colours(images: np.ndarray) -> np.ndarray:
    """Images `[..., C]` with one channel or three."""
    channels = images.shape[-1]
    return images.mean(-1, keepdims=True) if channels == 2 else images[..., : 3 if channels > 3 else channels]
