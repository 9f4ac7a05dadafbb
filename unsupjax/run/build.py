"""A Method from a config and the facts of its data, with no data in sight."""

import inspect
from collections.abc import Callable

import ml_collections
import numpy as np
import optax

from unsupjax.config import DTYPES, SLOTS, Start, defaults
from unsupjax.data.kinds import Kind
from unsupjax.errors import UserError
from unsupjax.methods import METHODS, UPDATES, Method
from unsupjax.optimizers import OPTIMIZERS, SCHEDULES, wrap
from unsupjax.parallel.mesh import axis_name


def _arguments(section: ml_collections.ConfigDict) -> dict:
    """What the factory that a section names is passed."""
    return {k: v for k, v in section.to_dict().items() if k != "name"}


def _schedule(config: ml_collections.ConfigDict, total_steps: int, section: str) -> optax.Schedule:
    updates = max(total_steps // max(config[section].accumulate, 1), 1)
    try:
        return SCHEDULES[config.schedule.name](
            config[section].learning_rate, updates, **_arguments(config.schedule)
        )
    except ValueError as error:
        raise UserError(f"config.{section} and config.schedule: {error}") from error


def updates_a_step(config: ml_collections.ConfigDict, section: str) -> int:
    """How many updates an optimizer makes in a step, as its method says where they are several."""
    [parameter] = SLOTS[section].parameters
    argument = UPDATES.get(config.method.name, {}).get(parameter)
    return config.method[argument] if argument else 1


def optimizer(
    config: ml_collections.ConfigDict, total_steps: int, section: str = "optimizer"
) -> optax.GradientTransformation:
    """The optimizer of a config's section, on the learning-rate schedule over the updates of `total_steps` steps.

    Raises:
        UserError: where it refuses a value, with its reason.
    """
    arguments = _arguments(config[section])
    common = {name: arguments.pop(name) for name in defaults(wrap)}
    schedule = _schedule(config, total_steps, section)
    arguments.pop("learning_rate")
    try:
        return wrap(OPTIMIZERS[config[section].name](schedule, **arguments), **common)
    except ValueError as error:
        raise UserError(f"config.{section}: {error}") from error


def learning_rates(config: ml_collections.ConfigDict, total_steps: int) -> dict[str, Callable[[int], float]]:
    """`step -> learning rate` of each optimizer, by the name of its section less "optimizer"."""
    rates = {}
    for section, slot in SLOTS.items():
        if slot.factories is OPTIMIZERS and section in config:
            several = updates_a_step(config, section)
            schedule = _schedule(config, total_steps * several, section)
            accumulate = config[section].accumulate
            rates[f"{section.removesuffix('optimizer')}learning_rate"] = (
                lambda step, schedule=schedule, n=several, m=accumulate: float(schedule(step * n // m))
            )
    return rates


def build(
    config: ml_collections.ConfigDict,
    shape: tuple[int, ...],
    examples: int,
    total_steps: int,
    *,
    kind: Kind | None = None,
    rows: Callable[[], np.ndarray] | None = None,
) -> Method:
    """The Method of a config: its factory, given its networks, its optimizer and those facts it asks for.

    Every factory, of a network or policy as well, is passed what its signature names of `shape`, `examples`,
    `total_steps`, `axis_name`, `dtype`, `kind`, `vocabulary` and `context` (of tokens), and the method's of `rows`.

    Args:
        config: the complete config.
        shape: of one input.
        examples: number of training examples, for methods that collect over an epoch.
        total_steps: of the run; learning-rate schedules end there.
        kind: of the data.
        rows: reads the training split as it is stored, `[N, ...]`, for methods that know it whole from the first step;
            None: a State of such a method is only to be restored.

    Raises:
        UserError: where a factory refuses a value, with its reason.
    """
    facts = {
        "shape": getattr(kind, "wide", shape),  # as networks take it
        "examples": examples,
        "total_steps": total_steps,
        "axis_name": axis_name(config.parallel),
        "dtype": DTYPES[config.dtype],
        "kind": kind,
        "vocabulary": getattr(kind, "size", None),
        "context": shape[0],
    }

    def made(section, factories, **parts):
        factory = factories[config[section].name]
        asked = inspect.signature(factory).parameters
        own = {k: v for k, v in _arguments(config[section]).items() if k in asked or k not in Start._fields}
        try:
            return factory(**{k: v for k, v in (facts | parts).items() if k in asked}, **own)
        except ValueError as error:
            raise UserError(f"config.{section}.name={config[section].name!r}: {error}") from error

    taken, parts = inspect.signature(METHODS[config.method.name]).parameters, {}
    for section, slot in SLOTS.items():
        for parameter in slot.parameters if slot.factories is not SCHEDULES else ():
            if parameter not in taken or section not in config:
                continue
            if slot.factories is OPTIMIZERS:
                parts[parameter] = optimizer(config, total_steps * updates_a_step(config, section), section)
            else:
                parts[parameter] = made(section, slot.factories)
    if "rows" in taken and rows is not None:
        parts["rows"] = rows()
    return made("method", METHODS, **parts)
