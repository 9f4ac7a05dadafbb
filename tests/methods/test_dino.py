"""DINO's step against a second implementation, its local views, and what it says of a collapse."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unsupjax import augment, methods, models
from unsupjax.methods.dino import _certainty
from unsupjax.methods.parts.views import local_views, two_views

B, K, RATE = 6, 7, 0.1
X = np.random.default_rng(0).random((B, 5, 5, 1), np.float32)
NETWORKS = (models.MLPEncoder((9,)), models.ProjectionHead((8, 4)))
HEALTHY = {"teacher_divergence": 0.5, "teacher_entropy": 1.0, "prototypes_used": 5.0, "embedding_std": 0.8}


def views(key, x):
    return tuple(augment.gaussian_noise(k, x, 0.3) for k in jax.random.split(key))


def make(encoder=NETWORKS[0], tx=None, **arguments):
    settings = {"augment": views, "total_steps": 10, "prototypes": K, "warmup": 0.5} | arguments
    return methods.dino(encoder, NETWORKS[1], tx or optax.sgd(RATE), **settings)


def logits(params, stats, x):
    """Cosines with the prototypes, written out; and the statistics."""
    new = dict(stats)
    for name, module in zip(("encoder", "projector"), NETWORKS, strict=True):
        variables = {"params": params[name], "batch_stats": stats[name]}
        x, changed = module.apply(variables, x, train=True, mutable=["batch_stats"])
        new[name] = changed.get("batch_stats", {})
    kernel = params["prototypes"]["Dense_0"]["kernel"]
    unit = lambda v, axis: v / jnp.linalg.norm(v, axis=axis, keepdims=True)
    return unit(x, 1) @ unit(kernel, 0), new


def test_a_step_is_that_of_a_second_implementation():
    method = make(momentum=0.9, center_momentum=0.8, local_count=3)
    state = jax.jit(method.init)(jax.random.key(0), X)
    moved = jax.tree.map(lambda p: 1.1 * p + 0.02, state.teacher_params)
    center = jnp.linspace(-0.3, 0.3, K)
    state = state._replace(step=jnp.array(1), teacher_params=moved, center=center)
    new, metrics = jax.jit(method.step)(state, X)

    key, local_key = jax.random.split(jax.random.fold_in(state.key, 1))
    pair = two_views(views, key, X, None)
    local = local_views(views, local_key, X, 3, (0.05, 0.4), (5, 5), None)
    teachers = [logits(state.teacher_params, state.teacher_stats, x)[0] for x in pair]
    heat = 0.04 + 0.03 / 5  # after one of five steps from 0.04 to 0.07
    targets = [jax.nn.softmax((t - center[None]) / heat) for t in teachers]

    def loss(params):
        both = [logits(params, state.stats, x)[0] for x in pair]
        small = logits(params, state.stats, local.reshape(3 * B, 5, 5, 1))[0].reshape(B, 3, K)
        q = [jax.nn.log_softmax(s / 0.1) for s in (*both, small[:, 0], small[:, 1], small[:, 2])]
        pairs = [(0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 2), (1, 3), (1, 4)]  # teacher's view, student's
        return -sum((targets[t] * q[s]).sum() / B for t, s in pairs) / 8

    value, grads = jax.jit(jax.value_and_grad(loss))(state.params)
    np.testing.assert_allclose(metrics["loss"], value, rtol=1e-5)
    np.testing.assert_allclose(metrics["teacher_temperature"], heat, rtol=1e-6)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)
    jax.tree.map(close, new.params, jax.tree.map(lambda p, g: p - RATE * g, state.params, grads))
    tau = 1 - 0.1 * (np.cos(np.pi / 10) + 1) / 2
    jax.tree.map(
        close, new.teacher_params, jax.tree.map(lambda t, s: tau * t + (1 - tau) * s, moved, new.params)
    )
    close(new.center, 0.8 * center + 0.2 * jnp.concatenate(teachers).mean(axis=0))
    finished = method.finish(new)
    jax.tree.map(np.testing.assert_array_equal, finished.params, new.teacher_params)
    jax.tree.map(np.testing.assert_array_equal, finished.stats, new.teacher_stats)
    jax.tree.map(np.testing.assert_array_equal, method.finish(finished).params, finished.params)


def test_prototypes_are_directions():
    """Neither the length of an input nor that of a weight changes a logit; a zero input has one of 0."""
    module = models.Prototypes(3)
    x = np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32)
    params = module.init(jax.random.key(0), x)
    y = module.apply(params, x)
    assert y.shape == (4, 3) and np.abs(y).max() <= 1
    longer = jax.tree.map(lambda w: 7 * w, params)
    np.testing.assert_allclose(module.apply(longer, 3 * x), y, rtol=1e-5, atol=1e-6)
    zero, slope = jax.value_and_grad(lambda x: module.apply(params, x).sum())(jnp.zeros((1, 5)))
    assert zero == 0 and np.isfinite(slope).all()


@pytest.mark.parametrize("count", [1, 4])
def test_local_views_are_small_parts_drawn_for_each_example(count):
    ramp = jnp.broadcast_to(jnp.linspace(0, 1, 12)[None, :, None, None], (3, 12, 12, 1))
    same = lambda key, x: (x, x + 10)
    draw = lambda x: local_views(same, jax.random.key(2), x, count, (0.05, 0.2), (4, 4), None)
    parts = np.asarray(draw(ramp))
    assert parts.shape == (3, count, 4, 4, 1)
    np.testing.assert_array_equal(draw(ramp[:2]), parts[:2])
    second = (parts > 5).all(axis=(2, 3, 4))  # of the pair: as many as of the first
    assert (second.sum(axis=1) == count // 2).all()
    spread = np.ptp(parts.reshape(3 * count, -1), axis=1)
    assert (spread < 0.6).all() and len(np.unique(parts[..., 0, 0, 0])) > 1


def test_smaller_local_views_need_an_encoder_of_any_size():
    cnn = make(models.CNN((4, 4)), local_count=2, local_size=3)
    jax.eval_shape(lambda key: cnn.step(cnn.init(key, X), X), jax.random.key(0))
    with pytest.raises(ValueError, match="the encoder takes images of 5 x 5 alone; leave local_size at 0"):
        make(local_count=2, local_size=3).init(jax.random.key(0), X)
    with pytest.raises(ValueError, match=r"local views are of images .* have the shape \(25,\)"):
        make(local_count=2).init(jax.random.key(0), X.reshape(B, 25))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"student_temperature": 0.0}, "student_temperature=0.0 must be above 0"),
        ({"first_teacher_temperature": float("nan")}, "first_teacher_temperature=nan must be above 0"),
        ({"prototypes": 1}, "prototypes=1 must be at least 2"),
        ({"center_momentum": 1.0}, r"center_momentum=1.0 must lie in \[0, 1\): with 1 the centre stays 0"),
        ({"momentum": 1.5}, r"momentum=1.5 must lie in \[0, 1\]"),
        ({"warmup": -0.1}, r"warmup=-0.1 must lie in \[0, 1\]"),
        ({"local_count": -1}, "local_count=-1 must not be negative"),
        ({"local_count": 2, "local_area": (0.5, 0.2)}, r"local_area=\(0.5, 0.2\): lowest and highest share"),
        ({"local_size": 4}, "local_size=4 has no effect without local views"),
        (
            {"local_count": 2, "augment": augment.scarf((5, 5, 1))},
            "draws from other examples has no local views",
        ),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def certainty(targets):
    """The metrics of a teacher with those probabilities, by logits that give them at temperature 1."""
    t = jnp.log(jnp.asarray(targets, jnp.float32))
    return {k: float(v) for k, v in _certainty(2.0, [t, t], jnp.zeros(t.shape[1]), 1.0, None).items()}


def test_entropies_of_known_teachers():
    halves = certainty(np.eye(4)[[0, 1, 0, 1]] * (1 - 4e-7) + 1e-7)
    np.testing.assert_allclose(halves["teacher_entropy"], 0, atol=1e-4)
    np.testing.assert_allclose(halves["teacher_divergence"], 2, atol=1e-4)
    np.testing.assert_allclose(halves["prototypes_used"], 2, rtol=1e-4)
    uniform = certainty(np.full((3, 4), 0.25))
    np.testing.assert_allclose(uniform["teacher_entropy"], np.log(4), rtol=1e-5)
    np.testing.assert_allclose(uniform["prototypes_used"], 4, rtol=1e-5)


def test_each_collapse_is_said_in_plain_words():
    diagnose = make().diagnose
    assert diagnose(HEALTHY) is None
    uniform = {"teacher_entropy": np.log(K) - 1e-4, "teacher_divergence": 1e-4, "prototypes_used": 6.99}
    assert "every prototype as likely as any other" in diagnose(HEALTHY | uniform)
    assert (
        diagnose(HEALTHY | uniform | {"teacher_divergence": 0.3}) is None
    )  # the student says otherwise still
    assert "all examples to one prototype" in diagnose(HEALTHY | {"prototypes_used": 1.0001})
    assert "the encoder has collapsed" in diagnose(HEALTHY | {"embedding_std": 0.01})


def test_with_too_warm_a_teacher_it_collapses_and_says_so():
    """Section 5.3 of the paper: centring alone ends at all prototypes alike."""
    warm = {"teacher_temperature": 4.0, "first_teacher_temperature": 4.0, "student_temperature": 0.5}
    method = make(tx=optax.adam(3e-2), momentum=0.5, **warm)
    state, step = jax.jit(method.init)(jax.random.key(0), X), jax.jit(method.step)
    for _ in range(60):
        state, metrics = step(state, X)
    said = method.diagnose({k: float(v) for k, v in metrics.items()})
    assert said is not None and "every prototype as likely" in said
