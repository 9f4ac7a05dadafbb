"""Under "jit" each of eight devices computes an eighth of a step, and no batch crosses that need not."""

import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unsupjax import augment, methods, models
from unsupjax.numerics import nearest
from unsupjax.parallel import collectives
from unsupjax.parallel.mesh import compile_step, make_mesh, place_batch, replicated

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
from hlo_bytes import collectives as collectives_of

pytestmark = pytest.mark.thorough

SHAPE, N, SLACK = (8, 8, 1), 8, 1.3
ROWS = {
    "gan": 1024,
    "gan-joint": 1024,
    "moco": 512,
    "moco-shuffled": 512,
    "simclr": 512,
    "kmeans": 2048,
    "som": 2048,
}
TILE = 1024  # rows of k-means and the map, two of which are a batch


def views(key, x):
    return tuple(augment.gaussian_noise(k, x, 0.3) for k in jax.random.split(key))


def head():
    return models.ProjectionHead((16, 8))


def make(name):
    tx = optax.sgd(1e-3)
    if name.startswith("gan"):
        pair = models.MLPGenerator(SHAPE, (32,)), models.MLPDiscriminator((32,))
        loss = {"loss": "hinge", "batches": "separate" if name == "gan" else "joint"}
        return methods.gan(*pair, tx, tx, latent_dim=4, **loss)
    if name.startswith("moco"):
        options = {"augment": views, "queue_size": 1024, "symmetric": False}
        options |= {"key_statistics": "shuffled"} if name == "moco-shuffled" else {}
        return methods.moco(models.MLPEncoder((128,)), head(), tx, **options)
    if name == "simclr":
        return methods.simclr(models.MLPEncoder((128,)), head(), tx, augment=views)
    if name == "som":
        return methods.som(height=4, width=4, examples=60_000, total_steps=9)
    return methods.kmeans(clusters=16, examples=60_000)


def compiled(name, devices):
    method = make(name)
    x = jax.ShapeDtypeStruct((ROWS[name], *SHAPE), jnp.float32)
    state = jax.eval_shape(method.init, jax.random.key(0), x)
    return compile_step(method.step, make_mesh(jax.devices()[:devices])).lower(state, x).compile()


def tiled(monkeypatch, rows, clusters=16):
    monkeypatch.setattr(nearest, "_TILE", {"cpu": rows * clusters, "default": rows * clusters})


def flops(program):
    return program.cost_analysis()["flops"]


@pytest.mark.parametrize("name", ["gan", "moco", "moco-shuffled", "kmeans", "som"])
def test_a_device_computes_its_share(name, monkeypatch):
    whole = flops(compiled(name, 1))  # all rows in one tile: what is in a loop XLA counts once
    tiled(monkeypatch, TILE)
    assert flops(compiled(name, N)) < SLACK * whole / N


@pytest.mark.parametrize("name", ROWS)
def test_no_batch_crosses_that_need_not(name, monkeypatch):
    tiled(monkeypatch, TILE)
    found = collectives_of(compiled(name, N).as_text(), "most")
    batch = 4 * ROWS[name] * np.prod(SHAPE)
    large = [c.kind for c in found if c.size >= batch]
    # Shuffled batch norm gathers a view, of which a device keeps a permuted share.
    assert large == (["all-gather"] if name == "moco-shuffled" else [])
    if name != "moco-shuffled":
        assert not {"all-to-all", "collective-permute"} & {c.kind for c in found}


