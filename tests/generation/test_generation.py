"""Measures of samples against data: against loops, and where the answer is known."""

import itertools

import jax
import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance
from threadpoolctl import threadpool_limits

from unsupjax import generation as g
from unsupjax.generation import pairs

X = np.random.default_rng(0).normal(size=(60, 4))
Y = np.random.default_rng(1).normal(0.3, [1, 2, 0.5, 1], (45, 4))
KEY = jax.random.key(0)
TWO_SETS = [
    g.frechet_distance,
    g.kernel_distance,
    g.prdc,
    g.c2st,
    lambda x, y: g.sliced_wasserstein(KEY, x, y),
    lambda x, y: g.memorisation(x, y, x),
    lambda x, y: g.memorisation(x, x, y),
    lambda x, y: g.mode_coverage(x, y, 1.0),
]


@pytest.fixture
def rng():
    return np.random.default_rng(2)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(pairs, "_BLOCK", 200)  # a few rows at a time, and a last block that is not full


def with_moments(rng, n, mean, covariance):
    """Rows whose sample mean and covariance are those given."""
    z = rng.normal(size=(n, len(mean)))
    z -= z.mean(axis=0)
    z = z @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T
    return mean + z @ np.linalg.cholesky(covariance).T


@pytest.mark.parametrize("measure", TWO_SETS)
def test_sets_that_cannot_be_compared_are_refused(measure):
    for y, message in ((Y[:, :3], "same features"), (np.full((9, 4), np.nan), "NaN"), (Y[:, 0], "table")):
        with pytest.raises(ValueError, match=message):
            measure(X, y)


def test_frechet_distance_of_two_gaussians_is_known(rng):
    a, b = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 1.0, 9.0])
    shift = np.array([1.0, -2.0, 3.0])
    expected = shift @ shift + 1 + 1  # (1 - 2)^2 + (2 - 1)^2 + 0
    assert g.frechet_of_moments(np.zeros(3), a, shift, b) == pytest.approx(expected, rel=1e-12)
    x, y = with_moments(rng, 50, np.zeros(3), a), with_moments(rng, 70, shift, b)
    assert g.frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)
    # Covariances that do not commute: against the textbook's root of a product.
    a, b = np.cov(X.T), np.cov((Y @ rng.normal(size=(4, 4))).T)
    root = sqrtm(a @ b).real
    assert g.frechet_of_moments(np.ones(4), a, np.ones(4), b) == pytest.approx(np.trace(a + b - 2 * root))


def test_frechet_distance_is_that_of_the_sample_moments_and_symmetric(rng):
    expected = g.frechet_of_moments(X.mean(axis=0), np.cov(X.T), Y.mean(axis=0), np.cov(Y.T))
    assert g.frechet_distance(X, Y) == pytest.approx(expected, rel=1e-9)
    assert g.frechet_distance(Y, X) == pytest.approx(expected, rel=1e-9)
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    assert g.frechet_distance(X @ turn + 1e4, Y @ turn + 1e4) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shape", [(200, 8), (6, 30)])  # more rows than features, and fewer
def test_frechet_distance_of_identical_sets_is_zero_even_if_singular(rng, shape):
    x = rng.normal(size=shape)
    x[:, 1] = 5.0
    x[:, 2] = x[:, 0]
    assert g.frechet_distance(x, x) == pytest.approx(0, abs=1e-11)
    assert g.frechet_distance(x, x + 2) == pytest.approx(4 * shape[1], rel=1e-9)
    mean, covariance = x.mean(axis=0), np.cov(x.T)
    assert g.frechet_of_moments(mean, covariance, mean, covariance) == pytest.approx(0, abs=1e-11)
    flat = np.zeros((2, 3))
    assert g.frechet_distance(flat, flat + 1) == pytest.approx(3)  # two points and no covariance at all


def test_moments_that_are_none_are_refused():
    eye = np.eye(3)
    with pytest.raises(ValueError, match=r"covariances \[D, D\]"):
        g.frechet_of_moments(np.zeros(3), eye, np.zeros(3), eye[:2])
    with pytest.raises(ValueError, match="NaN"):
        g.frechet_of_moments(np.zeros(3), eye, np.zeros(3), eye * np.nan)
    with pytest.raises(ValueError, match="at least 2 rows"):
        g.frechet_distance(X[:1], X)


