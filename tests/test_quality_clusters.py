"""Quality of clusters and maps on digits, with bars that broken ones miss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import som
from unsupjax.cluster import kmeans, scores

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def labelled():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


def test_clusters_of_digits_are_classes(labelled):
    x, y = labelled
    found = kmeans.fit(jax.random.key(0), x, 10)
    assert scores.adjusted_rand_index(y, np.asarray(found.labels)) > 0.64
    shuffled = np.random.default_rng(0).permutation(np.asarray(found.labels))
    assert scores.adjusted_rand_index(y, shuffled) < 0.05


def test_a_map_of_digits_is_fine_and_ordered(labelled):
    x, y = labelled
    grid = som.Grid(16, 16)
    map = som.fit(jax.random.key(0), x, grid, end_radius=0.65, decay="exponential").map
    errors = som.quantization_error(map, x), som.topographic_error(map, x)
    assert errors[0] < 1.15 and errors[1] < 0.08
    assert scores.purity(y, np.asarray(som.bmu(map, x))) > 0.93
    torn = som.Map(map.codebook[jnp.asarray(np.random.default_rng(0).permutation(256))], grid)
    assert som.topographic_error(torn, x) > 0.8


def test_distance_from_a_map_of_normal_rows_tells_anomalies(labelled):
    from sklearn.metrics import roc_auc_score

    x, y = labelled
    normal = x[y == 0]
    map = som.fit(jax.random.key(0), normal[:120], som.Grid(6, 6)).map
    held_out = np.concatenate([normal[120:], x[y != 0]])
    _, distance = som.find(map, held_out)
    assert roc_auc_score(np.arange(len(held_out)) >= len(normal) - 120, distance) > 0.98
