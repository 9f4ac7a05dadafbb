"""Experiments as data: complete configs from factory signatures, checked.

A section of a config holds the name of a factory and its keyword arguments. The signatures are the one place that
documents hyperparameters and their defaults; `experiment` fills in what a config file leaves out, so that
every one of them can be set on the command line and the resolved config is complete.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import ml_collections

from unsupjax.augment import POLICIES, binarize
from unsupjax.data import open_source
from unsupjax.errors import UserError, choose, nearest
from unsupjax.evaluate import FIGURES, JUDGES
from unsupjax.methods import METHODS
from unsupjax.models import DECODERS, DISCRIMINATORS, ENCODERS, GENERATORS, HEADS, RESTORERS, SEQUENCES
from unsupjax.optimizers import OPTIMIZERS, SCHEDULES, wrap
from unsupjax.parallel.mesh import EXECUTORS

TRANSFORMS = {"none": None, "binarize": binarize}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
FEEDS = ("auto", "resident", "streaming")


class Slot(NamedTuple):
    """A part of a method that a section of its config describes: there where the method's factory takes it.

    Attributes:
        factories: what the section may name.
        parameters: of the method's factory, for which it is passed.
        usual: what it names where the config says nothing; "": the config must.
    """

    factories: Mapping[str, Callable]
    parameters: tuple[str, ...]
    usual: str = ""


SLOTS = {
    "encoder": Slot(ENCODERS, ("encoder",)),
    "network": Slot(SEQUENCES, ("network",), "transformer"),
    "decoder": Slot(DECODERS, ("decoder",)),
    "projector": Slot(HEADS, ("projector",)),
    "predictor": Slot(HEADS, ("predictor",)),
    "generator": Slot(GENERATORS, ("generator",)),
    "discriminator": Slot(DISCRIMINATORS, ("discriminator",)),
    "restorer": Slot(RESTORERS, ("restorer",), "unet"),
    "augment": Slot(POLICIES, ("augment",)),
    "optimizer": Slot(OPTIMIZERS, ("tx",), "adam"),
    "generator_optimizer": Slot(OPTIMIZERS, ("tx_g",), "adam"),
    "discriminator_optimizer": Slot(OPTIMIZERS, ("tx_d",), "adam"),
    "schedule": Slot(SCHEDULES, ("tx", "tx_g", "tx_d"), "constant"),
}


class Train(NamedTuple):
    """The section `train`.

    Attributes:
        batch_size: examples a step, over all devices.
        epochs: length of the run, in passes over the training split.
        steps: length of the run in steps; 0: as `epochs` says.
        steps_per_call: steps in one compiled call; 0: 100 or `log_every`, whichever is less, and 1 for
            convolutional networks on CPU, where XLA runs their gradients inside a loop many times slower.
        log_every: steps between log lines, which hold means over these steps.
        evaluate_every: steps between evaluations; 0: at the end alone.
    """

    batch_size: int = 128
    epochs: float = 10.0
    steps: int = 0
    steps_per_call: int = 0
    log_every: int = 100
    evaluate_every: int = 0


class Checkpoint(NamedTuple):
    """The section `checkpoint`.

    Attributes:
        every: steps between checkpoints; there is always one at the end.
        seconds: the least time between them: one that is due sooner waits until then. A small model takes thousands of
            steps in the time of a save. 0, and wherever `evaluate.film` is drawn: none waits.
        keep: how many of the newest to keep.
        best_metric: the one checkpoint best by this training or evaluation metric is kept too; "": none.
        best_mode: "min" or "max".
    """

    every: int = 1000
    seconds: float = 5.0
    keep: int = 3
    best_metric: str = "loss"
    best_mode: str = "min"


class Data(NamedTuple):
    """The section `data`, beside the arguments of `unsupjax.data.open_source`.

    Attributes:
        source: what to read; `open_source` lists the forms.
        feed: "resident" (the data set lies on the device), "streaming", or "auto": resident where it fits.
        transform: "none", or "binarize": each element drawn as a Bernoulli, anew at every step in training, once
            in evaluation.
    """

    source: str = "digits"
    feed: str = "auto"
    transform: str = "none"


class Evaluate(NamedTuple):
    """The section `evaluate`, beside one section of arguments for each evaluator and figure that it names.

    Attributes:
        run: evaluators, by name.
        figures: figures drawn at the end, by name.
        periodic: evaluators run every `train.evaluate_every` steps; empty: all of `run`.
        film: figures drawn at every checkpoint, the same draws each time, and joined into an animation at the end.
        train_examples, test_examples: how many examples of each split evaluators see; 0: all.
    """

    run: tuple = ("reconstruction",)
    figures: tuple = ()
    periodic: tuple = ()
    film: tuple = ()
    train_examples: int = 0
    test_examples: int = 0


class Start(NamedTuple):
    """Of the sections `encoder` and `network`, beside the arguments of the network that they name.

    Attributes:
        weights: what it starts from: an encoder from a safetensors file (of this package, or with the names of
            torchvision's ResNets or timm's vision transformers), a folder that `unsupjax export` wrote, or the folder
            of a run; a transformer over texts from a folder of Hugging Face's (GPT-2, BERT, RoBERTa, DistilBERT; with
            config.data.tokenizer=FOLDER/tokenizer.json), or the folder of a run. It is read once, when the run begins;
            "": a random start.
    """

    weights: str = ""


NAMING = {"run": JUDGES, "periodic": JUDGES, "figures": FIGURES, "film": FIGURES}  # fields of `Evaluate`


def defaults(factory: Callable, skip: tuple = ()) -> dict:
    """The keyword arguments of `factory` that a config can hold, with their defaults."""
    parameters = inspect.signature(factory).parameters.values()
    plain = (bool, int, float, str, tuple)
    return {p.name: p.default for p in parameters if isinstance(p.default, plain) and p.name not in skip}


def _filled(section: str, known: dict, given: Mapping[str, Any]) -> dict:
    """The fields of a section: those given, and the defaults `known` for the rest."""
    filled = dict(known)
    for field, value in given.items():
        if field not in known:
            raise UserError(f"config.{section}.{field} is unknown; {nearest(field, known)}")
        if isinstance(known[field], tuple) and isinstance(value, str | int | float):
            value = (value,)
        _check_type(f"config.{section}.{field}", value, known[field])
        filled[field] = value
    return filled


def _check_type(field: str, value, default) -> None:
    also = {float: (int, float), tuple: (tuple, list)}.get(type(default), type(default))
    if not isinstance(value, also) or (isinstance(value, bool) and not isinstance(default, bool)):
        raise UserError(f"{field}={value!r} must be of type {type(default).__name__}, such as {default!r}")


def _made(section: str, factories: Mapping[str, Callable], given: Mapping[str, Any]) -> dict:
    """A section that names a factory: the name and all of its arguments."""
    factory = choose(f"config.{section}.name", given["name"], factories)
    known = defaults(factory, skip=("name", "parent", "classes"))
    if factories is OPTIMIZERS:
        known |= {"learning_rate": 1e-3} | defaults(wrap)
    if factories in (ENCODERS, SEQUENCES):
        known |= defaults(Start)
    arguments = {k: v for k, v in given.items() if k != "name"}
    return {"name": given["name"]} | _filled(section, known, arguments)


def sections_of(method: str) -> tuple[str, ...]:
    """The sections that a config of that method has, beside the common ones: what its factory takes."""
    parameters = inspect.signature(METHODS[method]).parameters
    return tuple(name for name, slot in SLOTS.items() if any(p in parameters for p in slot.parameters))


def optional(section: str, method: str) -> bool:
    """Whether that method does without a section that it takes: its factory's argument is None by default."""
    parameters = inspect.signature(METHODS[method]).parameters
    return any(p in parameters and parameters[p].default is None for p in SLOTS[section].parameters)


