"""Scores of a clustering, of rows `[N, D]` or against labels: pure functions of arrays."""

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.cluster.tiles import float64
from unsupjax.errors import UserError
from unsupjax.numerics import checks
from unsupjax.numerics.differences import squared_distances


def contingency(labels: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Number of examples of each class in each cluster: int64 `[classes, clusters]`, both ascending."""
    (n_labels, row), (n_clusters, column) = _indexed(labels), _indexed(clusters)
    cells = np.bincount(row * n_clusters + column, minlength=n_labels * n_clusters)
    return cells.reshape(n_labels, n_clusters)


def purity(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Fraction of examples that belong to the most frequent class of their cluster, in (0, 1].

    It grows with the number of clusters and is 1 where every example has its own: read it beside NMI or ARI.
    """
    counts = contingency(labels, clusters)
    return float(counts.max(axis=0).sum() / counts.sum())


def hungarian_accuracy(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Accuracy under the best one-to-one assignment of clusters to classes, in (0, 1].

    Clusters beyond the number of classes stay unassigned, and their examples count as errors. Known as ACC in
    Xie et al., "Unsupervised deep embedding for clustering analysis", ICML 2016.
    """
    from scipy.optimize import linear_sum_assignment

    counts = contingency(labels, clusters)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / counts.sum())


def adjusted_rand_index(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Agreement on pairs of examples, less what chance gives: at most 1, about 0 for random clusters.

    Args:
        labels: integers `[N]`.
        clusters: integers `[N]`; the two may be swapped and renumbered.

    Source: Hubert and Arabie, "Comparing partitions", Journal of Classification 1985.
    """
    from sklearn import metrics

    return float(metrics.adjusted_rand_score(labels, clusters))


def normalized_mutual_information(labels: np.ndarray, clusters: np.ndarray) -> float:
    r"""Mutual information over the arithmetic mean of the entropies, :math:`2 I / (H + H')`, in [0, 1].

    It is not corrected for chance and grows with the number of clusters: read it beside ARI.

    Args:
        labels: integers `[N]`.
        clusters: integers `[N]`; the two may be swapped and renumbered.

    Source: Strehl and Ghosh, "Cluster ensembles", JMLR 2002 (there with the geometric mean).
    """
    from sklearn import metrics

    return float(metrics.normalized_mutual_info_score(labels, clusters))


def davies_bouldin(x: np.ndarray, clusters: np.ndarray) -> float:
    r"""Mean over clusters i of :math:`\max_{j \ne i} (s_i + s_j) / \|c_i - c_j\|`; 0 is best.

    s is the mean distance of a cluster's rows to its centre c.

    Args:
        x: `[N, D]`, real numbers.
        clusters: integers `[N]`; noise, numbered -1, counts as one cluster: leave it out.

    Raises:
        UserError: x is not a finite table; there are not 2 to N - 1 clusters.

    Source: Davies and Bouldin, "A cluster separation measure", TPAMI 1979.
    """
    from sklearn import metrics

    x, _, index = _partition(x, clusters, "davies_bouldin")
    return float(metrics.davies_bouldin_score(x, index))


def silhouette(x: np.ndarray, clusters: np.ndarray, *, block: int = 256) -> float:
    r"""Mean over rows of :math:`(b - a) / \max(a, b)`, in [-1, 1]: how much nearer the own cluster is.

    a is the mean distance of a row to the others of its cluster, b that to the rows of the nearest other cluster.
    A row alone in its cluster scores 0. The same as scikit-learn's `silhouette_score`.

    Time is O(N^2 D); memory O(N D + block (block + K)), with K the number of clusters.

    Args:
        x: `[N, D]`, real numbers; distances are computed in float64.
        clusters: integers `[N]`; noise, numbered -1, counts as one cluster: leave it out.
        block: rows a tile; no result depends on it but for round-off.

    Raises:
        UserError: x is not a finite table; there are not 2 to N - 1 clusters; block is below 1.

    Source: Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis",
    Journal of Computational and Applied Mathematics 1987.
    """
    x, k, index = _partition(x, clusters, "silhouette")
    if block < 1:
        raise UserError(f"silhouette: block={block} must be at least 1")
    n, block = len(x), min(block, len(x))
    order = np.argsort(index, kind="stable")  # a tile of rows then meets few clusters, of consecutive numbers
    tiles = -(-n // block)
    rows = np.zeros((tiles * block, x.shape[1]))
    rows[:n] = x[order]
    own = np.full(tiles * block, -1, np.int32)
    own[:n] = index[order]
    rows = np.ascontiguousarray(rows.reshape(tiles, block, -1).transpose(0, 2, 1))
    with float64():
        total = _silhouettes(
            rows, own.reshape(tiles, block), np.bincount(index, minlength=k).astype(np.float64)
        )
        return float(total) / n


@jax.jit
def _silhouettes(x: jax.Array, own: jax.Array, sizes: jax.Array) -> jax.Array:
    """The sum of all silhouettes.

    Args:
        x: float64 `[T, D, block]`, ordered by cluster.
        own: the cluster of each row, int32 `[T, block]`; -1 behind the last row.
        sizes: rows of each cluster, float64 `[K]`.
    """
    block, k = own.shape[1], len(sizes)
    width = min(block, k)  # so many clusters can meet in one tile

    def of_tile(x_i, own_i):
        def add(j, sums):
            distance = jnp.sqrt(squared_distances(x_i, x[j]))
            member = jax.nn.one_hot(own[j] - own[j, 0], width, dtype=distance.dtype)  # zeros for -1
            here = jax.lax.dynamic_slice_in_dim(sums, own[j, 0], width, axis=1)
            here += jnp.matmul(distance, member, precision="highest")
            return jax.lax.dynamic_update_slice_in_dim(sums, here, own[j, 0], axis=1)

        sums = jax.lax.fori_loop(0, len(x), add, jnp.zeros((block, k + width), x.dtype))[:, :k]
        mine = own_i[:, None] == jnp.arange(k)[None, :]
        a = jnp.where(mine, sums, 0).sum(axis=1) / jnp.maximum(sizes[own_i] - 1, 1)
        b = jnp.where(mine, jnp.inf, sums / sizes[None, :]).min(axis=1)
        largest = jnp.maximum(a, b)
        defined = (own_i >= 0) & (sizes[own_i] > 1) & (largest > 0)
        return jnp.where(defined, (b - a) / jnp.where(largest > 0, largest, 1), 0).sum()

    return jax.lax.map(lambda tile: of_tile(*tile), (x, own)).sum()


def _partition(x: np.ndarray, clusters: np.ndarray, name: str) -> tuple[np.ndarray, int, np.ndarray]:
    """Checked rows as float64, the number of clusters, and the index of each row's: `[N]`."""
    x, clusters = checks.rows(x, name).astype(np.float64, copy=False), np.asarray(clusters)
    if clusters.shape != (len(x),):
        raise UserError(f"{name}: {len(x)} rows but clusters of shape {clusters.shape}; give one to each row")
    k, index = _indexed(clusters)
    if not 2 <= k < len(x):
        raise UserError(f"{name} is undefined for {k} cluster(s) of {len(x)} rows; it takes from 2 to N - 1")
    return x, k, index


def _indexed(values: np.ndarray) -> tuple[int, np.ndarray]:
    """The number of distinct values, and for each value its index among them."""
    distinct, index = np.unique(values, return_inverse=True)
    return len(distinct), index
