"""Clusters, maps and clusterings: against loops, scikit-learn and constructions with known answers."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics
from sklearn.cluster import AgglomerativeClustering

from unsupjax.errors import UserError
from unsupjax.evaluate import clusterings, clusters, som
from unsupjax.evaluate.clustering.clusterings import ALGORITHMS, summary
from unsupjax.evaluate.clustering.clusters import majority
from unsupjax.som import Grid, Map

AGREEMENT = {"clusters_purity", "clusters_nmi", "clusters_ari", "clusters_accuracy"}


def loop_units(subject, x):
    """The nearest codebook entry of each example by a loop."""
    codebook = np.asarray(subject.state.codebook, np.float64)
    return np.array([np.argmin([np.sum((one.ravel() - w) ** 2) for w in codebook]) for one in x])


def assigning(subject, found):
    """The subject with a method that assigns the test examples as given."""
    order = {one.tobytes(): cluster for one, cluster in zip(subject.x_test, found, strict=True)}
    ids = np.arange(len(found), dtype=np.float32).reshape(-1, 1, 1, 1)
    assert len(order) == len(found)
    method = subject.method._replace(assign=lambda state, x: jnp.asarray(found)[x[:, 0, 0, 0].astype(int)])
    return subject._replace(method=method, x_test=np.broadcast_to(ids, (len(found), 4, 4, 1)).copy())


@pytest.mark.parametrize("space", ["inputs", "codes"])
def test_clusters_are_scored_as_scikit_learn_does(subject, space):
    found, y = loop_units(subject, subject.x_test), subject.y_test
    points = subject.x_test.reshape(45, 16) if space == "inputs" else subject.z_test
    scores = clusters(subject, space=space)
    assert scores["clusters_used"] == len(set(found.tolist()))
    assert scores["clusters_nmi"] == pytest.approx(metrics.normalized_mutual_info_score(y, found))
    assert scores["clusters_ari"] == pytest.approx(metrics.adjusted_rand_score(y, found))
    assert scores["clusters_silhouette"] == pytest.approx(metrics.silhouette_score(points, found), abs=1e-5)
    expected = metrics.davies_bouldin_score(points, found)
    assert scores["clusters_davies_bouldin"] == pytest.approx(expected, rel=1e-5)


def test_clusters_that_are_classes_agree_with_them(subject):
    scores = clusters(assigning(subject, (subject.y_test % 4).astype(np.int32)))  # 2, 5, 9 -> 2, 1, 1
    assert scores["clusters_purity"] == scores["clusters_accuracy"] == pytest.approx(2 / 3)
    assert scores["clusters_used"] == 2


def test_clusters_without_labels_have_the_internal_scores_alone(subject):
    scores = clusters(subject._replace(y_train=None, y_test=None))
    assert set(scores) == {"clusters_used", "clusters_silhouette", "clusters_davies_bouldin"}
    labelled = clusters(subject)
    assert set(labelled) == set(scores) | AGREEMENT
    assert scores == {name: labelled[name] for name in scores}


@pytest.mark.parametrize("found", [np.zeros(45, np.int32), np.arange(45, dtype=np.int32)])
def test_undefined_scores_are_left_out(subject, found):
    scores = clusters(assigning(subject, found))
    assert set(scores) == {"clusters_used"} | AGREEMENT
    assert scores["clusters_used"] == len(set(found.tolist()))


def test_the_silhouette_is_that_of_a_subset(subject):
    few = clusters(subject, examples=20)
    assert few["clusters_silhouette"] != clusters(subject)["clusters_silhouette"]
    assert few["clusters_davies_bouldin"] == clusters(subject)["clusters_davies_bouldin"]


def test_majority_is_that_of_a_count_with_ties_to_the_lowest():
    labels, groups = np.array([5, 5, 2, 9, 5, 9, 2]), np.array([0, 0, 0, 2, 3, 3, 3])
    found, share = majority(labels, groups, 4)
    assert found[[0, 2, 3]].tolist() == [5, 9, 2]
    np.testing.assert_allclose(share, [2 / 3, 0, 1, 1 / 3])


@pytest.mark.parametrize(
    ("grid", "neighbours"), [(Grid(3, 4), 0), (Grid(3, 4), 4), (Grid(4, 3, "hexagonal"), 0)]
)
def test_map_errors_are_those_of_a_loop(subject, grid, neighbours):
    codebook = np.asarray(subject.state.codebook, np.float64)
    method = subject.method._replace(map=lambda state, x: (Map(state.codebook, grid), x.reshape(len(x), -1)))
    reach = {4: 1.01, 6: 1.01, 8: 1.5}
    count = neighbours or (6 if grid.topology == "hexagonal" else 8)
    place = [
        (r, c + (r % 2) / 2) if count == 6 else (r, c) for r in range(grid.height) for c in range(grid.width)
    ]
    row = 0.75**0.5 if count == 6 else 1.0
    nearest, apart = [], 0
    for x in subject.x_test:
        distances = np.sqrt(np.sum((codebook - x.ravel()) ** 2, axis=1))
        first, second = np.argsort(distances)[:2]
        offset = np.subtract(place[first], place[second]) * [row, 1]
        apart += np.hypot(*offset) > reach[count]
        nearest.append(distances.min())
    scores = som(subject._replace(method=method), neighbours=neighbours)
    assert list(scores) == [
        "som_quantization_error",
        f"som_topographic_error_{count}",
        "som_topographic_product",
        "som_trustworthiness",
    ]
    assert scores["som_quantization_error"] == pytest.approx(np.mean(nearest), rel=1e-5)
    assert 0 < scores[f"som_topographic_error_{count}"] == pytest.approx(apart / 45)


def test_a_neighbourhood_that_the_grid_lacks_is_refused(subject):
    with pytest.raises(UserError, match=r"config\.evaluate\.som\.neighbours=8.*hexagonal"):
        som(subject, neighbours=8)


@pytest.fixture
def separate(subject):
    """Codes in three far groups, one a class, with some spread; inputs as they were."""
    y = np.arange(45) % 3
    z = 100 * np.eye(3)[y] + np.random.default_rng(0).normal(size=(45, 3))
    return subject._replace(z_test=z.astype(np.float32), y_test=y)


def test_all_algorithms_find_separate_groups(separate):
    scores = clusterings(separate, spaces=("codes",), eps=8.0)
    for algorithm in ALGORITHMS:
        for score, value in {"purity": 1, "nmi": 1, "ari": 1, "clusters": 3}.items():
            assert scores[f"codes_{algorithm}_{score}"] == pytest.approx(value), (algorithm, score)
    assert {name for name in scores if name.endswith("noise")} == {
        "codes_dbscan_noise",
        "codes_hdbscan_noise",
    }
    suggested = clusterings(separate, spaces=("codes",), algorithms=("dbscan",))
    assert suggested["codes_dbscan_nmi"] > 0.7 and suggested["codes_dbscan_noise"] < 0.5


@pytest.mark.parametrize("linkage", ["ward", "average", "complete", "single"])
def test_linkages_are_those_of_scikit_learn(subject, linkage):
    found = AgglomerativeClustering(4, linkage=linkage).fit_predict(subject.x_test.reshape(45, 16))
    scores = clusterings(subject, spaces=("inputs",), algorithms=(linkage,), clusters=4)
    y = subject.y_test
    assert scores[f"inputs_{linkage}_nmi"] == pytest.approx(metrics.normalized_mutual_info_score(y, found))
    assert scores[f"inputs_{linkage}_ari"] == pytest.approx(metrics.adjusted_rand_score(y, found))
    assert scores[f"inputs_{linkage}_clusters"] == 4


def test_noise_is_one_cluster_of_its_own(separate):
    scores = clusterings(separate, spaces=("codes",), algorithms=("dbscan",), eps=1e-6)
    assert scores == pytest.approx(
        {
            "codes_dbscan_purity": 1 / 3,
            "codes_dbscan_nmi": 0,
            "codes_dbscan_ari": 0,
            "codes_dbscan_clusters": 0,
            "codes_dbscan_noise": 1,
        }
    )


def test_both_spaces_stand_in_order_and_in_the_table(separate):
    scores = clusterings(separate, algorithms=("ward", "dbscan"), eps=8.0, examples=30)
    names = [name.rsplit("_", 1)[0] for name in scores]
    assert names == ["inputs_ward"] * 4 + ["inputs_dbscan"] * 5 + ["codes_ward"] * 4 + ["codes_dbscan"] * 5
    lines = summary({"knn_accuracy_k10": 0.5} | scores | {"epoch": 3.0}).splitlines()
    assert [line.split() for line in lines[:2]] == [["knn_accuracy_k10", "0.5"], ["epoch", "3"]]
    assert lines[2].split() == ["purity", "nmi", "ari", "clusters", "noise"]
    assert [line.split() for line in lines[5:]] == [
        ["codes", "ward", "1.000", "1.000", "1.000", "3"],
        ["codes", "dbscan", "1.000", "1.000", "1.000", "3", "0.000"],
    ]


@pytest.mark.parametrize(
    ("evaluator", "settings", "message"),
    [
        (clusterings, {"spaces": ("code",)}, "did you mean 'codes'"),
        (clusterings, {"algorithms": ("wards",)}, "did you mean 'ward'"),
        (clusterings, {"clusters": 46}, "clusters=46 must be between 1 and the 45 examples"),
        (clusters, {"space": "pixels"}, r"config\.evaluate\.clusters\.space='pixels'"),
    ],
)
def test_settings_out_of_range_are_refused(subject, evaluator, settings, message):
    with pytest.raises(UserError, match=message):
        evaluator(subject, **settings)


@pytest.mark.parametrize(("evaluator", "what"), [(clusters, "assign"), (som, "map")])
def test_what_the_method_lacks_is_named(subject, evaluator, what):
    without = subject._replace(method=subject.method._replace(**{what: None}))
    with pytest.raises(UserError, match=f"'{evaluator.__name__}' needs a method with `{what}`"):
        evaluator(without)