def test_under_pmap_dealt_groups_exchange_their_shares():
    tx = optax.sgd(1e-3)
    method = methods.moco(
        *(models.MLPEncoder((128,)), head(), tx),
        **{"augment": views, "queue_size": 1024, "symmetric": False, "axis_name": "data"},
    )
    state = jax.eval_shape(
        make("moco").init, jax.random.key(0), jax.ShapeDtypeStruct((512, *SHAPE), jnp.float32)
    )
    x = jax.ShapeDtypeStruct((N, 512 // N, *SHAPE), jnp.float32)
    text = jax.pmap(method.step, "data", in_axes=(None, 0)).lower(state, x).compile().as_text()
    found = collectives_of(text, "most")
    share = 4 * 512 // N * np.prod(SHAPE)
    keys = 4 * 512 // N * 8
    assert {c.size for c in found if c.kind == "all-to-all"} == {share, keys}
    assert not [c for c in found if c.kind == "all-gather" and c.size >= N * share]


def trained(method, batches, mesh):
    """State after a few steps, and the assignment of the last batch."""
    step = compile_step(method.step, mesh)
    state = jax.jit(method.init, out_shardings=replicated(mesh))(jax.random.key(1), batches[0])
    for batch in batches:
        state, _ = step(state, place_batch(batch, mesh, "jit"))
    return jax.device_get(state._replace(key=None)), jax.jit(method.assign)(state, batches[-1])


@pytest.mark.parametrize("name", ["kmeans", "som"])
def test_several_tiles_on_eight_devices_give_the_state_of_one(name, monkeypatch):
    """A part of 300 rows is two tiles of 256 that overlap; an epoch ends within the third batch."""
    batches = np.random.default_rng(0).normal(size=(4, 300 * N, *SHAPE)).astype(np.float32)
    arguments = {"kmeans": {"clusters": 12}, "som": {"height": 3, "width": 4, "total_steps": 4}}[name]
    tiled(monkeypatch, 1)
    assert nearest.shares(300 * N, 12) == N and nearest.tile_rows(300, 12 * N) == 256
    make = lambda: getattr(methods, name)(**arguments, examples=2 * 300 * N + 1000)
    actual, assigned = trained(make(), batches, make_mesh())
    with monkeypatch.context() as patch:
        patch.setattr(jax, "device_count", lambda: 1)
        expected, expected_assigned = trained(make(), batches, make_mesh(jax.devices()[:1]))
    np.testing.assert_array_equal(assigned, expected_assigned)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        if np.issubdtype(e.dtype, np.integer):
            np.testing.assert_array_equal(a, e)
        else:
            np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5 * max(np.abs(e).max(), 1e-3))


def test_divided_like_changes_no_value_and_no_gradient():
    x, batch = jnp.arange(12.0).reshape(4, 3), jnp.full((4, 5, 2), jnp.nan)
    f = lambda x, divided: jnp.sin(divided(x)).sum()
    divided = lambda x: collectives.divided_like(x, batch, None)
    np.testing.assert_array_equal(divided(x), x)
    np.testing.assert_array_equal(divided(x.astype(jnp.int32)), x.astype(jnp.int32))
    np.testing.assert_array_equal(jax.grad(f)(x, divided), jax.grad(f)(x, lambda x: x))
    stacked = jax.vmap(collectives.divided_like, (0, None, None))(jnp.stack([x, -x]), batch, None)
    np.testing.assert_array_equal(stacked, jnp.stack([x, -x]))


def test_one_device_runs_the_same_program(monkeypatch):
    """Nothing is added to it, and rows are not cut into parts."""
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    x = jnp.zeros((4, 3))
    assert collectives.divided_like(x, x, None) is x
    tiled(monkeypatch, 1)
    assert nearest.shares(10_000, 12) == 1
    given = []
    nearest.over_rows(lambda rows, *arrays: given.append((rows, arrays)), 12, x, None)
    assert given[0][0] == 4 and given[0][1][0] is x and given[0][1][1] is None


def test_interleaved_rows_come_apart_again():
    a, b = jnp.arange(6).reshape(3, 2), -jnp.arange(6).reshape(3, 2)
    both = collectives.interleaved(a, b)
    np.testing.assert_array_equal(both[:2], [a[0], b[0]])
    for part, whole in zip(collectives.parted(both), (a, b), strict=True):
        np.testing.assert_array_equal(part, whole)
