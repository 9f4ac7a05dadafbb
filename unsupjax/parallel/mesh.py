"""Devices: the mesh, where arrays lie on it, and the two executors of one step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"
FSDP = "fsdp"
EXECUTORS = ("jit", "pmap")
WORTH_SHARDING = 4096  # entries of an array; smaller ones cost more to gather than to keep


def make_mesh(devices: list[jax.Device] | None = None, fsdp: int = 1) -> Mesh:
    """A mesh over `devices`, by default all of them.

    Args:
        devices: the devices.
        fsdp: over how many neighbouring devices State is divided. 1: the one axis "data". More: the axes "data" and
            "fsdp"; batches are divided over both.
    """
    devices = devices or jax.devices()
    shape, names = ((len(devices),), (AXIS,)) if fsdp == 1 else ((len(devices) // fsdp, fsdp), (AXIS, FSDP))
    return jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * len(names), devices=devices)


def axis_name(executor: str) -> str | None:
    """The axis that a step's collectives name under `executor`: None under "jit", which sees the global batch."""
    return AXIS if executor == "pmap" else None


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds all of an array."""
    return NamedSharding(mesh, PartitionSpec())


def state_sharding(state: Any, mesh: Mesh) -> Any:
    """Where each array of a State (or of its shapes) lies: everywhere, or divided over the mesh's axis "fsdp".

    An array is divided along its longest axis that the number of devices divides, if it has one and is not small.
    """
    n = mesh.shape.get(FSDP, 1)

    def place(x):
        axes = [i for i, size in enumerate(x.shape) if size % n == 0]
        if n == 1 or not axes or np.prod(x.shape) < WORTH_SHARDING:
            return replicated(mesh)
        longest = max(axes, key=lambda i: x.shape[i])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, FSDP))

    return jax.tree.map(place, state)


def gather_for(step: Callable, shardings: Any, mesh: Mesh) -> Callable:
    """`step(state, batch)` on a State that lies divided, as `state_sharding` says, before and after.

    What the step computes with is gathered for it and dropped afterwards; the optimizers' states, the fields of State
    whose names begin with "opt", are only ever updated where they lie. Left to itself the compiler would rather move
    activations, which are many times larger. Source: Rajbhandari et al., "ZeRO", SC 2020, stage 3.
    """
    if FSDP not in mesh.shape:
        return step
    whole = lambda x: jax.lax.with_sharding_constraint(x, replicated(mesh))

    def sharded(state, batch):
        used = {name: value for name, value in state._asdict().items() if not name.startswith("opt")}
        state, metrics = step(state._replace(**jax.tree.map(whole, used)), batch)
        return jax.lax.with_sharding_constraint(state, shardings), metrics

    return sharded


def _batch_sharding(mesh: Mesh, batch_axis: int) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(*[None] * batch_axis, mesh.axis_names))


def local_rows(mesh: Mesh, batch_size: int) -> np.ndarray:
    """Which rows of a global batch this process places, ascending: those of its own devices, wherever they are."""
    mine = _batch_sharding(mesh, 0).addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[index] for index in mine]))


def place_batch(batch, mesh: Mesh, executor: str, batch_axis: int = 0):
    """This process's share of a global batch as the executor takes it, its axis `batch_axis` over the devices.

    A batch of several arrays, such as a pair of inputs and labels, is a tuple of them.
    """
    if isinstance(batch, tuple):
        return tuple(place_batch(part, mesh, executor, batch_axis) for part in batch)
    if executor == "jit":
        return jax.make_array_from_process_local_data(_batch_sharding(mesh, batch_axis), batch)
    n = len(mesh.local_devices)
    shape = batch.shape
    return batch.reshape(*shape[:batch_axis], n, shape[batch_axis] // n, *shape[batch_axis + 1 :])


def put_everywhere(tree, mesh: Mesh):
    """Arrays that every process holds whole on the host, replicated over the devices of all."""
    return jax.tree.map(
        lambda x: jax.make_array_from_callback(x.shape, replicated(mesh), lambda index: x[index]), tree
    )


def compile_step(
    step: Callable,
    mesh: Mesh,
    executor: str = "jit",
    *,
    batch_axis: int = 0,
    shared: int = 0,
    state: Any = None,
) -> Callable:
    """Compiles `step(state, batch, *shared) -> (state, metrics)` for the devices of `mesh`.

    "jit": one program over the global batch, into which the compiler inserts the communication; `step` was
    built with `axis_name=None`. "pmap": one program for each device's share, with the collectives that `step`
    names; it was built with `axis_name="data"`. Either way State goes in and out as it lies, and is donated.

    Args:
        step: the function; metrics are the same on every device.
        mesh: of `make_mesh`; for "pmap" one with the axis "data" alone.
        executor: "jit" or "pmap".
        batch_axis: the axis of `batch` that is divided among devices; `place_batch` puts it there.
        shared: how many further arguments there are, held whole by every device.
        state: for "jit", the shardings of State; None: replicated over the devices.
    """
    if executor == "pmap":
        in_axes = (None, batch_axis) + (None,) * shared
        return jax.pmap(
            step, AXIS, in_axes=in_axes, out_axes=None, donate_argnums=0, devices=list(mesh.devices.flat)
        )
    whole = replicated(mesh)
    lies = whole if state is None else state
    in_shardings = (lies, _batch_sharding(mesh, batch_axis)) + (whole,) * shared
    return jax.jit(step, in_shardings=in_shardings, out_shardings=(lies, whole), donate_argnums=0)


def is_key(x) -> bool:
    """Whether an array (or its shape) holds typed PRNG keys."""
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def without_keys(tree: Any) -> Any:
    """Typed PRNG keys as their data."""
    return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, tree)


def with_keys(tree: Any, like: Any) -> Any:
    """The inverse of `without_keys`, for arrays such as those of `like`."""
    return jax.tree.map(lambda like, x: jax.random.wrap_key_data(x) if is_key(like) else x, like, tree)


def local(state: Any, mesh: Mesh) -> Any:
    """State on this process's devices alone, whole on each: what one process can compute with by itself.

    With one process, State as it is.
    """
    if jax.process_count() == 1:
        return state
    own = replicated(make_mesh(mesh.local_devices))
    whole = jax.jit(without_keys, out_shardings=replicated(mesh))(state)
    copies = jax.tree.map(lambda x: jax.device_put(np.asarray(x), own), whole)
    return with_keys(copies, state)


def everywhere(state: Any, mesh: Mesh) -> Any:
    """The inverse of `local`, of a State that every process holds whole; one that lies on all devices, as it is."""
    if jax.process_count() == 1 or not all(x.is_fully_addressable for x in jax.tree.leaves(state)):
        return state
    return with_keys(put_everywhere(jax.tree.map(np.asarray, without_keys(state)), mesh), state)
