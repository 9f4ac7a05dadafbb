"""Devices: the mesh, where arrays lie on it, and the two executors of one step."""

from collections.abc import Callable

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"
EXECUTORS = ("jit", "pmap")


def make_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """A one-dimensional mesh with the axis "data" over `devices`, by default all of them."""
    devices = devices or jax.devices()
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def axis_name(executor: str) -> str | None:
    """The axis that a step's collectives name under `executor`: None under "jit", which sees the global batch."""
    return AXIS if executor == "pmap" else None


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds all of an array."""
    return NamedSharding(mesh, PartitionSpec())


def _batch_sharding(mesh: Mesh, batch_axis: int) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(*[None] * batch_axis, AXIS))


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


def compile_step(
    step: Callable, mesh: Mesh, executor: str = "jit", *, batch_axis: int = 0, shared: int = 0
) -> Callable:
    """Compiles `step(state, batch, *shared) -> (state, metrics)` for the devices of `mesh`.

    "jit": one program over the global batch, into which the compiler inserts the communication; `step` was
    built with `axis_name=None`. "pmap": one program for each device's share, with the collectives that `step`
    names; it was built with `axis_name="data"`. Either way State goes in and out whole, replicated over the
    devices, and is donated.

    Args:
        step: the function; metrics are the same on every device.
        mesh: a mesh with the axis "data".
        executor: "jit" or "pmap".
        batch_axis: the axis of `batch` that is divided among devices; `place_batch` puts it there.
        shared: how many further arguments there are, held whole by every device.
    """
    if executor == "pmap":
        in_axes = (None, batch_axis) + (None,) * shared
        return jax.pmap(
            step, AXIS, in_axes=in_axes, out_axes=None, donate_argnums=0, devices=list(mesh.devices.flat)
        )
    whole = replicated(mesh)
    in_shardings = (whole, _batch_sharding(mesh, batch_axis)) + (whole,) * shared
    return jax.jit(step, in_shardings=in_shardings, out_shardings=whole, donate_argnums=0)
