"""Deep embedded clustering, walked through all its phases beside a numpy implementation over the full data."""

import functools

import jax
import numpy as np
import optax
import pytest

from unsupjax import losses, methods
from unsupjax.data.feeds import example_order
from unsupjax.models import MLPDecoder, MLPEncoder

N, K, RATE = 50, 3, 2e-3
SGD = optax.sgd(RATE)
RNG = np.random.default_rng(0)
X = (RNG.normal(size=(K, 6))[np.arange(N) % K] + 0.5 * RNG.normal(size=(N, 6))).astype(np.float32)


@functools.cache
def make(tx=SGD, **arguments):
    """The method and its compiled step."""
    networks = (MLPEncoder(()), MLPDecoder((6,), ()))  # linear, so that numpy knows its gradients
    defaults = {"tolerance": 0.0, "restarts": 2, "pretrain_epochs": 1, "gamma": 20.0}
    method = methods.dec(*networks, tx, examples=N, clusters=K, latent_dim=2, **defaults | arguments)
    return method._replace(init=jax.jit(method.init)), jax.jit(method.step)


def walk(method, step, batch, steps):
    """State before and after each step, and its metrics."""
    state = method.init(jax.random.key(1), X[:batch])
    for i in range(steps):
        before = state
        state, metrics = step(state, X[example_order(np.arange(i * batch, (i + 1) * batch), N, 0)])
        yield i, before, state, metrics


def layers(params):
    """float64: W, b of the code layer, V, c of the decoder, the centres."""
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    decoder = p["decoder"]["Dense_0"]
    return p["code"]["kernel"], p["code"]["bias"], decoder["kernel"], decoder["bias"], p["centers"]


def soft(layers, x):
    z = x @ layers[0] + layers[1]
    q = 1 / (1 + np.square(z[:, None] - layers[4]).sum(axis=2))
    return q / q.sum(axis=1, keepdims=True)