def experiment(
    *,
    method: dict,
    data: dict,
    train: dict | None = None,
    checkpoint: dict | None = None,
    evaluate: dict | None = None,
    seed: int = 0,
    dtype: str = "float32",
    parallel: str = "jit",
    fsdp: int = 1,
    cpu_devices: int = 1,
    profile_steps: str = "",
    **sections: dict | None,
) -> ml_collections.ConfigDict:
    """A complete config: each section's given fields, and the defaults of the factory that it names for the rest.

    Args:
        method: `{"name": ..., **arguments of that factory}`.
        data: `Data` and the arguments of `unsupjax.data.open_source`.
        train, checkpoint: `Train`, `Checkpoint`.
        evaluate: `Evaluate`, and `{evaluator or figure that it names: {its arguments}}`.
        seed: of the parameters, the draws of training and the order of examples.
        dtype: compute dtype, "float32" or "bfloat16"; parameters, losses and statistics are float32.
        parallel: the executor, "jit" or "pmap".
        fsdp: over how many devices State (parameters, optimizers' states) is divided, for models that are too large
            for one; with "jit". 1: every device holds all of it.
        cpu_devices: into how many devices the cores of a CPU are divided, at most, by a number that divides the batch,
            where the process has not used JAX before and is one alone; 0: one a core. XLA computes matrix products on
            all cores, and much of convolutions and of what is elementwise on one core of a device: with two,
            transformers and convolutional networks are up to twice as fast, small dense networks slower.
        profile_steps: "FIRST:LAST" writes a trace of the steps from FIRST up to LAST into the run's `profile/`.
        **sections: of `SLOTS`, those that the method takes (`sections_of`): encoder, decoder, projector, predictor,
            generator, discriminator, restorer, augment, optimizer, generator_optimizer, discriminator_optimizer,
            schedule; each `{"name": ..., **arguments of that factory}`. An optimizer also takes `learning_rate` and the
            arguments of `unsupjax.optimizers.wrap`. The schedule is of all optimizers.

    Raises:
        UserError: a name or field that does not exist, with the nearest that does; a value of another type; a section
            that the method does not take, or one that it needs and that is missing.
    """
    choose("config.method.name", method["name"], METHODS)
    taken = sections_of(method["name"])
    for section, given in sections.items():
        if section not in SLOTS:
            raise UserError(f"config.{section} is unknown; {nearest(section, SLOTS)}")
        if given and section not in taken:
            raise UserError(
                f"config.{section}: the method {method['name']!r} takes none; leave the section out"
            )
    config = {
        "seed": seed,
        "dtype": dtype,
        "parallel": parallel,
        "fsdp": fsdp,
        "cpu_devices": cpu_devices,
        "profile_steps": profile_steps,
    }
    for field, value in config.items():
        _check_type(f"config.{field}", value, inspect.signature(experiment).parameters[field].default)
    config["method"] = _made("method", METHODS, method)
    for section in taken:
        slot, given = SLOTS[section], sections.get(section)
        if not given and optional(section, method["name"]):
            continue
        if not (given or slot.usual):
            raise UserError(f"config.{section} is missing, and the method {method['name']!r} needs one")
        config[section] = _made(section, slot.factories, given or {"name": slot.usual})
    config["data"] = _filled("data", defaults(Data) | defaults(open_source), data)
    config["train"] = _filled("train", defaults(Train), train or {})
    config["checkpoint"] = _filled("checkpoint", defaults(Checkpoint), checkpoint or {})
    config["evaluate"] = _evaluate_section(evaluate or {})
    return ml_collections.ConfigDict(config)


