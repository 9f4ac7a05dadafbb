"""A config as the command line changes it: `--config.train.epochs=5`."""

import itertools
import re

from absl import flags
from ml_collections import ConfigDict, config_flags

from unsupjax import config as configs
from unsupjax.config import SLOTS
from unsupjax.errors import UserError
from unsupjax.methods import METHODS

_NAME = re.compile(r"--?config\.(\w+)\.name(?:=(.*))?")


def changed(config: ConfigDict, arguments: list[str]) -> ConfigDict:
    """A config after arguments such as `--config.train.epochs=5`.

    Another method, network, optimizer or policy (`--config.optimizer.name=sgd`) has its own fields, with its own
    defaults. The length of a run is what was typed, `train.epochs` or `train.steps`, whichever the config had.

    Raises:
        UserError: no such field, a value of another type, or one that would have no effect.
    """
    config = _renamed(config, arguments)
    values = flags.FlagValues()
    argv = ["train", *arguments]
    try:
        config_flags.DEFINE_config_dict("config", configs.widened(config), flag_values=values, sys_argv=argv)
        rest = values(argv)[1:]
    except (AttributeError, KeyError) as error:
        raise UserError(_unknown_field(arguments, str(error))) from error
    except flags.Error as error:
        raise UserError(str(error)) from error
    if rest:
        raise UserError(f"unexpected arguments {rest}; fields are set as --config.train.epochs=5")
    _choose_length(values.config, typed(arguments))
    settled = configs.settled(values.config)
    named = configs.names_of(settled.evaluate)
    for name, argument in re.findall(r"--config\.evaluate\.(\w+)\.(\w+)", " ".join(arguments)):
        if name not in named:
            raise UserError(
                f"--config.evaluate.{name}.{argument}: no list of config.evaluate names {name!r}; add it to one"
            )
    return settled


def typed(arguments: list[str]) -> set[str]:
    """The fields that arguments set, such as "train.epochs"."""
    return {m[1] for a in arguments if (m := re.match(r"--?config\.([\w.]+)", a))}


def _renamed(config: ConfigDict, arguments: list[str]) -> ConfigDict:
    """The config with the sections that arguments give another name, as their factories have them."""
    names = {}
    for argument, following in itertools.pairwise([*arguments, ""]):
        if match := _NAME.fullmatch(argument):
            names[match[1]] = following if match[2] is None else match[2].strip("'\"")
    sections = config.to_dict()
    method = names.get("method", sections["method"]["name"])
    if method not in METHODS:
        return config  # which tells so
    if method != sections["method"]["name"]:
        others = set(SLOTS) - set(configs.sections_of(method))
        sections = {k: v for k, v in sections.items() if k not in others} | {"method": {"name": method}}
    for section, name in names.items():
        if section in SLOTS and section in configs.sections_of(method):
            there = sections.get(section, {})
            if there.get("name") != name:
                sections[section] = {"name": name}
    if sections == config.to_dict():
        return config
    return configs.experiment(**sections)


def _choose_length(config: ConfigDict, given: set[str]) -> None:
    """Where epochs are typed and the config counts steps, epochs count."""
    if {"train.epochs", "train.steps"} <= given and config.train.steps:
        raise UserError("--config.train.epochs and --config.train.steps both say how long a run is; give one")
    if "train.epochs" in given:
        config.train.steps = 0


def _unknown_field(arguments: list[str], error: str) -> str:
    """What to tell a user of the field that, by config_flags' error, does not exist."""
    paths = [a.split("=")[0] for a in arguments if a.startswith("--config.")]
    path = next((p for p in paths if set(p.split(".")) & set(re.findall(r"\w+", error))), "a field")
    close = re.search(r'Did you mean "(\w+)"', error)
    return f"{path} is no field of the config" + (f"; did you mean {close[1]!r}?" if close else "")