class Reference:
    """numpy, float64: targets recomputed over the full data whenever an update is due."""

    def __init__(self, params, gamma, weight, pretrain, update, tolerance, view=1.0):
        self.now, self.target, self.f = layers(params), None, None
        self.gamma, self.weight, self.pretrain, self.update = gamma, weight, pretrain, update
        self.tolerance, self.changed, self.converged, self.view = tolerance, 1.0, False, view

    def kind(self, epoch):
        if epoch <= self.pretrain:
            return "pretrain" if epoch < self.pretrain else "seed"
        return "refine" if (epoch - self.pretrain - 1) % (self.update + 1) else "update"

    def step(self, i, batch, centers):
        if self.converged:
            return
        positions = range(i * batch, (i + 1) * batch)
        epochs = [p // N for p in positions]
        kinds = {self.kind(e) for e in epochs}
        if not kinds & {"seed", "update"}:
            x = X[example_order(np.array(positions), N, 0)].astype(np.float64)
            self.descend(x, *((1.0, 0.0) if kinds == {"pretrain"} else (self.weight, self.gamma)))
        for p, epoch in zip(positions, epochs, strict=True):
            if p % N == N - 1 and self.kind(epoch) == "seed":
                self.now = (*self.now[:4], np.asarray(centers, np.float64))
            if p % N == N - 1 and self.kind(epoch) == "update":
                q = soft(self.now, X)
                if self.target is not None:
                    self.changed = np.mean(q.argmax(axis=1) != soft(self.target, X).argmax(axis=1))
                    self.converged = self.changed < self.tolerance
                self.target, self.f = self.now, q.sum(axis=0)

    def descend(self, x, weight, gamma):
        w, b, v, c, m = self.now
        seen = self.view * x
        z = seen @ w + b
        error = z @ v + c - seen
        d_output = 2 * weight * error / len(x)
        d_z, d_m = d_output @ v.T, np.zeros_like(m)
        if gamma:
            q = soft(self.target, x)
            p = q**2 / self.f
            p /= p.sum(axis=1, keepdims=True)
            apart = z[:, None] - m
            pull = ((p - soft(self.now, seen)) / (1 + np.square(apart).sum(axis=2)))[:, :, None] * apart
            d_z, d_m = d_z + 2 * gamma * pull.sum(axis=1) / len(x), -2 * gamma * pull.sum(axis=0) / len(x)
        steps = (seen.T @ d_z, d_z.sum(axis=0), z.T @ d_output, d_output.sum(axis=0), d_m)
        self.now = tuple(a - RATE * g for a, g in zip(self.now, steps, strict=True))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "batch, pretrain, update, weight, tolerance, view",
    [
        (16, 2, 1, 1.0, 0.0, 0.7),
        (16, 1, 2, 0.0, 0.0, 1.0),
        (10, 1, 1, 1.0, 0.05, 1.0),
        (50, 1, 2, 0.5, 0.0, 1.0),
    ],
)
def test_every_phase_is_that_of_numpy(batch, pretrain, update, weight, tolerance, view):
    """Also where batches lie across the borders of epochs, where each is an epoch, and on views of the examples."""
    arguments = {"pretrain_epochs": pretrain, "update_epochs": update, "tolerance": tolerance}
    if view != 1:
        arguments["augment"] = lambda key, x: (view * x, x)
    method, step = make(**arguments, reconstruction_weight=weight)
    steps = N * (pretrain + 2 + 4 * (update + 1)) // batch
    start = method.init(jax.random.key(1), X[:batch])
    reference, seen = Reference(start.params, 20.0, weight, pretrain, update, tolerance, view), []
    for i, _, state, metrics in walk(method, step, batch, steps):
        reference.step(i, batch, state.params["centers"])
        for found, expected in zip(layers(state.params), reference.now, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, err_msg=f"step {i}")
        assert metrics["converged"] == reference.converged
        if reference.target is not None:
            np.testing.assert_allclose(state.frequencies, reference.f, rtol=1e-4)
            np.testing.assert_allclose(metrics["changed"], reference.changed, atol=1e-6)
            seen.append((tuple(np.round(reference.f, 4)), float(reference.changed)))
    assert len(set(seen)) >= (2 if tolerance else 4), seen  # so many different targets were compared
    assert reference.converged == bool(tolerance)


@pytest.mark.thorough
def test_targets_stand_still_within_an_interval_and_move_between():
    targets, moved = [], 0
    for i, before, state, _ in walk(*make(update_epochs=2), 10, 45):
        made_with = [jax.tree.leaves((s.target, s.frequencies)) for s in (before, state)]
        same = all(np.array_equal(a, b) for a, b in zip(*made_with, strict=True))
        assert same == (i not in (14, 29, 44)), i  # the last steps of epochs 2, 5 and 8
        if not same:
            targets.append(np.asarray(state.frequencies))
        moved += not np.array_equal(before.params["code"]["kernel"], state.params["code"]["kernel"])
    assert not np.allclose(targets[0], targets[1], rtol=1e-3)
    assert moved == 5 * (1 + 2 + 2)  # pretraining, and two intervals of two epochs