def test_kernel_distance_is_that_of_a_loop(small_blocks):
    kernel = lambda a, b: (a @ b / 4 + 1) ** 3
    within = lambda s: np.mean([kernel(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j])
    expected = within(X) + within(Y) - 2 * np.mean([kernel(a, b) for a in X for b in Y])
    assert g.kernel_distance(X, Y) == pytest.approx(expected, rel=1e-9)
    # All rows as the only subset is the same; smaller subsets scatter around it.
    whole = g.kernel_distance(X[:45], Y)
    assert g.kernel_distance(X[:45], Y, subsets=1, subset_size=45) == pytest.approx(whole, rel=1e-9)
    some = g.kernel_distance(X, Y, subsets=300, subset_size=20)
    assert some == pytest.approx(expected, rel=0.25) and some != expected
    with pytest.raises(ValueError, match=r"subset_size=1000 must be from 2 to 45"):
        g.kernel_distance(X, Y, subsets=1)


def test_kernel_distance_has_no_bias(rng):
    """Of one distribution it is 0 on average, and so negative about as often as not; one mean shift is known."""
    draws = rng.normal(size=(400, 2, 20, 3))
    values = np.array([g.kernel_distance(x, y) for x, y in draws])
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    assert 0.3 < (values < 0).mean() < 0.8
    # Point masses at 0 and at v: k(0, 0) + k(v, v) - 2 k(0, v).
    v = np.array([1.0, 2.0, 2.0])
    expected = 1 + (v @ v / 3 + 1) ** 3 - 2
    assert g.kernel_distance(np.zeros((5, 3)), np.tile(v, (7, 1))) == pytest.approx(expected)


def brute_prdc(real, fake, k):
    distance = lambda a, b: np.sqrt(np.square(a - b).sum())
    radius = lambda s, i: sorted(distance(s[i], s[j]) for j in range(len(s)) if j != i)[k - 1]
    real_radii, fake_radii = ([radius(s, i) for i in range(len(s))] for s in (real, fake))
    inside = np.array(
        [[distance(r, f) < radius for f in fake] for r, radius in zip(real, real_radii, strict=True)]
    )
    inside_fake = np.array(
        [[distance(r, f) < radius for r in real] for f, radius in zip(fake, fake_radii, strict=True)]
    )
    return (
        np.mean([inside[:, j].any() for j in range(len(fake))]),
        np.mean([inside_fake[:, i].any() for i in range(len(real))]),
        inside.sum() / (k * len(fake)),
        np.mean([inside[i].any() for i in range(len(real))]),
    )


@pytest.mark.parametrize("k", [1, 3, 5])
def test_prdc_is_that_of_brute_force(small_blocks, k):
    found = g.prdc(X, Y, neighbours=k)
    assert found == pytest.approx(brute_prdc(X, Y, k), abs=1e-12)
    assert 0 < found.recall != found.precision < 1


def test_prdc_of_sets_with_a_known_answer(rng, small_blocks):
    assert g.prdc(X, X) == pytest.approx((1, 1, 1, 1))
    assert g.prdc(X, X[::-1] + 0.0) == pytest.approx((1, 1, 1, 1))
    assert g.prdc(X, X + 1e3) == (0, 0, 0, 0)
    far = X + 1e6  # far from zero nothing is lost
    assert g.prdc(far, Y + 1e6) == pytest.approx(g.prdc(X, Y), abs=0.03)
    # One tight clump inside the data is precise and dense, and diverse in no way.
    clump = X[0] + 1e-3 * rng.normal(size=(50, 4))
    found = g.prdc(X, clump)
    assert found.precision == 1 and found.recall < 0.1 and found.coverage < 0.5


def test_the_radius_does_not_count_the_point_itself():
    line = np.array([[0.0], [1.0], [3.0], [7.0]])
    # The nearest others are at 1, 1, 2 and 4: 4 lies in the balls of 3 (2) and 7 (4), 11.5 in none.
    found = g.prdc(line, np.array([[4.0], [11.5]]), neighbours=1)
    assert found == (0.5, 1.0, 1.0, 0.5)


def test_copies_of_repeated_rows_are_inside(rng):
    """Of rows that occur more than k times the balls have radius 0."""
    table = np.repeat(rng.normal(size=(5, 3)) + 100, 10, axis=0)
    found = g.prdc(table, table[::2] + 0.0)
    assert found.precision == found.recall == found.coverage == 1
    with pytest.raises(ValueError, match="at least 6 rows"):
        g.prdc(X[:5], Y)
    with pytest.raises(ValueError, match="neighbours=0"):
        g.prdc(X, Y, neighbours=0)


def test_coverage_and_density_of_one_distribution(rng):
    x, y = rng.normal(size=(2, 2000, 3))
    found = g.prdc(x, y)
    assert found.density == pytest.approx(1, abs=0.05)
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.02)


