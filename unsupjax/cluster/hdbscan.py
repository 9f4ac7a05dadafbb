"""Density-based clusters over all radii at once."""

from typing import NamedTuple

import numpy as np

from unsupjax.errors import UserError
from unsupjax.numerics import checks


class Result(NamedTuple):
    """What HDBSCAN finds.

    Attributes:
        labels: the cluster of each row, int32 `[N]`; -1 is noise.
        probabilities: how firmly each row belongs to its cluster, float64 `[N]` in [0, 1]; 0 for noise.
    """

    labels: np.ndarray
    probabilities: np.ndarray


def fit(
    x: np.ndarray, *, min_cluster_size: int = 5, min_samples: int = 0, allow_single_cluster: bool = False
) -> Result:
    r"""HDBSCAN with Euclidean distances, by scikit-learn.

    Single linkage under the mutual reachability :math:`\max(c(x), c(y), \|x - y\|)`, where c is the distance to the
    `min_samples`-th nearest row, itself counted; of the clusters in its tree those are kept that persist longest
    (excess of mass). It needs no radius and allows for clusters of unequal density. Time is O(N^2 D), memory
    O(N (D + min_samples)).

    Args:
        x: `[N, D]`, real numbers.
        min_cluster_size: fewer rows than this are noise, at least 2.
        min_samples: neighbours that make a density; more leave more noise. 0 means `min_cluster_size`.
        allow_single_cluster: the root of the tree, which holds all rows, may be a cluster too: where they are one.
            Without it rows that are one cluster are split or are all noise.

    Raises:
        UserError: x is not a finite table; min_cluster_size is below 2; min_samples is negative or above N.

    Source: Campello, Moulavi and Sander, "Density-based clustering based on hierarchical density estimates",
    PAKDD 2013.
    """
    from sklearn.cluster import HDBSCAN

    x = checks.rows(x, "hdbscan").astype(np.float64)
    if min_cluster_size < 2:
        raise UserError(f"hdbscan: min_cluster_size={min_cluster_size} must be at least 2")
    neighbours = min_samples or min_cluster_size
    if not 1 <= neighbours <= len(x) or len(x) < 2:
        raise UserError(
            f"hdbscan: min_samples={min_samples} with min_cluster_size={min_cluster_size} asks for "
            f"{neighbours} neighbours, which must be from 1 to the {len(x)} rows, at least two of them"
        )
    # The array is our own copy already; scikit-learn warns where `copy` is left to a default that will change.
    found = HDBSCAN(
        min_cluster_size=min_cluster_size,
        min_samples=neighbours,
        allow_single_cluster=allow_single_cluster,
        copy=False,
    ).fit(x)
    return Result(found.labels_.astype(np.int32), found.probabilities_)