@pytest.mark.thorough
@pytest.mark.parametrize("batch", [10, 16])
def test_kmeans_sees_the_codes_of_all_examples(batch):
    """Centres are a fixed point of Lloyd's algorithm on the codes of the whole training set."""
    method, step = make()
    *_, (_, before, state, _) = walk(method, step, batch, -(-2 * N // batch))
    order = lambda a: np.asarray(a)[np.lexsort(np.asarray(a).T)]
    z = np.asarray(method.encode(before, X))
    np.testing.assert_allclose(order(state.codes), order(z), atol=1e-5)
    labels = np.square(z[:, None] - np.asarray(state.params["centers"])).sum(axis=2).argmin(axis=1)
    means = [z[labels == k].mean(axis=0) for k in range(K)]
    np.testing.assert_allclose(state.params["centers"], means, atol=1e-2)
    assert not np.any(before.params["centers"])


@pytest.mark.thorough
def test_kmeans_of_some_examples_takes_each_once():
    method, step = make(kmeans_examples=20)
    *_, (_, before, state, _) = walk(method, step, 16, 7)
    z, kept = np.asarray(method.encode(before, X)), np.asarray(state.codes)
    apart = np.abs(kept[:, None] - z[None]).max(axis=2)
    assert kept.shape == (20, 2) and apart.min(axis=1).max() < 1e-5
    assert len(set(apart.argmin(axis=1))) == 20


@pytest.mark.thorough
def test_the_optimizer_starts_anew_with_the_centers():
    *_, (_, before, state, _) = walk(*make(optax.adam(1e-2)), 10, 10)
    assert before.opt_state[0].count == 5 and state.opt_state[0].count == 0


@pytest.mark.thorough
def test_convergence_freezes_the_parameters():
    """A tolerance that anything is below, and still the first targets do not converge: they have no before."""
    learnt, converged = None, []
    for _, _, state, metrics in walk(*make(tolerance=2.0), 16, 30):
        converged.append(float(metrics["converged"]))
        frozen = jax.tree.leaves(state._replace(step=0, key=0, epoch=0, seen=0))
        if learnt is not None:
            jax.tree.map(np.testing.assert_array_equal, frozen, learnt)
            assert np.isfinite(metrics["loss"])
        if converged[-1]:
            learnt = frozen
    # The epochs: pretraining, k-means, targets, refinement, targets; 50 examples each, in batches of 16.
    assert converged == [0.0] * 15 + [1.0] * 15
    assert state.step == 30


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"clusters": 0}, "clusters=0"),
        ({"clusters": 51}, "between 1 and 50"),
        ({"kmeans_examples": 2}, "between 1 and 2"),
        ({"update_epochs": 0}, "update_epochs=0"),
        ({"pretrain_epochs": -1}, "pretrain_epochs=-1"),
        ({"likelihood": "cauchy"}, "unknown likelihood"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        methods.dec(
            MLPEncoder(()),
            MLPDecoder((6,), ()),
            optax.sgd(RATE),
            **{"examples": N, "clusters": K} | arguments,
        )


def test_batches_that_do_not_fit_epochs_are_refused():
    with pytest.raises(ValueError, match="60 examples is more than an epoch of 50"):
        make()[0].init(jax.random.key(0), np.zeros((60, 6), np.float32))
    with pytest.raises(ValueError, match="nothing would be refined"):
        make()[0].init(jax.random.key(0), np.zeros((33, 6), np.float32))


@pytest.mark.thorough
def test_refinement_draws_codes_to_their_centers(digits):
    """Digits: the soft assignments grow harder, and agree with the classes no worse than k-means of the codes."""
    from sklearn.datasets import load_digits

    from unsupjax.evaluate import hungarian_accuracy

    x, y, batch = digits[:1792].reshape(-1, 64), load_digits().target[:1792], 128
    method = methods.dec(
        MLPEncoder((128,)), MLPDecoder((64,), (128,)), optax.adam(1e-3), examples=len(x), gamma=6.4,
        pretrain_epochs=30, update_epochs=2,
    )  # fmt: skip
    state, step = method.init(jax.random.key(0), x[:batch]), jax.jit(method.step)
    accuracy, hardness = [], []
    for i in range(14 * 90):
        state, metrics = step(state, x[example_order(np.arange(i * batch, (i + 1) * batch), len(x), 0)])
        if i + 1 in (14 * 32, 14 * 90) or metrics["converged"]:
            accuracy.append(hungarian_accuracy(y, np.asarray(method.assign(state, x))))
            q = losses.student_t(method.encode(state, x), state.params["centers"])
            hardness.append(float(q.max(axis=1).mean()))
        if metrics["converged"]:
            break
    assert hardness[-1] > hardness[0] + 0.2
    assert accuracy[-1] > max(accuracy[0] - 0.02, 0.65)
    np.testing.assert_allclose(
        method.prototypes(state), method.decode(state, state.params["centers"]), rtol=1e-6
    )
