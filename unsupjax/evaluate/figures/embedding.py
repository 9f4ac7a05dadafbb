"""The codes in two dimensions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unsupjax.errors import UserError, choose
from unsupjax.evaluate import require
from unsupjax.evaluate.clustering.clusters import assigned
from unsupjax.evaluate.figures import style
from unsupjax.evaluate.figures.thumbnails import scatter_images
from unsupjax.evaluate.judge import Facts
from unsupjax.evaluate.subject import Subject, host_seed, random_subset

_FFT_FROM = 8_000  # points; below it Barnes-Hut is the faster one
_FEWEST = 5  # points of a t-SNE map
_MOST = 50_000  # points drawn


def tsne(
    subject: Subject,
    path: str | Path,
    *,
    examples: int = 2000,
    perplexity: float = 30.0,
    colour: str = "labels",
) -> None:
    """Draw a t-SNE map of the codes (van der Maaten and Hinton, JMLR 2008; openTSNE).

    The codes are those of test examples, and of training examples as well where there are fewer than
    `examples` of them, drawn at random. Distances between far clusters mean little in such a map.

    Args:
        subject: what is shown.
        path: the PNG to write.
        examples: number of points, at most 50,000.
        perplexity: effective number of neighbours; lowered to a third of the points where they are few.
        colour: "labels" (one colour where there are none), "clusters" that the method assigns, or "images": the
            inputs themselves, as many as fit without overlap.

    Raises:
        UserError: the colour is unknown, or the method or the data lacks what it shows.
    """
    _check(subject, colour, "tsne")
    chosen = _chosen(subject, examples, "tsne")
    z = _rows(subject.z_test, subject.z_train, chosen)
    perplexity = min(perplexity, (len(z) - 1) / 3)
    points = embed(z, perplexity, host_seed(subject.key))
    title = f"t-SNE of {len(z):,} codes (perplexity {perplexity:.3g})"
    _draw(subject, path, points, chosen, colour, title, ("t-SNE 1", "t-SNE 2"), "tsne")


def check_tsne(arguments: Mapping[str, Any], facts: Facts, user: str = "tsne") -> None:
    """Refuses, at the start of a run, a t-SNE where its package is missing, as it may be on aarch64."""
    require.package("openTSNE", user)


def pca(subject: Subject, path: str | Path, *, examples: int = 2000, colour: str = "labels") -> None:
    """Draw the codes in the plane of their two principal components, with the variance that each explains.

    Args:
        subject: what is shown.
        path: the PNG to write.
        examples: number of points, at most 50,000: test examples, and training examples where they are too few.
        colour: "labels" (one colour where there are none), "clusters" that the method assigns, or "images": the
            inputs themselves, as many as fit without overlap.

    Raises:
        UserError: the colour is unknown, or the method or the data lacks what it shows.
    """
    _check(subject, colour, "pca")
    chosen = _chosen(subject, examples, "pca")
    points, explained = principal_plane(_rows(subject.z_test, subject.z_train, chosen))
    names = tuple(f"component {i + 1} ({share:.1%} of the variance)" for i, share in enumerate(explained))
    _draw(subject, path, points, chosen, colour, f"PCA of {len(points):,} codes", names, "pca")


def embed(z: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """The t-SNE map `[N, 2]` of codes `[N, D]`: Barnes-Hut below 8,000 points, FFT-accelerated above.

    Raises:
        UserError: fewer than five points, or all are the same: they have no neighbours to keep.
    """
    from openTSNE import TSNE

    if len(z) < _FEWEST:
        raise UserError(f"{len(z)} points make no t-SNE map; take at least {_FEWEST}, or the figure 'pca'")
    if not np.ptp(z, axis=0).any():
        raise UserError(
            f"all {len(z)} codes are the same: the method has collapsed, and there is no map to draw"
        )
    z = z if z.shape[1] > 1 else np.pad(z, ((0, 0), (0, 1)))  # it begins in the plane of two components
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


def principal_plane(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal components `[N, 2]` of codes `[N, D]`, and the share of variance of each, `[2]`."""
    from sklearn.decomposition import PCA

    fitted = PCA(min(2, z.shape[1], len(z)), svd_solver="full").fit(z)
    missing = 2 - fitted.n_components_
    points = np.pad(fitted.transform(z), [(0, 0), (0, missing)])
    return points, np.pad(np.nan_to_num(fitted.explained_variance_ratio_), (0, missing))


def _check(subject: Subject, colour: str, user: str) -> None:
    """Refuses before the long computation what cannot be shown after it."""
    choose(f"config.evaluate.{user}.colour", colour, dict.fromkeys(("labels", "clusters", "images")))
    if colour == "clusters":
        require.function(subject.method, "assign", user)
    if colour == "images":
        require.images(subject.x_test, user)


def _chosen(subject: Subject, examples: int, user: str) -> tuple[np.ndarray, np.ndarray]:
    """Which test examples are drawn, and which training examples they are topped up with."""
    available = len(subject.z_test) + len(subject.z_train)
    if min(examples, available) > _MOST:
        print(f"{user}: {_MOST:,} of {available:,} codes are drawn, chosen at random")
    examples = min(examples, _MOST)
    test = random_subset(subject.key, len(subject.z_test), examples)
    return test, random_subset(subject.key, len(subject.z_train), examples - len(test))


def _rows(test: np.ndarray, train: np.ndarray, chosen: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return np.concatenate([test[chosen[0]], train[chosen[1]]])


def _draw(subject, path, points, chosen, colour, title, names, user) -> None:
    """The points in that colour, as one figure."""
    y, label_names = None, subject.label_names
    if colour != "clusters" and subject.y_test is not None and subject.y_train is not None:
        y = _rows(subject.y_test, subject.y_train, chosen)
    if colour != "labels":
        x = _rows(subject.x_test, subject.x_train, chosen)
    if colour == "clusters":
        y, label_names, title = assigned(subject, x, user), None, f"{title}, coloured by cluster"
    scale = 1.4 if colour == "images" else 1.0
    figure = style.new_figure(scale * (5.8 if y is None else 7.0), scale * 5.4)
    ax = figure.subplots()
    style.polish(ax, title, *names)
    if colour == "images":
        drawn = scatter_images(ax, points, x, y, label_names)
        ax.set_title(f"{title}, {drawn:,} of them as images", fontsize=11)
    else:
        scatter(ax, points, y, label_names)
        ax.set_aspect("equal", adjustable="datalim")
    ax.set(xticks=[], yticks=[])
    style.save(figure, path)


def scatter(ax, points: np.ndarray, y: np.ndarray | None, label_names: tuple[str, ...] | None) -> None:
    """Draws points `[N, 2]` by class, with a legend where the classes can be told apart."""
    dots = {"s": 40_000 / (len(points) + 4_000), "linewidths": 0}
    if y is None:
        ax.scatter(*points.T, color=style.PALETTE[0], alpha=0.7, **dots)
        return
    classes = np.unique(y)
    for i, label in enumerate(classes):
        colour, marker = style.class_look(i)
        name = style.class_name(label, label_names)
        ax.scatter(*points[y == label].T, color=colour, marker=marker, alpha=0.8, label=name, **dots)
    if len(classes) <= style.NAMED:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9, markerscale=2)
