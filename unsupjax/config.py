"""Experiments as data: complete configs from factory signatures, checked, and built into a Method.

A section of a config holds the name of a factory and its keyword arguments. The signatures are the one place that
documents hyperparameters and their defaults; `experiment` fills in what a config file leaves out, so that
every one of them can be set on the command line and the resolved config is complete.
"""

import inspect
from collections.abc import Callable

import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from unsupjax.augment import POLICIES, binarize
from unsupjax.data import open_source
from unsupjax.data.kinds import Kind
from unsupjax.errors import UserError, choose, nearest
from unsupjax.evaluate import EVALUATORS, FIGURES
from unsupjax.methods import METHODS, UPDATES, Method
from unsupjax.models import DECODERS, DISCRIMINATORS, ENCODERS, GENERATORS, HEADS
from unsupjax.optimizers import OPTIMIZERS, SCHEDULES, wrap
from unsupjax.parallel.mesh import EXECUTORS, axis_name

TRANSFORMS = {"none": None, "binarize": binarize}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
FACTORIES = {  # section of a config -> the factories that it may name
    "method": METHODS,
    "encoder": ENCODERS,
    "decoder": DECODERS,
    "projector": HEADS,
    "predictor": HEADS,
    "generator": GENERATORS,
    "discriminator": DISCRIMINATORS,
    "augment": POLICIES,
    "optimizer": OPTIMIZERS,
    "generator_optimizer": OPTIMIZERS,
    "discriminator_optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
NETWORKS = {  # parameter of a method -> the sections that describe what is passed for it
    "encoder": ("encoder",),
    "decoder": ("decoder",),
    "projector": ("projector",),
    "predictor": ("predictor",),
    "generator": ("generator",),
    "discriminator": ("discriminator",),
    "augment": ("augment",),
    "tx": ("optimizer", "schedule"),
    "tx_g": ("generator_optimizer", "schedule"),
    "tx_d": ("discriminator_optimizer", "schedule"),
}
OPTIMIZER_SECTIONS = {"tx": "optimizer", "tx_g": "generator_optimizer", "tx_d": "discriminator_optimizer"}


def train_settings(
    *,
    batch_size: int = 128,
    epochs: float = 10.0,
    steps: int = 0,
    steps_per_call: int = 0,
    log_every: int = 100,
    evaluate_every: int = 0,
) -> dict:
    """The section `train`.

    Args:
        batch_size: examples a step, over all devices.
        epochs: length of the run, in passes over the training split.
        steps: length of the run in steps; 0: as `epochs` says.
        steps_per_call: steps in one compiled call; 0: 100 or `log_every`, whichever is less, and 1 for
            convolutional networks on CPU, where XLA runs their gradients inside a loop many times slower.
        log_every: steps between log lines, which hold means over these steps.
        evaluate_every: steps between evaluations; 0: at the end alone.
    """
    return locals()


def checkpoint_settings(
    *,
    every: int = 1000,
    seconds: float = 5.0,
    keep: int = 3,
    best_metric: str = "loss",
    best_mode: str = "min",
) -> dict:
    """The section `checkpoint`.

    Args:
        every: steps between checkpoints; there is always one at the end.
        seconds: the least time between them: one that is due sooner waits until then. A small model takes thousands of
            steps in the time of a save. 0, and wherever `evaluate.film` is drawn: none waits.
        keep: how many of the newest to keep.
        best_metric: the one checkpoint best by this training or evaluation metric is kept too; "": none.
        best_mode: "min" or "max".
    """
    return locals()


def data_settings(*, source: str = "digits", feed: str = "auto", transform: str = "none") -> dict:
    """The section `data`, beside the arguments of `unsupjax.data.open_source`.

    Args:
        source: what to read; `open_source` lists the forms.
        feed: "resident" (the data set lies on the device), "streaming", or "auto": resident where it fits.
        transform: "none", or "binarize": each element drawn as a Bernoulli, anew at every step in training, once
            in evaluation.
    """
    return locals()


def evaluate_settings(
    *,
    run: tuple = ("reconstruction",),
    figures: tuple = (),
    periodic: tuple = (),
    film: tuple = (),
    train_examples: int = 0,
    test_examples: int = 0,
) -> dict:
    """The section `evaluate`, beside one section of arguments for each evaluator and figure.

    Args:
        run: evaluators, by name.
        figures: figures drawn at the end, by name.
        periodic: evaluators run every `train.evaluate_every` steps; empty: all of `run`.
        film: figures drawn at every checkpoint, the same draws each time, and joined into an animation at the end.
        train_examples, test_examples: how many examples of each split evaluators see; 0: all.
    """
    return locals()


def defaults(factory: Callable, skip: tuple = ()) -> dict:
    """The keyword arguments of `factory` that a config can hold, with their defaults."""
    parameters = inspect.signature(factory).parameters.values()
    plain = (bool, int, float, str, tuple)
    return {p.name: p.default for p in parameters if isinstance(p.default, plain) and p.name not in skip}


def _filled(section: str, factory: Callable, given: dict) -> dict:
    known = defaults(factory, skip=("name", "parent", "classes"))
    if factory in OPTIMIZERS.values():
        known |= {"learning_rate": 1e-3} | defaults(wrap)
    for field, value in given.items():
        if field not in known:
            raise UserError(f"config.{section}.{field} is unknown; {nearest(field, known)}")
        _check_type(f"config.{section}.{field}", value, known[field])
    return known | given


def _check_type(field: str, value, default) -> None:
    also = {float: (int, float), tuple: (tuple, list)}.get(type(default), type(default))
    if not isinstance(value, also) or (isinstance(value, bool) and not isinstance(default, bool)):
        raise UserError(f"{field}={value!r} must be of type {type(default).__name__}, such as {default!r}")


def sections_of(method: str) -> tuple[str, ...]:
    """The sections that a config of that method has, beside the common ones: what its factory takes."""
    parameters = inspect.signature(METHODS[method]).parameters
    taken = (section for name, needed in NETWORKS.items() if name in parameters for section in needed)
    return tuple(dict.fromkeys(taken))


def experiment(
    *,
    method: dict,
    data: dict,
    encoder: dict | None = None,
    decoder: dict | None = None,
    projector: dict | None = None,
    predictor: dict | None = None,
    generator: dict | None = None,
    discriminator: dict | None = None,
    augment: dict | None = None,
    optimizer: dict | None = None,
    generator_optimizer: dict | None = None,
    discriminator_optimizer: dict | None = None,
    schedule: dict | None = None,
    train: dict | None = None,
    checkpoint: dict | None = None,
    evaluate: dict | None = None,
    seed: int = 0,
    dtype: str = "float32",
    parallel: str = "jit",
    fsdp: int = 1,
    profile_steps: str = "",
) -> ml_collections.ConfigDict:
    """A complete config: each section's given fields, and the defaults of the factory that it names for the rest.

    Args:
        method, encoder, decoder, projector, predictor, generator, discriminator, augment, optimizer,
            generator_optimizer, discriminator_optimizer, schedule: `{"name": ..., **arguments of that factory}`; all
            but the first for methods that take them. An optimizer also takes `learning_rate` and the arguments of
            `unsupjax.optimizers.wrap`. The schedule is of all optimizers.
        data: `data_settings` and the arguments of `unsupjax.data.open_source`.
        train, checkpoint: `train_settings`, `checkpoint_settings`.
        evaluate: `evaluate_settings`, and `{evaluator or figure: {its arguments}}`.
        seed: of the parameters, the draws of training and the order of examples.
        dtype: compute dtype, "float32" or "bfloat16"; parameters, losses and statistics are float32.
        parallel: the executor, "jit" or "pmap".
        fsdp: over how many devices State (parameters, optimizers' states) is divided, for models that are too large
            for one; with "jit". 1: every device holds all of it.
        profile_steps: "FIRST:LAST" writes a trace of the steps from FIRST up to LAST into the run's `profile/`.
    """
    described = {
        "encoder": encoder,
        "decoder": decoder,
        "projector": projector,
        "predictor": predictor,
        "generator": generator,
        "discriminator": discriminator,
        "augment": augment,
        "optimizer": optimizer,
        "generator_optimizer": generator_optimizer,
        "discriminator_optimizer": discriminator_optimizer,
        "schedule": schedule,
    }
    usual = {section: {"name": "adam"} for section in OPTIMIZER_SECTIONS.values()}
    usual["schedule"] = {"name": "constant"}
    choose("config.method.name", method["name"], METHODS)
    taken = sections_of(method["name"])
    for section, value in described.items():
        if value and section not in taken:
            raise UserError(
                f"config.{section}: the method {method['name']!r} takes none; leave the section out"
            )
        if section in taken and not (value or section in usual):
            raise UserError(f"config.{section} is missing, and the method {method['name']!r} needs one")
    config = {
        "seed": seed,
        "dtype": dtype,
        "parallel": parallel,
        "fsdp": fsdp,
        "profile_steps": profile_steps,
    }
    for field, value in config.items():
        _check_type(f"config.{field}", value, inspect.signature(experiment).parameters[field].default)
    sections = {"method": method} | {section: described[section] or usual[section] for section in taken}
    for section, given in sections.items():
        factory = choose(f"config.{section}.name", given["name"], FACTORIES[section])
        rest = {k: v for k, v in given.items() if k != "name"}
        config[section] = {"name": given["name"]} | _filled(section, factory, rest)
    config["data"] = _data_section(data)
    config["train"] = _filled("train", train_settings, train or {})
    config["checkpoint"] = _filled("checkpoint", checkpoint_settings, checkpoint or {})
    config["evaluate"] = _evaluate_section(evaluate or {})
    return ml_collections.ConfigDict(config)


def _data_section(given: dict) -> dict:
    known = defaults(data_settings) | defaults(open_source)
    for field, value in given.items():
        if field not in known:
            raise UserError(f"config.data.{field} is unknown; {nearest(field, known)}")
        _check_type(f"config.data.{field}", value, known[field])
    return known | given


def _evaluate_section(given: dict) -> dict:
    judges = EVALUATORS | FIGURES
    settings = _filled("evaluate", evaluate_settings, {k: v for k, v in given.items() if k not in judges})
    _check_judges(settings)
    return settings | {
        name: _filled(f"evaluate.{name}", f, given.get(name, {})) for name, f in judges.items()
    }


def _check_judges(settings) -> None:
    for field in ("run", "periodic"):
        for name in settings[field]:
            choose(f"config.evaluate.{field}", name, EVALUATORS)
    for field in ("figures", "film"):
        for name in settings[field]:
            choose(f"config.evaluate.{field}", name, FIGURES)


def check(config: ml_collections.ConfigDict) -> None:
    """Raises a `UserError` for the first field that no factory takes or whose value is not one of its choices."""
    choose("config.method.name", config.method.name, METHODS)
    for section in ("method", *sections_of(config.method.name)):
        if section not in config:
            raise UserError(f"config.{section} is missing, and the method {config.method.name!r} needs one")
        given = config[section].to_dict()
        factory = choose(f"config.{section}.name", given.pop("name"), FACTORIES[section])
        _filled(section, factory, given)
    choose("config.dtype", config.dtype, DTYPES)
    choose("config.parallel", config.parallel, dict.fromkeys(EXECUTORS))
    choose("config.data.feed", config.data.feed, dict.fromkeys(("auto", "resident", "streaming")))
    choose("config.data.transform", config.data.transform, TRANSFORMS)
    choose("config.checkpoint.best_mode", config.checkpoint.best_mode, dict.fromkeys(("min", "max")))
    if config.fsdp < 1:
        raise UserError(f"config.fsdp={config.fsdp} must be at least 1")
    traced_steps(config)
    least = {
        "train": {"batch_size": 1, "log_every": 1, "steps": 0, "steps_per_call": 0, "evaluate_every": 0},
        "checkpoint": {"every": 1, "keep": 1, "seconds": 0},
    }
    for section, fields in least.items():
        for field, value in fields.items():
            if config[section][field] < value:
                given = config[section][field]
                raise UserError(f"config.{section}.{field}={given} must be at least {value}")
    _check_judges(config.evaluate)


def traced_steps(config: ml_collections.ConfigDict) -> tuple[int, int] | None:
    """The steps that `config.profile_steps` names, if any; UserError where it is no FIRST:LAST."""
    if not config.profile_steps:
        return None
    first, _, last = config.profile_steps.partition(":")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise UserError(
            f"config.profile_steps={config.profile_steps!r} must be FIRST:LAST, such as '10:15', the second larger"
        )
    return int(first), int(last)


def _arguments(section: ml_collections.ConfigDict) -> dict:
    return {k: v for k, v in section.to_dict().items() if k != "name"}


def _schedule(config: ml_collections.ConfigDict, total_steps: int, section: str) -> optax.Schedule:
    updates = max(total_steps // max(config[section].accumulate, 1), 1)
    return SCHEDULES[config.schedule.name](
        config[section].learning_rate, updates, **_arguments(config.schedule)
    )


def updates_a_step(config: ml_collections.ConfigDict, section: str) -> int:
    """How many updates an optimizer makes in a step, as its method says where they are several."""
    for name, argument in UPDATES.get(config.method.name, {}).items():
        if OPTIMIZER_SECTIONS[name] == section:
            return config.method[argument]
    return 1


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
    for section in OPTIMIZER_SECTIONS.values():
        if section in config:
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
    `total_steps`, `axis_name`, `dtype` and `kind`, and the method's of `rows`.

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
        "shape": shape,
        "examples": examples,
        "total_steps": total_steps,
        "axis_name": axis_name(config.parallel),
        "dtype": DTYPES[config.dtype],
        "kind": kind,
    }

    def made(section, **parts):
        factory = FACTORIES[section][config[section].name]
        asked = inspect.signature(factory).parameters
        try:
            return factory(
                **{k: v for k, v in (facts | parts).items() if k in asked}, **_arguments(config[section])
            )
        except ValueError as error:
            raise UserError(f"config.{section}.name={config[section].name!r}: {error}") from error

    taken = inspect.signature(METHODS[config.method.name]).parameters
    parts = {name: made(name) for name in NETWORKS if name in taken and name not in OPTIMIZER_SECTIONS}
    for name, section in OPTIMIZER_SECTIONS.items():
        if name in taken:
            parts[name] = optimizer(config, total_steps * updates_a_step(config, section), section)
    if "rows" in taken and rows is not None:
        parts["rows"] = rows()
    return made("method", **parts)
