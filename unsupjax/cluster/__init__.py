"""Clustering as functions of an array `[N, D]`: each module is one method (`cluster.dbscan.fit(x, eps=...)`)."""

from unsupjax.cluster import balance as balance
from unsupjax.cluster import dbscan as dbscan
from unsupjax.cluster import hdbscan as hdbscan
from unsupjax.cluster import hierarchical as hierarchical
from unsupjax.cluster import kmeans as kmeans
from unsupjax.cluster import quantize as quantize
from unsupjax.cluster import scores as scores
