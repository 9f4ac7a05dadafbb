"""Agglomerative clusters and their dendrogram."""

from typing import NamedTuple

import numpy as np

from unsupjax.errors import UserError, choose
from unsupjax.numerics import checks

LINKAGES = {name: name for name in ("average", "complete", "single", "ward")}
MAX_ROWS = 20_000  # 1.6 GB of distances, which scipy copies once


class Result(NamedTuple):
    """Clusters and the tree they were cut from.

    Attributes:
        labels: the cluster of each row, int32 `[N]`, in [0, k), numbered by first row.
        linkage: float64 `[N-1, 4]`: the two clusters that each merge joins (below N a row, N + i the outcome of
            merge i), their distance, and the rows of the outcome: what `scipy.cluster.hierarchy.dendrogram` draws.
    """

    labels: np.ndarray
    linkage: np.ndarray


def fit(x: np.ndarray, k: int, *, linkage: str = "ward") -> Result:
    r"""Merges the two nearest clusters until one is left, and cuts the tree into exactly k.

    The distance of two clusters A and B is, over rows a of A and b of B, the greatest (`complete`), the mean
    (`average`) or the least (`single`) of :math:`\|a - b\|`; with `ward` it is
    :math:`\sqrt{2 |A| |B| / (|A| + |B|)}\, \|\bar a - \bar b\|`, so that each merge adds the least to the
    variance within clusters. The merges are scipy's, which has the dendrogram and O(N^2) time for all four
    (nearest-neighbour chains; a minimum spanning tree for `single`); the partition is that of scikit-learn's
    `AgglomerativeClustering`.

    Args:
        x: `[N, D]`, real numbers; N at most 20,000, since all N (N - 1) / 2 distances are held, twice, at 8 bytes.
        k: number of clusters, from 1 to N.
        linkage: `ward`, `average`, `complete` or `single`.

    Raises:
        UserError: x is not a finite table or has too many rows; k is not in [1, N]; the linkage is unknown.

    Source: Ward, "Hierarchical grouping to optimize an objective function", JASA 1963; Müllner, "Modern
    hierarchical, agglomerative clustering algorithms", 2011.
    """
    from scipy.cluster import hierarchy

    x = checks.rows(x, "hierarchical").astype(np.float64, copy=False)
    method, n = choose("linkage", linkage, LINKAGES), len(x)
    if not 1 <= k <= n:
        raise UserError(f"hierarchical: k={k} must be between 1 and the {n} rows")
    if n > MAX_ROWS:
        raise UserError(
            f"hierarchical: {n} rows have {8 * n * (n - 1) // 2 / 1e9:.1f} GB of distances, which are held twice; "
            f"at most {MAX_ROWS} rows are taken: subsample, or cluster the centres of k-means with many clusters"
        )
    tree = hierarchy.linkage(x, method) if n > 1 else np.zeros((0, 4))
    return Result(_cut(tree, k), tree)


def _cut(tree: np.ndarray, k: int) -> np.ndarray:
    """Labels int32 `[N]` before the last k - 1 merges.

    scipy's `fcluster` cuts at a distance and gives fewer than k clusters where merges tie.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(tree) + 1
    children = tree[: n - k, :2].astype(np.int64).ravel()
    parents = np.repeat(np.arange(n, 2 * n - k), 2)
    edges = coo_array((np.ones(len(parents)), (parents, children)), shape=(2 * n - k, 2 * n - k))
    component = connected_components(edges, directed=False)[1][:n]
    _, first, index = np.unique(component, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[index].astype(np.int32)
