"""The method and the State that a run's folder holds; neither its data nor its devices are needed."""

import pathlib
from typing import Any, NamedTuple

import jax

from unsupjax.data import kinds
from unsupjax.data.kinds import Kind
from unsupjax.errors import UserError
from unsupjax.methods import Method
from unsupjax.parallel.mesh import local, make_mesh, state_sharding
from unsupjax.run import workdir
from unsupjax.run.checkpoint import Checkpoints
from unsupjax.run.plan import Plan, resolve_record


class Stored(NamedTuple):
    """What was read.

    Attributes:
        plan: the run's config, resolved.
        kind: what one example is.
        class_names: of its data; None where these had no labels.
        method: as its factory makes it.
        state: of the checkpoint, on the first device.
        step: of the checkpoint.
    """

    plan: Plan
    kind: Kind
    class_names: tuple[str, ...] | None
    method: Method
    state: Any
    step: int


def restore(folder: pathlib.Path, step: str | int = "newest") -> Stored:
    """A checkpoint of a run.

    Args:
        folder: of the run.
        step: "newest", "best" or a number.

    Raises:
        UserError: no run in the folder, half of one, no whole checkpoint, or none of that step.
    """
    plan = resolve_record(workdir.read_config(folder), folder / workdir.CONFIG)
    described = workdir.read_model(folder)
    kind, facts = kinds.from_json(described["kind"]), described["facts"]
    shape = kind.example().shape
    method = plan.build(shape, facts["examples"], facts["total_steps"], kind=kind)
    batch = jax.ShapeDtypeStruct((plan.train.batch_size, *shape), kind.example().dtype)
    if method.wants.labels:
        batch = batch, jax.ShapeDtypeStruct(batch.shape[:1], "int32")
    abstract = jax.eval_shape(method.init, jax.random.key(plan.seed), batch)
    mesh = make_mesh()
    chosen = plan.checkpoint
    checkpoints = Checkpoints(
        folder / "checkpoints", chosen.keep, chosen.best_metric, chosen.best_mode, read_only=True
    )
    try:
        restored = checkpoints.restore(
            abstract, state_sharding(abstract, mesh), _step(checkpoints, step, plan)
        )
    finally:
        checkpoints.close()
    if restored is None:
        raise UserError(f"{folder} has no whole checkpoint; train it first")
    wanted = restored.manifest.get("model")
    if wanted and wanted != workdir.digest(described):
        raise UserError(
            f"{folder / workdir.MODEL} is not the one that the checkpoints there were written with; put that one back"
        )
    names = described["class_names"]
    return Stored(plan, kind, names and tuple(names), method, local(restored.state, mesh), restored.step)


def _step(checkpoints: Checkpoints, step: str | int, plan: Plan) -> int | None:
    """The step of a checkpoint; None for the newest whole one."""
    there = checkpoints.steps()
    if step == "newest":
        return None
    if step == "best":
        if (best := checkpoints.best()) is None:
            raise UserError(
                f"step='best': no checkpoint has a value of config.checkpoint.best_metric="
                f"{plan.checkpoint.best_metric!r}; take 'newest', or one of {there}"
            )
        return best
    try:
        number = int(step)
    except (TypeError, ValueError):
        raise UserError(f"step={step!r} must be 'newest', 'best' or a number; there are {there}") from None
    if number not in there:
        raise UserError(f"step={number}: there is no such checkpoint; there are {there}")
    return number
