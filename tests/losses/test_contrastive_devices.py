"""On 8 devices loss and gradient are the single device's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from unsupjax import losses
from unsupjax.losses import contrastive
from unsupjax.parallel.collectives import pmean
from unsupjax.parallel.mesh import AXIS, make_mesh

N, CHUNK = 24, 5
RNG = np.random.default_rng(0)
BATCH = (
    RNG.normal(size=(N, 4)).astype(np.float32),
    RNG.normal(size=(N, 4)).astype(np.float32),
    np.arange(N) % 5 != 2,
)
PARAMS = {
    "kernel": RNG.normal(size=(4, 6)).astype(np.float32),
    "log_temperature": np.float32(-1.0),
    "queue": RNG.normal(size=(9, 6)).astype(np.float32),
}


def encoded(params, batch):
    x1, x2, where = batch
    return jnp.tanh(x1 @ params["kernel"]), jnp.tanh(x2 @ params["kernel"]), where


def objectives(axis_name):
    """By name, each `(params, batch) ->` a scalar or one value for each of this device's examples."""

    def of(loss, takes_where=False, **settings):
        def objective(params, batch):
            z1, z2, where = encoded(params, batch)
            temperature, there = jnp.exp(params["log_temperature"]), where if takes_where else None
            return loss(z1, z2, temperature=temperature, where=there, **settings)

        return objective

    one, tiled = ({"axis_name": axis_name, "chunk_size": c} for c in (None, CHUNK))
    return {
        "nt_xent": of(losses.nt_xent, **one),
        "nt_xent, where": of(losses.nt_xent, True, **one),
        "nt_xent, where, tiled": of(losses.nt_xent, True, **tiled),
        "info_nce, where": of(losses.info_nce, True, **one),
        "info_nce, tiled": of(losses.info_nce, **tiled),
        "queue, tiled": lambda params, batch: losses.info_nce(
            *encoded(params, batch)[:2], negatives=params["queue"], **tiled
        ),
        "uniformity, tiled": lambda params, batch: losses.uniformity(encoded(params, batch)[0], **tiled),
    }


def gradients(axis_name, only=None):
    """`(params, batch) ->` loss and gradients by name, averaged over devices as every method does it."""

    def all_of_them(params, batch):
        def one(objective):
            mean = lambda params: pmean(objective(params, batch).mean(), axis_name)
            value, grads = jax.value_and_grad(mean)(params)
            return value, pmean(grads, axis_name)

        return {name: one(f) for name, f in objectives(axis_name).items() if only in (None, name)}

    return all_of_them


def on_devices(f, executor):
    if executor == "pmap":
        divided = jax.tree.map(lambda x: x.reshape(8, N // 8, *x.shape[1:]), BATCH)
        return jax.pmap(f, AXIS, in_axes=(None, 0), out_axes=None)(PARAMS, divided)
    specs = {"in_specs": (PartitionSpec(), PartitionSpec(AXIS)), "out_specs": PartitionSpec()}
    checked = executor == "shard_map"
    return jax.jit(jax.shard_map(f, mesh=make_mesh(), check_vma=checked, **specs))(PARAMS, BATCH)


def compare(found, expected):
    assert found.keys() == expected.keys()
    for name in expected:
        jax.tree.map(
            lambda a, b, name=name: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6, err_msg=name),
            found[name],
            expected[name],
        )


@pytest.fixture(scope="module")
def expected():
    return jax.jit(gradients(None))(PARAMS, BATCH)


EXECUTORS = ["pmap", "shard_map", "shard_map, unchecked"]


@pytest.mark.thorough
@pytest.mark.parametrize("executor", EXECUTORS)
def test_losses_and_gradients_of_8_devices_are_those_of_one(executor, expected):
    found = on_devices(gradients(AXIS), executor)
    compare(found, expected)
    for name, (_, grads) in found.items():
        assert np.abs(grads["kernel"]).max() > 1e-3, name
    assert np.abs(found["queue, tiled"][1]["queue"]).max() > 1e-3
    assert np.abs(found["nt_xent, where, tiled"][1]["log_temperature"]) > 1e-3


def test_losses_and_gradients_of_a_divided_batch_are_those_of_one(expected):
    """Under `jit` the arrays hold the global batch wherever it lies."""
    mesh = make_mesh()
    batch = jax.device_put(BATCH, NamedSharding(mesh, PartitionSpec(AXIS)))
    params = jax.device_put(PARAMS, NamedSharding(mesh, PartitionSpec()))
    name = "nt_xent, where, tiled"
    compare(jax.jit(gradients(None, only=name))(params, batch), {name: expected[name]})


@jax.custom_vjp
def own_share(x):
    """All rows, of whose gradients a device sees its own alone, as jax before 0.12 has it."""
    return jax.lax.all_gather(x, AXIS, tiled=True)


own_share.defvjp(
    lambda x: (own_share(x), None),
    lambda _, g: (jax.lax.dynamic_slice_in_dim(g, jax.lax.axis_index(AXIS) * (len(g) // 8), len(g) // 8),),
)
WRONG = {
    "no gradient": lambda x, axis_name: jax.lax.stop_gradient(jax.lax.all_gather(x, axis_name, tiled=True)),
    "own share": lambda x, axis_name: own_share(x),
    "no gather": lambda x, axis_name: jnp.tile(x, (8,) + (1,) * (x.ndim - 1)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_gather_would_be_noticed(wrong, expected, monkeypatch):
    """Without a gradient, or with a device's own part of it, the loss is right and the gradient is not."""
    monkeypatch.setattr(contrastive, "gather_rows", WRONG[wrong])
    found = on_devices(gradients(AXIS, only="nt_xent"), "shard_map, unchecked")
    (value, grads) = found["nt_xent"]
    right = expected["nt_xent"]
    if wrong != "no gather":
        np.testing.assert_allclose(value, right[0], rtol=1e-5)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(grads["kernel"], right[1]["kernel"], rtol=0.05, atol=1e-3)


def test_every_example_keeps_its_loss_and_its_accuracy():
    """Positives and masks of the devices after the first are at their own columns."""

    def each(batch, axis_name):
        z1, z2, where = encoded(PARAMS, batch)
        z2 = z1 + 0.7 * z2
        out = []
        for chunk_size in (None, CHUNK):
            shared = {"axis_name": axis_name, "where": where, "chunk_size": chunk_size}
            out += [losses.nt_xent(z1, z2, **shared), losses.info_nce(z1, z2, **shared)]
            out += [losses.nt_xent_accuracy(z1, z2, **shared), losses.contrastive_accuracy(z1, z2, **shared)]
        return jnp.stack(out, axis=1)

    specs = {"in_specs": PartitionSpec(AXIS), "out_specs": PartitionSpec(AXIS)}
    found = jax.jit(jax.shard_map(lambda batch: each(batch, AXIS), mesh=make_mesh(), **specs))(BATCH)
    whole = jax.jit(lambda batch: each(batch, None))(BATCH)
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-5)
    accuracy = whole[:, [2, 3]].mean(axis=0)
    assert (accuracy > 0.1).all() and (accuracy < 0.9).all()  # otherwise nothing was tested