def test_two_samples_are_told_apart_where_they_differ(rng):
    x, y = rng.normal(size=(2, 300, 3))
    assert g.c2st(x, y) == pytest.approx((0.5, 0.5), abs=0.08)
    assert min(g.c2st(x, y + 20)) > 0.99
    assert g.c2st(x, y) == g.c2st(x, y)
    assert g.c2st(x, y[:30]).accuracy == pytest.approx(0.5, abs=0.05)  # chance whatever the sizes


def test_the_area_under_the_curve_is_that_of_the_direction_that_differs(rng):
    x, y = rng.normal(size=(2, 2000, 2))
    y[:, 0] += 1
    # Of N(0, 1) against N(1, 1): Phi(1 / sqrt 2), and Phi(1 / 2) are right.
    assert g.c2st(x, y) == pytest.approx((0.760, 0.691), abs=0.03)
    assert g.c2st(1e3 * x + 1e6, 1e3 * y + 1e6) == pytest.approx((0.760, 0.691), abs=0.03)
    with pytest.raises(ValueError, match="'forest' is none of logistic, boosting"):
        g.c2st(x, y, classifier="forest")
    with pytest.raises(ValueError, match="at least 5 rows"):
        g.c2st(x[:4], y)


def test_logistic_regression_sees_shifts_and_trees_see_more(rng):
    x, y = rng.normal(size=(2, 300, 1))
    trees = lambda y: g.c2st(x, y, classifier="boosting", folds=2)
    assert g.c2st(x, 3 * y).auc < 0.6
    with threadpool_limits(1):  # threads that wait for one another on a busy machine take many times as long
        assert trees(y) == pytest.approx((0.5, 0.5), abs=0.1)
        assert trees(3 * y).auc > 0.7


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
def test_sliced_wasserstein_of_a_shift_in_one_dimension(rng, p):
    x = rng.normal(size=(30, 1))
    assert g.sliced_wasserstein(KEY, x, x - 3, p=p, projections=2) == pytest.approx(3, rel=1e-9)
    assert g.sliced_wasserstein(KEY, x, x[::-1], p=p, projections=2) == pytest.approx(0, abs=1e-12)
    # Each row twice is the same distribution, and the sizes are unequal.
    assert g.sliced_wasserstein(KEY, x, np.tile(x - 3, (2, 1)), p=p, projections=2) == pytest.approx(
        3, rel=1e-9
    )


def test_sliced_wasserstein_of_unequal_sizes_is_scipys(rng):
    x, y = rng.normal(size=(21, 1)), rng.exponential(size=(8, 1))
    expected = wasserstein_distance(x[:, 0], y[:, 0])
    for a, b in ((x, y), (y, x)):
        assert g.sliced_wasserstein(KEY, a, b, p=1, projections=1) == pytest.approx(expected, rel=1e-9)


