"""The GAN step against a plain one written out, and its pitfalls one by one."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unsupjax import losses, methods, models
from unsupjax.methods.gan import diagnose
from unsupjax.methods.parts.latents import great_circle
from unsupjax.numerics.spectral import power_iteration

D, LATENT, BATCH = 5, 3, 4


class Linear(nn.Module):
    """`z A`: a generator, whose classes shift its samples."""

    classes: int = 0

    @nn.compact
    def __call__(self, z, label=None, train=False):
        x = nn.Dense(D, use_bias=False)(z)
        return x if label is None else x + nn.Embed(self.classes, D)(label)


class Bilinear(nn.Module):
    """`tanh(x W) v`: a discriminator with features."""

    classes: int = 0

    @nn.compact
    def __call__(self, x, label=None, train=False, features=False):
        h = nn.tanh(nn.Dense(4)(x))
        logits = nn.Dense(1)(h)[:, 0]
        if label is not None:
            logits = logits + nn.Embed(self.classes, 1)(label)[:, 0]
        return h if features else logits


def make(generator=None, discriminator=None, **arguments):
    tx = optax.sgd(0.05)
    pair = (generator or Linear(), discriminator or Bilinear())
    method = methods.gan(*pair, tx, tx, **{"latent_dim": LATENT, "ema": 0.5} | arguments)
    return method._replace(init=jax.jit(method.init), step=jax.jit(method.step))


def real(key=0, n=BATCH):
    return jax.random.normal(jax.random.key(key), (n, D))


def keys_of(state, index, n):
    key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), index)
    return jnp.stack([jax.random.split(jax.random.fold_in(key, i), 4) for i in range(n)])


def by_hand(state, x, *, loss, penalty, weight, every, n_critic, ema, rate=0.05):
    """A step of plain loops: one example at a time, gradients of hand-written sums."""
    judge = lambda d, x: (
        jnp.tanh(x @ d["Dense_0"]["kernel"] + d["Dense_0"]["bias"][None]) @ d["Dense_1"]["kernel"]
    )
    logits = lambda d, x: judge(d, x)[:, 0] + d["Dense_1"]["bias"]
    make = lambda g, keys: (
        jnp.stack([jax.random.normal(k[0], (LATENT,)) for k in keys]) @ g["Dense_0"]["kernel"]
    )
    down = lambda p, grads: jax.tree.map(lambda a, b: a - rate * b, p, grads)
    g, d = state.generator, state.discriminator
    pair = losses.GAN_LOSSES[loss]
    for i in range(n_critic):
        part = x[i::n_critic]
        keys = keys_of(state, i, len(part))
        fake = make(g, keys)

        def loss_d(d, part=part, fake=fake, keys=keys, i=i):
            value = pair.discriminator(logits(d, part), logits(d, fake)).mean()
            if (int(state.step) * n_critic + i) % every:
                return value
            slope = lambda d, x: jax.grad(lambda x: logits(d, x[None])[0])(x)
            total = 0.0
            for a, b, key in zip(part, fake, keys[:, 3], strict=True):
                if penalty == "wgan_gp":
                    e = jax.random.uniform(key)
                    norm = jnp.sqrt((slope(d, e * a + (1 - e) * b) ** 2).sum() + 1e-12)
                    total += (norm - 1) ** 2
                else:
                    total += (slope(d, a) ** 2).sum() / 2 + (slope(d, b) ** 2).sum() / 2
            return value + weight * every * total / len(part)

        d = down(d, jax.grad(loss_d)(d))
    keys = keys_of(state, n_critic, len(part))
    loss_g = lambda g: pair.generator(logits(d, part), logits(d, make(g, keys))).mean()
    g = down(g, jax.grad(loss_g)(g))
    tau = min(ema, (1 + int(state.step)) / (10 + int(state.step)))
    average = jax.tree.map(lambda a, b: tau * a + (1 - tau) * b, state.average, g)
    return g, d, average


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("loss", "penalty", "n_critic", "every"),
    [("relativistic", "r1_r2", 1, 1), ("wasserstein", "wgan_gp", 2, 1), ("hinge", "r1_r2", 2, 3)],
)
def test_a_step_is_the_one_written_out(loss, penalty, n_critic, every):
    settings = {"loss": loss, "penalty": penalty, "n_critic": n_critic}
    method = make(**settings, penalty_weight=2.0, penalty_every=every)
    state = method.init(jax.random.key(1), real())
    for i in range(2):  # of which the last penalises by its second update, where every third does
        expected = by_hand(state, real(i), **settings, weight=2.0, every=every, ema=0.5)
        state, _ = method.step(state, real(i))
        for got, want in zip((state.generator, state.discriminator, state.average), expected, strict=True):
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6), got, want)


def test_every_critic_update_sees_other_examples_and_other_samples():
    method = make(n_critic=2)
    state = method.init(jax.random.key(1), real())
    whole, _ = method.step(state, real())
    twice, _ = method.step(state, jnp.repeat(real()[::2], 2, axis=0))
    assert not np.allclose(whole.discriminator["Dense_0"]["kernel"], twice.discriminator["Dense_0"]["kernel"])
    with pytest.raises(ValueError, match="n_critic=2 does not divide the 7"):
        method.step(state, real(n=7))


@pytest.mark.thorough
def test_power_iteration_runs_in_the_discriminators_updates_alone():
    discriminator = models.MLPDiscriminator(features=(4,), spectral=True)
    steps = {}
    for n_critic in (1, 2):
        method = make(discriminator=discriminator, n_critic=n_critic, loss="hinge", ema=0.0)
        state = method.init(jax.random.key(1), real())
        frozen = state._replace(opt_d=state.opt_d)
        after, _ = method.step(frozen, real())
        steps[n_critic] = (state, after)
    state, after = steps[1]
    once = power_iteration(state.discriminator, state.spectral)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), after.spectral, once)
    state, after = steps[2]
    once = power_iteration(state.discriminator, state.spectral)
    close = jax.tree.map(lambda a, b: np.allclose(a, b, rtol=1e-4, atol=1e-5), after.spectral, once)
    assert not all(jax.tree.leaves(close))


class Normed(nn.Module):
    """A generator with batch norm."""

    @nn.compact
    def __call__(self, z, label=None, train=False):
        h = nn.BatchNorm(use_running_average=not train, momentum=0.5)(nn.Dense(D)(z))
        return nn.Dense(D)(h)


def test_the_average_generator_has_batch_statistics_of_its_own():
    method = make(generator=Normed(), ema=0.9)
    state = method.init(jax.random.key(1), real())
    for i in range(3):
        before = state
        state, _ = method.step(state, real(i))
    z = jnp.stack([jax.random.normal(k[0], (LATENT,)) for k in keys_of(before, 1, BATCH)])
    hidden = z @ state.average["Dense_0"]["kernel"] + state.average["Dense_0"]["bias"][None]
    expected = 0.5 * before.average_stats["BatchNorm_0"]["mean"] + 0.5 * hidden.mean(axis=0)
    np.testing.assert_allclose(state.average_stats["BatchNorm_0"]["mean"], expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(state.generator_stats["BatchNorm_0"]["mean"], expected, atol=1e-4)


class NormedCritic(nn.Module):
    """A discriminator with batch norm."""

    @nn.compact
    def __call__(self, x, label=None, train=False, features=False):
        h = nn.tanh(nn.BatchNorm(use_running_average=not train)(nn.Dense(4)(x)))
        return h if features else nn.Dense(1)(h)[:, 0]


class MinibatchStd(nn.Module):
    """A discriminator whose answer depends on the spread of the batch."""

    @nn.compact
    def __call__(self, x, label=None, train=False, features=False):
        spread = jnp.broadcast_to(x.std(axis=0).mean(), (len(x), 1))
        h = nn.tanh(nn.Dense(4)(jnp.concatenate([x, spread], axis=1)))
        return h if features else nn.Dense(1)(h)[:, 0]


def test_penalties_refuse_a_discriminator_that_mixes_examples():
    with pytest.raises(ValueError, match="without batch norm"):
        jax.eval_shape(make(discriminator=NormedCritic(), penalty="r1").init, jax.random.key(0), real())
    with pytest.raises(ValueError, match="depends on no other example"):
        jax.eval_shape(make(discriminator=MinibatchStd(), penalty="r1").init, jax.random.key(0), real())
    make(discriminator=NormedCritic()).init(jax.random.key(0), real())


def test_a_joint_batch_has_one_set_of_statistics():
    states = {}
    for batches in ("separate", "joint"):
        method = make(discriminator=NormedCritic(), batches=batches)
        state = method.init(jax.random.key(1), real())
        states[batches], _ = method.step(state, real() + 3)
    hidden = lambda x: (
        x @ state.discriminator["Dense_0"]["kernel"] + state.discriminator["Dense_0"]["bias"][None]
    )
    z = jnp.stack([jax.random.normal(k[0], (LATENT,)) for k in keys_of(state, 0, BATCH)])
    fake = z @ state.generator["Dense_0"]["kernel"]
    joint = hidden(jnp.concatenate([real() + 3, fake])).mean(axis=0)
    got = states["joint"].discriminator_stats["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(got, 0.01 * joint, rtol=1e-4, atol=1e-6)
    assert not np.allclose(states["separate"].discriminator_stats["BatchNorm_0"]["mean"], got)


@pytest.mark.thorough
def test_labels_reach_both_networks_and_choose_samples():
    method = make(labels=3)
    batch = (real(), jnp.arange(BATCH) % 3)
    state = method.init(jax.random.key(1), batch)
    after, _ = method.step(state, batch)
    for network in ("generator", "discriminator"):
        moved = (
            getattr(after, network)["Embed_0"]["embedding"] - getattr(state, network)["Embed_0"]["embedding"]
        )
        assert (np.abs(moved).max(axis=1) > 0).all()
    x = method.sample(state, jax.random.key(2), 6)
    z = jnp.stack([jax.random.normal(jax.random.fold_in(jax.random.key(2), i), (LATENT,)) for i in range(6)])
    shift = state.average["Embed_0"]["embedding"][jnp.arange(6) % 3]
    np.testing.assert_allclose(x, z @ state.average["Dense_0"]["kernel"] + shift, rtol=1e-5, atol=1e-6)
    assert method.interpolate(state, jax.random.key(0), 2, 4).shape == (2, 4, D)


@pytest.mark.thorough
def test_the_gradient_passes_through_diff_augment():
    shape = (8, 8, 1)
    pair = (models.MLPGenerator(shape, (8,), output="unit"), models.MLPDiscriminator((8,)))
    images = jax.random.uniform(jax.random.key(0), (4, *shape))
    steps = {}
    for ops in ((), ("colour", "translation", "cutout")):
        method = make(*pair, diff_augment=ops)
        state = method.init(jax.random.key(1), images)
        steps[ops], _ = method.step(state, images)
        change = jax.tree.map(lambda a, b: np.abs(a - b).max(), steps[ops].generator, state.generator)
        assert all(x > 0 for x in jax.tree.leaves(change))
    plain, changed = (s.discriminator["Dense_0"]["kernel"] for s in steps.values())
    assert not np.allclose(plain, changed)


def test_great_circles_keep_lengths_and_ends():
    a, b = (jax.random.normal(jax.random.key(i), (4, 100)) for i in range(2))
    at = functools.partial(great_circle, a, b)
    np.testing.assert_allclose(at(0.0), a, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(at(1.0), b, rtol=1e-4, atol=1e-5)
    length = lambda x: np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(length(at(0.5)), (length(a) + length(b)) / 2, rtol=1e-4)


HEALTHY = {
    "loss": 1.0,
    "generator_loss": 1.0,
    "diversity": 0.9,
    "discriminator_accuracy": 0.8,
    "real_logit": 1.0,
    "fake_logit": -1.0,
}


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"diversity": 0.01}, "generator has collapsed"),
        ({"generator_loss": -1e7}, "losses run away"),
        ({"discriminator_accuracy": 1.0, "fake_logit": -30.0}, "tells every sample from the data"),
    ],
)
def test_a_sick_run_says_so(metrics, message):
    assert diagnose(HEALTHY) is None
    assert message in diagnose(HEALTHY | metrics)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "hinged"}, "loss='hinged'; one of"),
        ({"penalty": "gp"}, "penalty='gp'; one of"),
        ({"batches": "both"}, "batches='both'; one of"),
        ({"n_critic": 0}, "n_critic=0 must be at least 1"),
        ({"ema": 1.0}, "ema=1.0 must lie in"),
        ({"diff_augment": ("color",)}, "unknown operation 'color'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        make(**arguments)
