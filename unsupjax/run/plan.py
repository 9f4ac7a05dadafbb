"""A config, resolved once: what a run is given below its door are these plain values and functions."""

import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ml_collections

from unsupjax import config as configs
from unsupjax.config import Checkpoint, Train
from unsupjax.data import open_source
from unsupjax.errors import UserError
from unsupjax.evaluate import Judge
from unsupjax.methods import METHODS, Method
from unsupjax.run.build import build, learning_rates
from unsupjax.run.workdir import as_json


class Asked(NamedTuple):
    """An evaluator or figure that a run is to call, with its arguments."""

    name: str
    judge: Judge
    arguments: Mapping[str, Any]


class Judging(NamedTuple):
    """The section `evaluate`, as `unsupjax.config.Evaluate` documents it; `periodic` is `run` where that names none."""

    run: tuple[Asked, ...]
    periodic: tuple[Asked, ...]
    figures: tuple[Asked, ...]
    film: tuple[Asked, ...]
    train_examples: int
    test_examples: int

    @property
    def asked(self) -> tuple[Asked, ...]:
        """All of them, each once."""
        named = (*self.run, *self.periodic, *self.figures, *self.film)
        return tuple({asked.name: asked for asked in named}.values())


class Plan(NamedTuple):
    """What a config says, checked.

    Attributes:
        record: the config as JSON holds it.
        method: the method's name.
        build: `(shape, examples, total_steps, kind=, rows=) -> Method`: `unsupjax.run.build.build` of the config.
        rates: `(total_steps) -> {name: step -> learning rate}`.
        source: what to read.
        options: keyword arguments of `open_source`.
        feed: "auto", "resident" or "streaming".
        transform: `(key, x) -> x` of an example, or None.
        train, checkpoint: as `unsupjax.config` documents them.
        judging: what is evaluated and drawn.
        seed: of the parameters, the draws of training and the order of examples.
        dtype: "float32" or "bfloat16".
        executor: "jit" or "pmap".
        fsdp: over how many devices State is divided.
        cpu_devices: into how many the cores of a CPU are divided; 0: one a core.
        traced: the first and the last step that are profiled, or None.
        network: the name and the arguments of its encoder, if it has one; {}: none.
        sequence: the name and the arguments of its network over tokens or patches, likewise.
        weights: what either starts from; "": a random start.
    """

    record: dict
    method: str
    build: Callable[..., Method]
    rates: Callable[[int], dict[str, Callable[[int], float]]]
    source: str
    options: Mapping[str, Any]
    feed: str
    transform: Callable | None
    train: Train
    checkpoint: Checkpoint
    judging: Judging
    seed: int
    dtype: str
    executor: str
    fsdp: int
    cpu_devices: int
    traced: tuple[int, int] | None
    network: Mapping[str, Any]
    sequence: Mapping[str, Any]
    weights: str


def resolve(config: ml_collections.ConfigDict) -> Plan:
    """Resolves a config as `unsupjax.config.experiment` makes it.

    Raises:
        UserError: the first field that no factory takes or whose value is not one of its choices.
    """
    config = configs.settled(config)
    configs.check(config)
    sections = config.to_dict()
    data, judging = sections["data"], sections["evaluate"]
    encoder, sequence = sections.get("encoder", {}), sections.get("network", {})
    without = lambda section: {k: v for k, v in section.items() if k not in configs.Start._fields}

    def asked(field):
        table = configs.NAMING[field]
        return tuple(Asked(name, table[name], judging[name]) for name in dict.fromkeys(judging[field]))

    return Plan(
        record=as_json(config),
        method=sections["method"]["name"],
        build=functools.partial(build, config),
        rates=functools.partial(learning_rates, config),
        source=data["source"],
        options={name: data[name] for name in configs.defaults(open_source)},
        feed=data["feed"],
        transform=configs.TRANSFORMS[data["transform"]],
        train=Train(**sections["train"]),
        checkpoint=Checkpoint(**sections["checkpoint"]),
        judging=Judging(
            asked("run"),
            asked("periodic") or asked("run"),
            asked("figures"),
            asked("film"),
            judging["train_examples"],
            judging["test_examples"],
        ),
        seed=config.seed,
        dtype=config.dtype,
        executor=config.parallel,
        fsdp=config.fsdp,
        cpu_devices=config.cpu_devices,
        traced=configs.traced_steps(config.profile_steps),
        network=without(encoder),
        sequence=without(sequence),
        weights=(encoder or sequence).get("weights", ""),
    )


def resolve_record(record: Mapping[str, Any], path: pathlib.Path) -> Plan:
    """The plan of the run whose config, at `path`, is `record`; what an earlier version had not has its default.

    Raises:
        UserError: it is no config of this version.
    """
    try:
        # An earlier version kept the arguments of all evaluators and figures, named or not, and some that are gone.
        named = configs.names_of(record.get("evaluate", {}))
        evaluate = dict(record.get("evaluate", {}))
        for name, given in record.get("evaluate", {}).items():
            if isinstance(given, Mapping):
                known = configs.defaults(named[name].run) if name in named else {}
                evaluate[name] = {k: v for k, v in given.items() if k in known}
                evaluate = {k: v for k, v in evaluate.items() if k != name or name in named}
        data = dict(record["data"])
        if data.get("normal_label") == -1:  # none, in an earlier version
            data["normal_label"] = ()
        data.setdefault("stratified", False)
        return resolve(configs.experiment(**dict(record) | {"evaluate": evaluate, "data": data}))
    except (TypeError, AttributeError, KeyError) as error:
        raise UserError(f"{path} is no config of this version ({error})") from error


def takers_of(argument: str) -> list[str]:
    """The methods whose factories have an argument of that name."""
    return [name for name, factory in METHODS.items() if argument in configs.defaults(factory)]