def _evaluate_section(given: Mapping[str, Any]) -> dict:
    arguments = {name: section for name, section in given.items() if name in JUDGES | FIGURES}
    settings = _filled("evaluate", defaults(Evaluate), {k: v for k, v in given.items() if k not in arguments})
    _check_names(settings)
    named = names_of(settings)
    for name in arguments:
        if name not in named:
            raise UserError(
                f"config.evaluate.{name} has arguments, and no list of config.evaluate names {name!r}: add it to "
                f"{' or '.join(field for field, table in NAMING.items() if name in table)}, or leave them out"
            )
    return settings | {
        name: _filled(f"evaluate.{name}", defaults(judge.run), arguments.get(name, {}))
        for name, judge in named.items()
    }


def names_of(evaluate: Mapping[str, Any]) -> dict:
    """The evaluators and figures that a section `evaluate` names, by name."""
    return {name: table[name] for field, table in NAMING.items() for name in evaluate.get(field, ())}


def _check_names(evaluate: Mapping[str, Any]) -> None:
    for field, table in NAMING.items():
        for name in evaluate.get(field, ()):
            choose(f"config.evaluate.{field}", name, table)


def widened(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The config with the default arguments of every evaluator and figure, for a command line that may name any."""
    wide = ml_collections.ConfigDict(config.to_dict())
    for name, judge in (JUDGES | FIGURES).items():
        if name not in wide.evaluate:
            wide.evaluate[name] = defaults(judge.run)
    return wide


def settled(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The config with the arguments of the evaluators and figures that it names, and of no others.

    Raises:
        UserError: it names one that there is not.
    """
    evaluate = config.evaluate.to_dict()
    _check_names(evaluate)
    unnamed = (JUDGES | FIGURES).keys() - names_of(evaluate).keys()
    evaluate = {k: v for k, v in evaluate.items() if k not in unnamed}
    return ml_collections.ConfigDict(config.to_dict() | {"evaluate": _evaluate_section(evaluate)})


def check(config: ml_collections.ConfigDict) -> None:
    """Raises a `UserError` for the first field that no factory takes or whose value is not one of its choices."""
    config = experiment(**config.to_dict())
    choose("config.dtype", config.dtype, DTYPES)
    choose("config.parallel", config.parallel, dict.fromkeys(EXECUTORS))
    choose("config.data.feed", config.data.feed, dict.fromkeys(FEEDS))
    choose("config.data.transform", config.data.transform, TRANSFORMS)
    choose("config.checkpoint.best_mode", config.checkpoint.best_mode, dict.fromkeys(("min", "max")))
    if config.fsdp < 1:
        raise UserError(f"config.fsdp={config.fsdp} must be at least 1")
    if config.cpu_devices < 0:
        raise UserError(f"config.cpu_devices={config.cpu_devices} must be at least 0")
    traced_steps(config.profile_steps)
    least = {
        "train": {"batch_size": 1, "log_every": 1, "steps": 0, "steps_per_call": 0, "evaluate_every": 0},
        "checkpoint": {"every": 1, "keep": 1, "seconds": 0},
        "evaluate": {"train_examples": 0, "test_examples": 0},
    }
    for section, fields in least.items():
        for field, value in fields.items():
            if config[section][field] < value:
                given = config[section][field]
                raise UserError(f"config.{section}.{field}={given} must be at least {value}")


def traced_steps(named: str) -> tuple[int, int] | None:
    """The steps that `config.profile_steps` names, if any; UserError where it is no FIRST:LAST."""
    if not named:
        return None
    first, _, last = named.partition(":")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise UserError(
            f"config.profile_steps={named!r} must be FIRST:LAST, such as '10:15', the second larger"
        )
    return int(first), int(last)
