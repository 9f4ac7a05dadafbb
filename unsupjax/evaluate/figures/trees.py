"""A hierarchical clustering as a tree."""

from pathlib import Path

import numpy as np

from unsupjax.cluster import hierarchical
from unsupjax.errors import UserError, choose
from unsupjax.evaluate.clustering.clusterings import LINKAGES
from unsupjax.evaluate.clustering.clusters import majority
from unsupjax.evaluate.figures import style
from unsupjax.evaluate.subject import Subject, points_of, random_subset


def dendrogram(
    subject: Subject,
    path: str | Path,
    *,
    space: str = "codes",
    linkage: str = "ward",
    examples: int = 500,
    leaves: int = 30,
) -> None:
    """Draw the last merges of a hierarchical clustering of test examples.

    The height of a merge is the distance at which it happens. A leaf is marked by its number of examples and,
    with labels, their majority label; a dashed line cuts the tree into as many clusters as there are classes.

    Args:
        subject: what is shown.
        path: the PNG to write.
        space: what is clustered, "codes" or "inputs" (flattened).
        linkage: "ward", "average", "complete" or "single".
        examples: at most so many test examples, drawn at random.
        leaves: the merges below the last `leaves - 1` are drawn as one leaf each.

    Raises:
        UserError: the space or the linkage is unknown; fewer than 2 examples or leaves.
    """
    from scipy.cluster import hierarchy

    choose("config.evaluate.dendrogram.linkage", linkage, dict.fromkeys(LINKAGES))
    rows = random_subset(subject.key, len(subject.x_test), examples)
    if min(len(rows), leaves) < 2:
        raise UserError(f"dendrogram: {len(rows)} examples in {leaves} leaves make no tree; take 2 or more")
    x = points_of(subject, space, "dendrogram")[rows]
    y = None if subject.y_test is None else subject.y_test[rows]
    _, merges = hierarchical.fit(x, 2, linkage=linkage)
    tree = hierarchy.dendrogram(merges, p=leaves, truncate_mode="lastp", no_plot=True)
    figure = style.new_figure(9.4, 4.4)
    ax = figure.subplots()
    _draw_branches(ax, tree["icoord"], tree["dcoord"])
    groups = leaf_of_each(merges, tree["leaves"])
    _draw_leaves(ax, groups, len(tree["leaves"]), y, subject.label_names)
    if y is not None and 1 < len(np.unique(y)) <= len(merges):
        _draw_cut(ax, merges, len(np.unique(y)))
    title = f"Hierarchical clustering ({linkage} linkage) of {len(x):,} test {space}"
    held = "number of examples" if y is None else "majority label and number of examples"
    style.polish(ax, title, f"{held} of each leaf", "distance of the merge")
    ax.grid(False, axis="x")
    style.save(figure, path)


def leaf_of_each(merges: np.ndarray, leaves: list[int]) -> np.ndarray:
    """Which leaf of a truncated tree each example lies in: its position in `leaves`, integers `[N]`.

    Args:
        merges: a linkage matrix `[N - 1, 4]` as SciPy has it; row i makes node N + i.
        leaves: nodes that together hold every example once.
    """
    n = len(merges) + 1
    groups = np.full(2 * n - 1, -1)
    groups[leaves] = np.arange(len(leaves))
    for i in range(n - 2, -1, -1):
        if groups[n + i] >= 0:
            groups[merges[i, :2].astype(int)] = groups[n + i]
    return groups[:n]


def _draw_branches(ax, xs: list, ys: list) -> None:
    """The merges, each three sides of a rectangle."""
    from matplotlib.collections import LineCollection

    lines = np.stack([xs, ys], axis=-1)
    ax.add_collection(LineCollection(lines, colors="0.35", linewidths=1.2))
    ax.set(xlim=(lines[..., 0].min() - 6, lines[..., 0].max() + 6), ylim=(0, 1.04 * lines[..., 1].max()))


def _draw_leaves(ax, groups: np.ndarray, n: int, y: np.ndarray | None, label_names) -> None:
    """Count and majority label below each leaf, and a mark in the colour of that label."""
    x, texts = 10 * np.arange(n) + 5, [str(count) for count in np.bincount(groups, minlength=n)]
    if y is not None:
        classes = np.unique(y)
        labels, _ = majority(y, groups, n)
        index = np.searchsorted(classes, labels)
        colours = style.class_colours(index, np.ones(n))
        ax.scatter(x, np.zeros(n), c=colours, s=42, marker="s", linewidths=0, clip_on=False, zorder=3)
        names = [style.class_name(label, label_names) for label in labels]
        long = max(map(len, names)) > 3
        texts = [
            f"{name} · {count}" if long else f"{name}\n{count}"
            for name, count in zip(names, texts, strict=True)
        ]
        style.class_legend(ax, [style.class_name(label, label_names) for label in classes])
    rotation = 90 if max(len(line) for text in texts for line in text.split("\n")) * n > 150 else 0
    ax.set_xticks(x, texts, rotation=rotation)
    ax.tick_params(axis="x", length=0, pad=7)


def _draw_cut(ax, merges: np.ndarray, clusters: int) -> None:
    """A line at the height that leaves that many clusters."""
    height = (merges[-clusters, 2] + merges[1 - clusters, 2]) / 2
    ax.axhline(height, color=style.PALETTE[2], linestyle="--", linewidth=1.2)
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    ax.annotate(
        f"{clusters} clusters", (0, height), (4, 4), color=style.PALETTE[2], fontsize=9, bbox=behind, **place
    )
