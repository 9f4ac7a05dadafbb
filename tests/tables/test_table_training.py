"""One update against formulas written out, and what surrounds it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unsupjax.tables import from_columns, networks, table_gan, training, transform, view

SMALL = {
    "generator_features": (8,),
    "critic_features": (8,),
    "noise_dim": 4,
    "batch_size": 12,
    "dropout": 0.0,
}
PACKED = training.Settings(pack=3, steps=10, ema=0.9, **SMALL)


@pytest.fixture(scope="module")
def prepared():
    random = np.random.default_rng(0)
    x = random.normal(size=60)
    table = from_columns({"x": x, "c": np.where(x > 0, "a", "b"), "d": random.choice(["p", "q", "r"], 60)})
    return table_gan.prepare(transform.fit(table, modes=3), table)


def close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def where(moment, tree):
    return jax.tree.map(lambda m, x: np.where(np.abs(m) > 1e-3, x, 0), moment, tree)


def test_the_norm_of_a_penalty_is_over_the_pack():
    slope, random = jnp.array([3.0, 4.0]), np.random.default_rng(0)
    critic = lambda x: (x @ slope).sum(axis=1)  # of packs of four: its gradient's norm is 5 sqrt(4)
    real, fake = (jnp.asarray(random.normal(size=(6, 4, 2)), jnp.float32) for _ in range(2))
    wasserstein = training.Settings(loss="wasserstein")
    assert training._penalty(wasserstein, critic, real, fake, jax.random.key(0)) == pytest.approx(
        10 * 81, rel=1e-5
    )
    assert training._penalty(training.Settings(penalty=2.0), critic, real, fake, None) == pytest.approx(
        200, rel=1e-5
    )


def test_packs_hold_neighbouring_rows(prepared):
    layout, data = prepared
    asked = jnp.arange(12) % 5
    vectors = data.vectors[:12]
    packs = training._packs(layout, PACKED, data, vectors, asked)
    assert packs.shape[:2] == (4, 3)
    one = view.see(data.view, layout, vectors[7:8], jax.nn.one_hot(asked[7:8], 5))
    np.testing.assert_allclose(packs[2, 1], one[0], atol=1e-6)


def test_a_step_against_formulas(prepared):
    (layout, data), settings = prepared, PACKED
    state = training.init(layout, settings, jax.random.key(1), data)
    key = jax.random.key(2)
    _, critic_net = training.networks(layout, settings)
    logits = lambda params, x: critic_net.apply({"params": params}, x)
    keys = jax.random.split(jax.random.fold_in(key, 0), settings.critic_steps + 1)
    b1, b2, eps = 0.5, 0.9, 1e-8

    def adam(params, gradient, m, v, t, rate):
        """Adam written out, with weight decay in the gradient."""
        gradient = jax.tree.map(lambda g, p: g + 1e-6 * p, gradient, params)
        m = jax.tree.map(lambda a, g: b1 * a + (1 - b1) * g, m, gradient)
        v = jax.tree.map(lambda a, g: b2 * a + (1 - b2) * g**2, v, gradient)
        move = lambda p, a, b: p - rate * (a / (1 - b1**t)) / (jnp.sqrt(b / (1 - b2**t)) + eps)
        return jax.tree.map(move, params, m, v), m, v

    @jax.jit
    def plain(state):
        critic = state.critic
        m = v = jax.tree.map(jnp.zeros_like, critic)
        for i, k in enumerate(keys[:-1]):
            for_rows, for_fake, *_ = jax.random.split(k, 4)
            asked, real = training._batch(layout, settings, for_rows, data)
            fake, *_ = training.generate(
                layout, settings, state.generator, state.stats, data.latent, for_fake, asked, True
            )
            real, fake = (training._packs(layout, settings, data, x, asked) for x in (real, fake))

            def objective(params, real=real, fake=fake):
                r, f = logits(params, real), logits(params, fake)
                slope = jax.vmap(jax.grad(lambda one: logits(params, one[None])[0]))
                squares = [(slope(x) ** 2).sum(axis=(1, 2)).mean() for x in (real, fake)]
                return jnp.log1p(jnp.exp(f - r)).mean() + 0.05 * sum(squares)

            critic, m, v = adam(critic, jax.grad(objective)(critic), m, v, i + 1, 1e-3)

        for_rows, for_fake, _ = jax.random.split(keys[-1], 3)
        asked, real = training._batch(layout, settings, for_rows, data)

        def objective(params):
            fake, found, _ = training.generate(
                layout, settings, params, state.stats, data.latent, for_fake, asked, True
            )
            r, f = (logits(critic, training._packs(layout, settings, data, x, asked)) for x in (real, fake))
            adversarial = jnp.log1p(jnp.exp(r - f)).mean()
            log_p = jnp.concatenate(
                [jax.nn.log_softmax(found[:, -5:-3]), jax.nn.log_softmax(found[:, -3:])], axis=1
            )
            return adversarial - log_p[jnp.arange(12), asked].mean()

        zero = jax.tree.map(jnp.zeros_like, state.generator)
        generator, n, _ = adam(state.generator, jax.grad(objective)(state.generator), zero, zero, 1, 1e-3)
        return critic, m, generator, n

    critic, m, generator, n = plain(state)
    new, metrics = training.train(layout, settings, key, data, state, 1)
    close(new.opt_critic[1][0].mu, m, rtol=1e-2, atol=1e-4)
    close(new.opt_generator[1][0].mu, n, rtol=1e-2, atol=1e-4)
    # Adam makes a whole step of a gradient that is rounding alone, so parameters are compared where there is one.
    for found, expected, moment in ((new.critic, critic, m), (new.generator, generator, n)):
        close(*(where(moment, x) for x in (found, expected)), rtol=1e-3, atol=2e-5)
    average = jax.tree.map(lambda a, b: settings.ema * a + (1 - settings.ema) * b, state.ema, new.generator)
    close(new.ema, average, rtol=1e-5, atol=1e-7)
    assert new.step == 1 and np.isfinite(metrics).all()
    moved = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), new.generator, state.generator)
    assert max(jax.tree.leaves(moved)) > 5e-4


def test_real_rows_have_the_categories_asked_for(prepared):
    layout, data = prepared
    asked, rows = jax.jit(lambda key: training._batch(layout, PACKED, key, data))(jax.random.key(0))
    assert (rows[jnp.arange(12), layout.width - 5 + asked] == 1).all()


def test_the_rate_falls_to_zero_for_both():
    for each in (1, 5):
        tx = training.optimizer(training.Settings(steps=4, weight_decay=0.0), each)
        params = jnp.ones(())
        state, moves = tx.init(params), []
        for _ in range(4 * each + 1):
            update, state = tx.update(jnp.ones(()), state, params)
            params = optax.apply_updates(params, update)
            moves.append(-float(update))
        assert moves[0] == pytest.approx(1e-3, rel=1e-3) and moves[-1] == 0 and moves[-2] > 0


def test_layout(prepared):
    layout, data = prepared
    assert layout.width == data.vectors.shape[1] == layout.scalars + sum(layout.hots)
    assert layout.categories == (2, 3) and isinstance(layout, networks.Layout)
