"""Independent columns, the Gaussian copula, and the generator's start, which is that copula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from unsupjax.data.kinds.table import fit as fit_kind
from unsupjax.methods.parts import copula, tabular
from unsupjax.tables import baselines, from_columns


@pytest.fixture(scope="module")
def table():
    """500 rows, two of three columns of numbers related and one with missing numbers; and a category of one row."""
    random = np.random.default_rng(0)
    x = random.normal(size=500)
    z = np.where(random.random(500) < 0.1, np.nan, random.gamma(2, size=500))
    city = np.where(x > 0.5, "Bonn", "Köln")
    city[0] = "Ulm"
    columns = {"x": x.round(4), "y": (x + random.normal(0, 0.3, 500)).round(4), "z": z, "city": city}
    return from_columns(columns)


def test_marginals(table):
    new = baselines.sample_marginals(baselines.fit_marginals(table), 0, 20_000)
    for real, synthetic in zip(table.values, new.values, strict=True):
        values, counts = np.unique(real, return_counts=True)
        found, found_counts = np.unique(synthetic, return_counts=True)
        assert len(found) <= len(values) and np.isin(found[found == found], values).all()
        if len(found) == len(values):
            np.testing.assert_allclose(found_counts / 20_000, counts / 500, atol=0.012)
    assert abs(np.corrcoef(new.values[0], new.values[1])[0, 1]) < 0.03
    assert np.isnan(new.values[2]).mean() == pytest.approx(np.isnan(table.values[2]).mean(), abs=0.01)


def test_copula(table):
    new = baselines.sample_copula(baselines.fit_copula(table), 0, 20_000)
    real, synthetic = (scipy.stats.spearmanr(t.values[0], t.values[1])[0] for t in (table, new))
    assert real > 0.9 and synthetic == pytest.approx(real, abs=0.02)
    bonn = [(t.values[3] == "Bonn").mean() for t in (table, new)]
    assert bonn[1] == pytest.approx(bonn[0], abs=0.015)
    assert new.values[0][new.values[3] == "Bonn"].mean() > new.values[0][new.values[3] == "Köln"].mean() + 0.5


def test_scores_are_normal(table):
    z = copula.normal_scores(table.values, 0)
    for column in z.T:
        assert scipy.stats.kstest(column, "norm").pvalue > 0.01
    assert (np.diff(table.values[0][np.argsort(z[:, 0])]) >= 0).all()


def test_factor_of_a_singular_covariance():
    covariance = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 2.0]])
    found = copula.factor(covariance)
    np.testing.assert_allclose(found @ found.T, covariance, atol=1e-12)


def of_rows(table, **options):
    """The kind, the layout, and the latents of a table."""
    kind = fit_kind(table.structured(), table.columns, missing=True, numbers="modes")
    layout = tabular.layout(kind)
    return kind, layout, copula.fit(kind, layout, table.values, **options)


@pytest.mark.thorough
def test_the_start_is_the_copula(table):
    """The same scores make the same rows, as far as the table of quantiles is fine enough."""
    (kind, layout, prior), fitted = of_rows(table), baselines.fit_copula(table)
    order = [*layout.numbers, *layout.categories]
    z = np.random.default_rng(1).multivariate_normal(np.zeros(4), fitted.factor @ fitted.factor.T, 2000)
    expected = baselines._quantiles(fitted.marginals, scipy.stats.norm.cdf(z))
    logits, scalars = copula.start(layout, prior, jnp.asarray(z[:, order], jnp.float32))
    hots = tabular.by_group(lambda x: jax.nn.one_hot(x.argmax(-1), x.shape[-1]), layout.hots, logits)
    modes = sum(layout.modes)
    scalar = tabular.by_group(lambda x: x.sum(-1), layout.modes, hots[:, :modes] * jnp.tanh(scalars))
    start = kind.values(tabular.placed(layout, jnp.concatenate([scalar, hots], axis=1)))
    for j in range(3):
        a, b = expected.values[j], start[j]
        assert (np.isnan(a) == np.isnan(b)).mean() > 0.998
        far = np.abs(a - b) > 0.05 * np.nanstd(a)
        assert far[~np.isnan(a)].mean() < 0.03
    assert (expected.values[3] == start[3]).mean() > 0.998


def test_without_the_copula_the_start_is_silent(table):
    _, layout, prior = of_rows(table, copula=False)
    prior = jax.tree.map(jnp.asarray, prior)
    logits, scalars = copula.start(layout, prior, jnp.ones((2, 4)))
    assert not logits.any() and not scalars.any() and not prior.mean.any()
    np.testing.assert_array_equal(prior.factor[0], np.eye(4))


@pytest.mark.thorough
def test_scores_of_a_category(table):
    kind, layout, prior = of_rows(table, seed=3)
    order = [*layout.numbers, *layout.categories]
    scores = copula.normal_scores([table.values[i] for i in order], 3)
    a = kind.columns[3].values.index("Bonn")
    own = scores[table.values[3] == "Bonn"]
    np.testing.assert_allclose(prior.mean[a], own.mean(axis=0), atol=0.05)
    covariance = prior.factor[a] @ prior.factor[a].T
    np.testing.assert_allclose(covariance, np.cov(own.T, bias=True), atol=0.05)
    prior = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), prior)
    normal = jax.random.normal(jax.random.key(0), (4000, 4))
    drawn = copula.draw(layout, prior, normal, jnp.full(4000, a))
    np.testing.assert_allclose(drawn.mean(axis=0)[:3], own.mean(axis=0)[:3], atol=0.08)
    # It is cut off at the interval's edges.
    np.testing.assert_allclose(drawn[:, 3].std(), own[:, 3].std(), rtol=0.25)
    # Whatever is drawn, the start has the category that was asked for.
    for category in range(3):
        z = copula.draw(layout, prior, normal[:500], jnp.full(500, category))
        logits, _ = copula.start(layout, prior, z)
        assert (logits[:, -3:].argmax(axis=1) == category).mean() > 0.99


def test_a_category_that_no_row_has(table):
    """One that the held-out rows alone have: nothing is said of it, and nothing breaks."""
    kept = table.take(np.flatnonzero(table.values[3] != "Ulm"))
    kind = fit_kind(kept.structured(), table.columns, missing=True, numbers="modes", whole=table.structured())
    layout = tabular.layout(kind)
    prior = copula.fit(kind, layout, kept.values)
    assert layout.sizes == (3,) and all(np.isfinite(part).all() for part in prior)
    assert not (prior.logits[:, -3:][:, kind.columns[3].values.index("Ulm")] > 0).any()
