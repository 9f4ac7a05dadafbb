import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from jax.test_util import check_grads

from unsupjax import losses
from unsupjax.losses import redundancy
from unsupjax.parallel.collectives import pmean
from unsupjax.parallel.mesh import AXIS, make_mesh

N, D = 16, 5
RNG = np.random.default_rng(0)
A, B = (2 + RNG.normal(size=(2, N, D)) * [0.3, 0.5, 1, 2, 3]).astype(np.float32)
WHOLE = {  # each `(z1, z2, axis_name) -> scalar`
    "barlow_twins": lambda z1, z2, axis: losses.barlow_twins(z1, z2, weight=0.1, axis_name=axis),
    "vicreg": lambda z1, z2, axis: losses.vicreg(z1, z2, axis_name=axis)[0],
}


def moment(x, y, ddof=0):
    """The covariance of two lists of numbers, one by one."""
    x, y = [float(v) for v in x], [float(v) for v in y]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((p - mean_x) * (q - mean_y) for p, q in zip(x, y, strict=True)) / (len(x) - ddof)


def barlow_twins(a, b, weight):
    total = 0.0
    for i in range(D):
        for j in range(D):
            scale = np.sqrt(moment(a[:, i], a[:, i]) + 1e-5) * np.sqrt(moment(b[:, j], b[:, j]) + 1e-5)
            c = moment(a[:, i], b[:, j]) / scale
            total += (1 - c) ** 2 if i == j else weight * c**2
    return total


def vicreg_terms(a, b, gamma):
    terms = {"invariance": np.square(np.subtract(a, b, dtype=float)).mean(), "variance": 0, "covariance": 0}
    for z in (a, b):
        for i in range(D):
            terms["variance"] += max(0, gamma - np.sqrt(moment(z[:, i], z[:, i], 1) + 1e-4)) / (2 * D)
            for j in range(D):
                terms["covariance"] += moment(z[:, i], z[:, j], 1) ** 2 / D if i != j else 0
    return terms


def test_barlow_twins_is_that_of_a_loop_over_features():
    value = losses.barlow_twins(A, B, weight=0.1)
    np.testing.assert_allclose(value, barlow_twins(A, B, 0.1), rtol=1e-5)
    assert value.shape == () and value.dtype == jnp.float32
    correlations = np.corrcoef(A.T, B.T)[:D, D:]
    expected = np.square(correlations - np.eye(D))[np.eye(D, dtype=bool)].sum()
    np.testing.assert_allclose(losses.barlow_twins(A, B, weight=0.0), expected, rtol=1e-3)


def test_vicreg_is_that_of_a_loop_over_features():
    value, terms = losses.vicreg(A, B, invariance=2.0, variance=3.0, covariance=0.5, gamma=1.5)
    expected = vicreg_terms(A, B, 1.5)
    assert terms.keys() == expected.keys() and min(expected.values()) > 0.1
    for name in terms:
        np.testing.assert_allclose(terms[name], expected[name], rtol=1e-5)
    weighted = 2 * expected["invariance"] + 3 * expected["variance"] + 0.5 * expected["covariance"]
    np.testing.assert_allclose(value, weighted, rtol=1e-5)
    assert value.shape == () and value.dtype == jnp.float32


@pytest.mark.parametrize("name", WHOLE)
def test_gradients_are_those_of_differences(name):
    f = jax.jit(lambda a, b: WHOLE[name](a, b, None))
    check_grads(f, (A / 2, B / 2), order=1, modes=["rev"], rtol=2e-2, atol=1e-2)


@pytest.mark.parametrize("name", WHOLE)
def test_views_may_be_exchanged_and_features_permuted(name):
    order = RNG.permutation(D)
    for z1, z2 in ((B, A), (A[:, order], B[:, order]), (A[::-1], B[::-1]), (A + 1, B + 1)):
        np.testing.assert_allclose(WHOLE[name](z1, z2, None), WHOLE[name](A, B, None), rtol=1e-4)


