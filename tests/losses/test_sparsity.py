import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from jax.test_util import check_grads
from scipy.special import rel_entr

from unsupjax import losses
from unsupjax.parallel.collectives import pmean
from unsupjax.parallel.mesh import AXIS, make_mesh


@pytest.fixture(scope="module")
def activations():
    return np.random.default_rng(0).uniform(0.01, 0.9, size=(16, 4)).astype(np.float32)


def test_kl_is_that_of_bernoullis(activations):
    mean = activations.astype(np.float64).mean(axis=0)
    expected = rel_entr(0.1, mean) + rel_entr(0.9, 1 - mean)
    np.testing.assert_allclose(losses.kl_sparsity(activations, 0.1), expected, rtol=1e-5)
    check_grads(
        jax.jit(lambda a: losses.kl_sparsity(a, 0.1)), (activations,), order=1, modes=["rev"], rtol=1e-2
    )


def test_kl_is_zero_at_the_target_and_finite_at_the_edges():
    np.testing.assert_allclose(losses.kl_sparsity(jnp.full((3, 2), 0.2), 0.2), 0, atol=1e-6)
    for edge in (0.0, 1.0):
        value, grad = jax.value_and_grad(lambda a: losses.kl_sparsity(a).sum())(jnp.full((3, 2), edge))
        assert np.isfinite(value) and np.isfinite(grad).all()


def test_mean_is_taken_over_all_devices_before_the_kl(activations):
    """Value and gradient on 8 devices are those of the global batch; averaging local KLs is another number."""
    mesh, shared, whole = make_mesh(), PartitionSpec(AXIS), PartitionSpec()
    # The form that every method uses: the loss averaged inside the differentiated function, gradients outside.
    scaled = lambda s, a: pmean(losses.kl_sparsity(s * a, 0.1, axis_name=AXIS).sum(), AXIS)
    local = lambda s, a: tuple(pmean(g, AXIS) for g in jax.value_and_grad(scaled)(s, a))
    value, grad = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=(whole, shared), out_specs=whole))(
        0.9, activations
    )
    expected = jax.value_and_grad(lambda s: losses.kl_sparsity(s * activations, 0.1).sum())(0.9)
    np.testing.assert_allclose((value, grad), expected, rtol=1e-5)
    halves = [losses.kl_sparsity(0.9 * a, 0.1).sum() for a in np.split(activations, 8)]
    assert np.mean(halves) > 1.05 * value


def test_l1_is_a_sum_over_units(activations):
    np.testing.assert_allclose(losses.l1(-activations), np.abs(activations).sum(axis=1), rtol=1e-6)
