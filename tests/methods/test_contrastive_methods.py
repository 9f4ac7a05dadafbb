"""What the matrix does not see: the mathematics of a step, against a second implementation, and known pitfalls."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unsupjax import augment, methods, models
from unsupjax.methods.moco import enqueued
from unsupjax.methods.parts.keys import key_encoder
from unsupjax.methods.parts.stack import stack, subset
from unsupjax.methods.parts.teacher import cosine_momentum, moved
from unsupjax.methods.parts.views import diagnose, health, two_views
from unsupjax.parallel.mesh import make_mesh, place_batch, replicated

B, D, RATE = 8, 6, 0.1
X = np.random.default_rng(0).normal(size=(3, B, D)).astype(np.float32)


def views(key, x):
    return tuple(augment.gaussian_noise(k, x, 0.5) for k in jax.random.split(key))


def networks(n_heads=1):
    return models.MLPEncoder((12,)), *(models.ProjectionHead((10, 5)) for _ in range(n_heads))


PREDICTING, TAUGHT = ("byol", "moco_v3", "simsiam"), ("byol", "moco_v3", "dino")


def make(name, tx=None, **arguments):
    factory = methods.METHODS[name]
    extra = {"total_steps": 4} if name in TAUGHT else {}
    tx = tx or optax.sgd(RATE)
    modules = networks(2 if name in PREDICTING else 1)
    method = factory(*modules, tx, augment=views, **{**extra, **arguments})
    return method._replace(init=jax.jit(method.init), encode=jax.jit(method.encode))


def unit(z):
    return z / jnp.linalg.norm(z, axis=1, keepdims=True)


def run(modules, params, stats, x):
    """Modules in training mode, one after another; their new statistics."""
    new = {}
    for name, module in modules.items():
        variables = {"params": params[name], "batch_stats": stats[name]}
        x, changed = module.apply(variables, x, train=True, mutable=["batch_stats"])
        new[name] = changed.get("batch_stats", {})
    return x, new


def step_key(state):
    return jax.random.fold_in(state.key, state.step)


def seen(key, x):
    """The two views of a step, example by example."""
    pairs = [views(jax.random.fold_in(key, i), row) for i, row in enumerate(x)]
    return tuple(jnp.stack(v) for v in zip(*pairs, strict=True))


def cross_entropy(logits, target):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), target[:, None], axis=1)[:, 0]


def simclr_loss(params, state, modules):
    x1, x2 = seen(step_key(state), X[0])
    z = unit(run(modules, params, state.stats, jnp.concatenate([x1, x2]))[0])
    logits = jnp.where(jnp.eye(2 * B, dtype=bool), -jnp.inf, z @ z.T / 0.2)
    return cross_entropy(logits, (jnp.arange(2 * B) + B) % (2 * B)).mean()


def byol_loss(params, state, modules):
    x1, x2 = seen(step_key(state), X[0])
    teacher = {k: modules[k] for k in ("encoder", "projector")}
    z1, stats = run(teacher, state.teacher_params, state.teacher_stats, x1)
    z2, _ = run(teacher, state.teacher_params, stats, x2)
    p1, stats = run(modules, params, state.stats, x1)
    p2, _ = run(modules, params, stats, x2)
    cosine = lambda p, z: (unit(p) * unit(z)).sum(axis=1)
    return (4 - 2 * cosine(p1, z2) - 2 * cosine(p2, z1)).mean()


def moco_v3_loss(params, state, modules):
    x1, x2 = seen(step_key(state), X[0])
    teacher = {k: modules[k] for k in ("encoder", "projector")}
    z1, stats = run(teacher, state.teacher_params, state.teacher_stats, x1)
    z2, _ = run(teacher, state.teacher_params, stats, x2)
    p1, stats = run(modules, params, state.stats, x1)
    p2, _ = run(modules, params, stats, x2)
    one = lambda p, z: cross_entropy(unit(p) @ unit(z).T / 0.2, jnp.arange(B)).mean()
    return 2 * 0.2 * (one(p1, z2) + one(p2, z1))


def moco_loss(params, state, modules):
    """Symmetric; the queue is that from before the step, so that k(x1) is no negative of q(x1)."""
    x1, x2 = seen(jax.random.split(step_key(state))[0], X[0])
    k2, stats = run(modules, state.teacher_params, state.teacher_stats, x2)
    k1, _ = run(modules, state.teacher_params, stats, x1)
    q1, stats = run(modules, params, state.stats, x1)
    q2, _ = run(modules, params, stats, x2)

    def one(q, k):
        positive = (unit(q) * unit(k)).sum(axis=1, keepdims=True)
        logits = jnp.concatenate([positive, unit(q) @ state.queue.T], axis=1) / 0.1
        return cross_entropy(logits, jnp.zeros(B, int)).mean()

    return (one(q1, k2) + one(q2, k1)) / 2


def simsiam_loss(params, state, modules):
    below = {k: modules[k] for k in ("encoder", "projector")}
    z, p = [], []
    for x in seen(step_key(state), X[0]):
        z.append(run(below, params, state.stats, x)[0])
        p.append(run({"predictor": modules["predictor"]}, params, state.stats, z[-1])[0])
    cosine = lambda p, z: (unit(p) * unit(jax.lax.stop_gradient(z))).sum(axis=1)
    return -(cosine(p[0], z[1]) + cosine(p[1], z[0])).mean() / 2


def projections(params, state, modules):
    return [run(modules, params, state.stats, x)[0] for x in seen(step_key(state), X[0])]


def barlow_twins_loss(params, state, modules):
    """From rows that are standardised first."""
    standard = lambda z: (z - z.mean(axis=0)[None]) / jnp.sqrt(z.var(axis=0) + 1e-5)[None]
    a, b = map(standard, projections(params, state, modules))
    c = a.T @ b / B
    return sum((1 - c[i, i]) ** 2 if i == j else 5e-3 * c[i, j] ** 2 for i in range(5) for j in range(5))


def vicreg_loss(params, state, modules):
    z = projections(params, state, modules)
    value = 25 * jnp.square(z[0] - z[1]).mean()
    for each in z:
        value += 25 / 2 * jnp.maximum(1 - jnp.sqrt(each.var(axis=0, ddof=1) + 1e-4), 0).mean()
        covariance = jnp.cov(each.T)
        value += (jnp.square(covariance).sum() - jnp.square(jnp.diagonal(covariance)).sum()) / 5
    return value


REFERENCES = {
    "simclr": simclr_loss,
    "byol": byol_loss,
    "moco_v3": moco_v3_loss,
    "moco": moco_loss,
    "simsiam": simsiam_loss,
    "barlow_twins": barlow_twins_loss,
    "vicreg": vicreg_loss,
}


THOROUGH = [pytest.param(name, marks=pytest.mark.thorough) for name in ("simsiam", "barlow_twins", "vicreg")]


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["simclr", "byol", "moco_v3", "moco", *THOROUGH])
def test_one_step_is_that_of_a_second_implementation(name):
    arguments = {"queue_size": 32, "key_statistics": "global"} if name == "moco" else {}
    method = make(name, **arguments)
    state = method.init(jax.random.key(3), X[0])
    heads = networks(2 if name in PREDICTING else 1)
    modules = dict(zip(("encoder", "projector", "predictor"), heads, strict=False))
    loss = lambda params: REFERENCES[name](params, state, modules)
    value, grads = jax.jit(jax.value_and_grad(loss))(state.params)
    new, metrics = jax.jit(method.step)(state, X[0])
    np.testing.assert_allclose(metrics["loss"], value, rtol=1e-5)
    expected = jax.tree.map(lambda p, g: p - RATE * g, state.params, grads)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), new.params, expected)
    codes = method.encode(new, X[0])
    module = modules["encoder"]
    np.testing.assert_allclose(codes, module.apply({"params": new.params["encoder"]}, X[0]), rtol=1e-5)


@pytest.mark.parametrize("name", ["moco", "byol", "dino"])
def test_a_teacher_moves_once_an_update(name):
    """With gradients accumulated over two steps, the first leaves student and teacher where they were."""
    arguments = {"queue_size": 32, "key_groups": 1} if name == "moco" else {}
    method = make(
        name, optax.MultiSteps(optax.sgd(RATE), 2).gradient_transformation(), momentum=0.9, **arguments
    )
    state = method.init(jax.random.key(3), X[0])
    step = jax.jit(method.step)
    once, _ = step(state, X[0])
    twice, _ = step(once, X[1])
    same = lambda a, b: all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))
    assert same(once.params, state.params) and same(once.teacher_params, state.teacher_params)
    assert not same(twice.params, state.params)
    tau = 0.9 if name == "moco" else cosine_momentum(0.9, 1, 4)
    student = subset(twice.params, *state.teacher_params)
    expected = jax.tree.map(lambda t, s: tau * t + (1 - tau) * s, state.teacher_params, student)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), twice.teacher_params, expected
    )


def test_a_teacher_normalises_with_its_batch_and_keeps_statistics_of_its_own():
    method = make("byol")
    step = jax.jit(method.step)
    state, _ = step(method.init(jax.random.key(3), X[0]), X[0])
    teacher, student = (s["projector"]["BatchNorm_0"]["mean"] for s in (state.teacher_stats, state.stats))
    assert np.abs(teacher).max() > 0 and np.abs(student).max() > 0
    other = state._replace(teacher_stats=jax.tree.map(lambda s: s + 5, state.teacher_stats))
    assert step(state, X[1])[1]["loss"] == step(other, X[1])[1]["loss"]


def test_the_momentum_ends_at_one():
    values = [float(cosine_momentum(0.99, k, 100)) for k in (0, 50, 100, 120)]
    np.testing.assert_allclose(values, [0.99, 0.995, 1.0, 1.0], atol=1e-6)
    np.testing.assert_array_equal(moved(jnp.ones(2), jnp.zeros(2), 1.0, optax.EmptyState()), jnp.ones(2))


def test_the_queue_is_a_ring_of_the_latest_keys():
    queue = jnp.zeros((6, 1))
    for step in range(5):
        queue = enqueued(queue, jnp.full((2, 1), step + 1.0), jnp.array(step))
    np.testing.assert_array_equal(queue[:, 0], [4, 4, 5, 5, 3, 3])


def test_the_queue_holds_unit_keys_of_both_views_and_the_loss_leaves_its_plateau():
    """Stuck at ln(K + 1) is what a queue of other lengths gives."""
    method = make("moco", optax.adam(3e-3), queue_size=32, key_groups=2)
    state = method.init(jax.random.key(3), X[0])
    first = state.queue
    step = jax.jit(method.step)
    batches = np.random.default_rng(1).normal(size=(8, B, D)).astype(np.float32)
    state, _ = step(state, X[0])
    assert (np.abs(state.queue - first) > 0).any(axis=1).sum() == 2 * B
    np.testing.assert_allclose(np.linalg.norm(state.queue, axis=1), 1, rtol=1e-5)
    values = []
    for i in range(400):  # eight batches, of which the queue holds the last two; one alone says little
        state, metrics = step(state, batches[i % 8])
        values.append(metrics["loss"])
    assert np.mean(values[360:]) < np.log(33) - 0.5


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"queue_size": 40}, r"queue_size=40 is no multiple of the 16 keys of a step; choose 32"),
        ({"queue_size": 8}, r"choose 16"),
        ({"key_groups": 3, "queue_size": 32}, r"key_groups=3 does not divide the batch of 8"),
        ({"key_groups": 0}, r"key_groups=0 must be at least 1"),
        ({"key_statistics": "synced"}, r"key_statistics='synced'; one of dealt, shuffled, split, global"),
        ({"momentum": 1.5}, r"momentum=1.5 must lie in \[0, 1\]"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make("moco", **arguments).init(jax.random.key(0), X[0])


def keys_of(statistics, head, groups=2):
    joined = stack(encoder=models.MLPEncoder(()), projector=head)
    params, stats = joined.init(jax.random.key(0), X[0])
    return key_encoder(joined, statistics, groups, None)(params, stats, X[0], jax.random.key(1))


def test_keys_of_groups_belong_to_their_examples():
    head = models.ProjectionHead((4,), batch_norm=False)
    dealt, shuffled, plain = (keys_of(s, head)[0] for s in ("dealt", "shuffled", "global"))
    np.testing.assert_allclose(dealt, plain, rtol=1e-5)
    np.testing.assert_allclose(shuffled, plain, rtol=1e-5)


def test_groups_are_normalised_apart():
    """A head that ends in batch norm gives each group the mean 0: neighbours where split, others where shuffled or
    dealt."""
    head = models.ProjectionHead((4,), last_norm=True)
    split, moved_stats = keys_of("split", head)
    np.testing.assert_allclose(split.reshape(2, 4, 4).mean(axis=1), 0, atol=1e-5)
    shuffled = keys_of("shuffled", head)[0]
    order = jax.random.permutation(jax.random.key(1), B)
    np.testing.assert_allclose(shuffled[order].reshape(2, 4, 4).mean(axis=1), 0, atol=1e-5)
    assert np.abs(shuffled.reshape(2, 4, 4).mean(axis=1)).max() > 0.1
    dealt = keys_of("dealt", head)[0]
    np.testing.assert_allclose([dealt[::2].mean(axis=0), dealt[1::2].mean(axis=0)], 0, atol=1e-5)
    assert np.abs(dealt.reshape(2, 4, 4).mean(axis=1)).max() > 0.1
    whole = keys_of("global", head)[1]
    means = [s["projector"]["BatchNorm_0"]["mean"] for s in (moved_stats, whole)]
    np.testing.assert_allclose(*means, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("groups", (8, 16))
def test_groups_are_dealt_over_devices(groups):
    """Exchanged where every device has one example of each, else gathered: keys and moments are those of one device."""
    joined = stack(encoder=models.MLPEncoder(()), projector=models.ProjectionHead((4,), last_norm=True))
    x = np.random.default_rng(3).normal(size=(64, D)).astype(np.float32)
    params, stats = joined.init(jax.random.key(0), x)
    expected, moved = key_encoder(joined, "dealt", groups, None)(params, stats, x, jax.random.key(1))
    over = jax.pmap(key_encoder(joined, "dealt", groups, "data"), "data", in_axes=(None, None, 0, None))
    mapped, of_devices = over(params, stats, x.reshape(8, 8, D), jax.random.key(1))
    np.testing.assert_allclose(mapped.reshape(64, 4), expected, rtol=1e-5, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-5, atol=1e-6), of_devices, moved)
    mesh = make_mesh()
    divided = jax.jit(key_encoder(joined, "dealt", groups, None))(
        *jax.device_put((params, stats), replicated(mesh)), place_batch(x, mesh, "jit"), jax.random.key(1)
    )
    chex.assert_trees_all_close(divided, (expected, moved), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(expected.reshape(-1, groups, 4).mean(axis=0), 0, atol=1e-5)


def test_views_draw_from_an_example_and_its_key_alone():
    x1, x2 = two_views(views, jax.random.key(5), X[0], None)
    np.testing.assert_allclose(x1, seen(jax.random.key(5), X[0])[0], rtol=1e-6)
    shorter, _ = two_views(views, jax.random.key(5), X[0][:3], None)
    np.testing.assert_array_equal(shorter, x1[:3])
    assert not np.array_equal(x1, x2)


def test_health_of_known_embeddings():
    z = jnp.asarray(np.random.default_rng(1).normal(size=(4000, 16)), jnp.float32)
    healthy = health(z, z, None)
    np.testing.assert_allclose(healthy["embedding_std"], 1, atol=0.05)
    np.testing.assert_allclose(healthy["positive_similarity"], 1, atol=1e-5)
    np.testing.assert_allclose(healthy["alignment"], 0, atol=1e-5)
    np.testing.assert_allclose(healthy["negative_similarity"], 0, atol=0.01)
    a, b = X[0], X[1]
    cosines = np.array([[p @ q / np.linalg.norm(p) / np.linalg.norm(q) for q in b] for p in a])
    found = health(jnp.asarray(a), jnp.asarray(b), None)
    np.testing.assert_allclose(found["positive_similarity"], np.diag(cosines).mean(), rtol=1e-4)
    others = cosines[~np.eye(B, dtype=bool)].mean()
    np.testing.assert_allclose(found["negative_similarity"], others, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found["alignment"], (2 - 2 * np.diag(cosines)).mean(), rtol=1e-4)


def test_a_collapse_is_said_in_plain_words():
    same = jnp.ones((64, 8)) + 1e-4 * jax.random.normal(jax.random.key(0), (64, 8))
    metrics = {k: float(v) for k, v in health(same, same, None).items()}
    assert "collapsed" in diagnose(metrics) and "embedding_std" in diagnose(metrics)
    assert diagnose(metrics | {"embedding_std": 0.9}) is None


def test_networks_may_keep_parameters_and_statistics_only():
    import flax.linen as nn

    class Keeps(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            self.variable("cache", "seen", jnp.zeros, ())
            return x

    with pytest.raises(ValueError, match=r"the encoder keeps \['cache'\]"):
        stack(encoder=Keeps()).init(jax.random.key(0), X[0])