def test_sliced_wasserstein_of_gaussians_is_known(rng):
    """In one dimension of N(0, 1) and N(m, s^2): the root of m^2 + (1 - s)^2; of a shift v in D: |v| / sqrt D."""
    quantiles = rng.normal(size=(20_000, 1))
    found = g.sliced_wasserstein(KEY, quantiles, 2 + 3 * quantiles, projections=1)
    assert found == pytest.approx(np.hypot(2, 2), rel=0.02)
    v = np.array([3.0, 0, 4, 0])
    assert g.sliced_wasserstein(KEY, X, X + v, projections=4000) == pytest.approx(5 / 2, rel=0.03)
    assert g.sliced_wasserstein(KEY, X, X + v) == g.sliced_wasserstein(KEY, X, X + v)
    for wrong in ({"p": 0.5}, {"projections": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            g.sliced_wasserstein(KEY, X, Y, **wrong)


RING = np.array([[np.cos(a), np.sin(a)] for a in np.pi / 4 * np.arange(8)])


def test_a_perfect_model_covers_all_modes_and_has_the_share_of_its_dimension(rng):
    samples = RING[np.arange(8000) % 8] + 0.02 * rng.normal(size=(8000, 2))
    found = g.mode_coverage(samples, RING, 0.02)
    assert found.covered == 8 and found.kl == pytest.approx(0, abs=1e-12)
    assert g.share_within(2) == pytest.approx(1 - np.exp(-9 / 2)) == pytest.approx(0.989, abs=1e-3)
    assert g.share_within(1) == pytest.approx(0.9973, abs=1e-4) and g.share_within(64) < 1e-3
    assert found.high_quality == pytest.approx(g.share_within(2), abs=0.005)
    assert g.mode_coverage(samples, RING, np.full(8, 0.02)) == found
    assert g.mode_coverage(samples, RING, np.r_[[1e-9] * 4, [0.02] * 4]).covered == 4


def test_what_a_model_leaves_out_is_counted(small_blocks):
    one = np.tile(RING[3], (100, 1))
    assert g.mode_coverage(one, RING, 0.02) == pytest.approx((1, 1, np.log(8)))
    halves = np.concatenate([np.tile(RING[:4], (25, 1)), RING[:4].repeat(25, axis=0) + 0.061])
    found = g.mode_coverage(halves, RING, 0.02)
    assert found.covered == 4 and found.high_quality == 0.5 and found.kl == pytest.approx(np.log(2))
    # Between the modes: each has its uniform share, and none is covered.
    between = g.mode_coverage(1.2 * np.tile(RING, (10, 1)), RING, 0.02)
    assert between == pytest.approx((0, 0, 0), abs=1e-12)
    # A tenth of the uniform share of 800 samples is 10, of which 9 are too few.
    few = np.concatenate([np.tile(RING[0], (791, 1)), np.tile(RING[1], (9, 1))])
    assert g.mode_coverage(few, RING, 0.02).covered == 1
    assert g.mode_coverage(few, RING, 0.02, least=0.09).covered == 2
    for std in (0.0, np.ones(7)):
        with pytest.raises(ValueError, match="std must be positive"):
            g.mode_coverage(few, RING, std)


def test_kl_from_uniform():
    assert g.kl_from_uniform([0.25, 0.75, 0, 0]) == pytest.approx(
        np.log(4) + 0.25 * np.log(0.25) + 0.75 * np.log(0.75)
    )
    assert g.kl_from_uniform(np.full(7, 1 / 7)) == pytest.approx(0, abs=1e-15)


def test_memorisation_is_that_of_a_loop(rng):
    train, held_out, generated = rng.normal(size=(3, 150, 4)).astype(np.float32) + 50
    nearest = lambda s: [
        min(np.sqrt(np.square(a - b).sum()) for b in train.astype(float)) for a in s.astype(float)
    ]
    made, real = nearest(generated), nearest(held_out)
    found = g.memorisation(generated, train, held_out)
    assert found.distance_ratio == pytest.approx(np.median(made) / np.median(real), rel=1e-4)
    assert found.close_share == np.mean(np.array(made) <= np.quantile(real, 0.01))
    assert found.distance_ratio == pytest.approx(1, abs=0.2) and found.close_share < 0.05


def test_a_generator_that_copies_is_caught(rng):
    train, held_out, fresh = rng.normal(size=(3, 400, 6)).astype(np.float32)
    copies = train[::-1]
    assert g.memorisation(copies, train, held_out) == (0, 1)
    nearly = g.memorisation(copies + 1e-3, train, held_out)
    assert nearly.distance_ratio < 0.01 and nearly.close_share == 1
    mixed = g.memorisation(np.concatenate([copies[:200], fresh[:200]]), train, held_out)
    assert mixed.close_share == pytest.approx(0.505, abs=0.02)
    # A few held-out rows that are training rows by chance do not hide the copies.
    held_out[:10] = train[:10]
    assert g.memorisation(copies, train, held_out) == (0, 1)
    with pytest.raises(ValueError, match="most held-out rows are training rows"):
        g.memorisation(fresh, train, train)


@pytest.mark.parametrize("m", [3, 200, 10**9])
def test_blocks_divide_the_rows(m):
    slices = list(itertools.islice(pairs.blocks(1000, m), 2000))
    assert [i for s in slices for i in range(s.start, s.stop)] == list(range(1000))
    assert all((s.stop - s.start) * m <= pairs._BLOCK or s.stop - s.start == 1 for s in slices)
