"""The codes in two dimensions."""

from pathlib import Path

import numpy as np

from unsupjax.evaluate.figures import style
from unsupjax.evaluate.subject import Subject, host_seed, random_subset

_FFT_FROM = 8_000  # points; below it Barnes-Hut is the faster one
_NAMED = 20  # classes in a legend that can still be read


def tsne(subject: Subject, path: str | Path, *, examples: int = 2000, perplexity: float = 30.0) -> None:
    """Draw a t-SNE map of the codes, coloured by label (van der Maaten and Hinton, JMLR 2008; openTSNE).

    The codes are those of test examples, and of training examples as well where there are fewer than
    `examples` of them, drawn at random. Distances between far clusters mean little in such a map.

    Args:
        subject: what is shown.
        path: the PNG to write.
        examples: number of points.
        perplexity: effective number of neighbours; lowered to a third of the points where they are few.
    """
    z, y = _chosen(subject, examples)
    perplexity = min(perplexity, (len(z) - 1) / 3)
    points = embed(z, perplexity, host_seed(subject.key))
    figure = style.new_figure(5.8 if y is None else 7.0, 5.4)
    ax = figure.subplots()
    _scatter(ax, points, y, subject.label_names)
    title = f"t-SNE of {len(z):,} codes (perplexity {perplexity:.3g})"
    style.polish(ax, title, "t-SNE 1", "t-SNE 2")
    ax.set(xticks=[], yticks=[])
    ax.set_aspect("equal", adjustable="datalim")
    style.save(figure, path)


def embed(z: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """The t-SNE map `[N, 2]` of codes `[N, D]`: Barnes-Hut below 8,000 points, FFT-accelerated above."""
    from openTSNE import TSNE

    small = len(z) < _FFT_FROM
    return np.asarray(
        TSNE(
            perplexity=perplexity,
            neighbors="exact" if small else "auto",
            negative_gradient_method="bh" if small else "fft",
            n_jobs=1,  # the same sums in the same order; on a busy machine its threads are also far slower
            random_state=seed,
        ).fit(z)
    )


def _chosen(subject: Subject, examples: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Codes and labels of test examples, topped up with training examples."""
    test = random_subset(subject.key, len(subject.z_test), examples)
    train = random_subset(subject.key, len(subject.z_train), examples - len(test))
    z = np.concatenate([subject.z_test[test], subject.z_train[train]])
    if subject.y_test is None or subject.y_train is None:
        return z, None
    return z, np.concatenate([subject.y_test[test], subject.y_train[train]])


def _scatter(ax, points: np.ndarray, y: np.ndarray | None, label_names: tuple[str, ...] | None) -> None:
    """The points by class: ten colours, then the same with the next marker."""
    dots = {"s": 40_000 / (len(points) + 4_000), "linewidths": 0}
    if y is None:
        ax.scatter(*points.T, color=style.PALETTE[0], alpha=0.7, **dots)
        return
    classes = np.unique(y)
    for i, label in enumerate(classes):
        marker, colour = style.MARKERS[i // 10 % 10], style.PALETTE[i % 10]
        name = style.class_name(label, label_names)
        ax.scatter(*points[y == label].T, color=colour, marker=marker, alpha=0.8, label=name, **dots)
    if len(classes) <= _NAMED:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9, markerscale=2)