def test_independent_features_and_equal_views_cost_nothing():
    """Columns of a Hadamard matrix: of mean 0, variance 1, and at right angles."""
    h = np.array([[1.0]])
    for _ in range(3):
        h = np.block([[h, h], [h, -h]])
    z = jnp.asarray(h[:, 1:], jnp.float32)
    assert losses.barlow_twins(z, z) < 1e-8 and losses.vicreg(z, z)[0] < 1e-8
    # Barlow Twins sees neither the scale nor the mean of a feature.
    np.testing.assert_allclose(losses.barlow_twins(z, 3 * z + 1), 0, atol=1e-5)
    # All opposite: every correlation is -1; and differences of 2.
    np.testing.assert_allclose(losses.barlow_twins(z, -z), 4 * 7, rtol=1e-4)
    np.testing.assert_allclose(losses.vicreg(z, -z)[0], 25 * 4, rtol=1e-6)


@pytest.mark.parametrize("name", WHOLE)
def test_collapsed_features_are_dear_and_have_finite_gradients(name):
    same = jnp.ones((N, D))
    value, grads = jax.value_and_grad(lambda z: WHOLE[name](*z, None))((same, same))
    assert np.isfinite(grads).all()
    # No correlation at all; and no standard deviation but the root of epsilon, 0.01.
    np.testing.assert_allclose(value, {"barlow_twins": D, "vicreg": 25 * 0.99}[name], rtol=1e-5)
    one = np.array(A)
    one[:, 0] = 7
    value, grads = jax.value_and_grad(lambda z: WHOLE[name](z, B, None))(one)
    assert np.isfinite(value) and np.isfinite(grads).all()
    assert WHOLE[name](A.astype(jnp.bfloat16), B, None).dtype == jnp.float32


def test_what_does_not_fit_is_refused():
    for loss in WHOLE.values():
        with pytest.raises(AssertionError):
            loss(A, B[:3], None)
        with pytest.raises(ValueError, match="of 2 examples or more"):
            loss(A[:1], B[:1], None)


def objective(axis):
    """`(kernel, batch) ->` losses and gradients, averaged over devices as every method does it."""

    def both(kernel, batch):
        def one(loss):
            mean = lambda kernel: pmean(loss(*(jnp.tanh(x @ kernel) for x in batch), axis), axis)
            value, grads = jax.value_and_grad(mean)(kernel)
            return value, pmean(grads, axis)

        return {name: one(loss) for name, loss in WHOLE.items()}

    return both


KERNEL, BATCH = RNG.normal(size=(D, 4)).astype(np.float32), (A - 2, B - 2)


def on_devices(executor):
    mesh, whole, shared = make_mesh(), PartitionSpec(), PartitionSpec(AXIS)
    if executor == "pmap":
        divided = jax.tree.map(lambda x: x.reshape(8, N // 8, D), BATCH)
        return jax.pmap(objective(AXIS), AXIS, in_axes=(None, 0), out_axes=None)(KERNEL, divided)
    if executor == "jit":
        return jax.jit(objective(None))(KERNEL, jax.device_put(BATCH, NamedSharding(mesh, shared)))
    divided = jax.shard_map(
        objective(AXIS),
        mesh=mesh,
        in_specs=(whole, shared),
        out_specs=whole,
        check_vma=executor == "shard_map",
    )
    return jax.jit(divided)(KERNEL, BATCH)


def assert_that_of_one_device(found):
    expected = jax.jit(objective(None))(KERNEL, BATCH)
    for name in WHOLE:
        (value, grads), (true_value, true_grads) = found[name], expected[name]
        np.testing.assert_allclose(value, true_value, rtol=1e-4, err_msg=name)
        np.testing.assert_allclose(grads, true_grads, rtol=1e-3, atol=1e-4, err_msg=name)
        assert np.abs(grads).max() > 0.1


THOROUGH = pytest.mark.thorough
EXECUTORS = [
    "shard_map",
    *(pytest.param(e, marks=THOROUGH) for e in ("jit", "pmap", "shard_map, unchecked")),
]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_losses_and_gradients_of_8_devices_are_those_of_one(executor):
    assert_that_of_one_device(on_devices(executor))


def test_statistics_of_each_device_alone_would_be_noticed(monkeypatch):
    monkeypatch.setattr(redundancy, "pmean", lambda x, axis_name: x)
    with pytest.raises(AssertionError):
        assert_that_of_one_device(on_devices("shard_map"))
