"""Trains what a config describes: `python train.py --config=configs/NAME.py --workdir=runs/NAME`.

Fields are changed on the command line: `--config.method.latent_dim=16`. The same command resumes an interrupted run;
`--workdir=runs/NAME --evaluate_only` judges one that is there. On several hosts the same command runs on each of them:
docs/pods.md.
"""

# ruff: noqa: E402

import signal

# Ctrl-C ends the program at once but while it trains, when it saves first. As an exception it may be lost: raised in
# the midst of an import or of a callback, it is whatever is there that catches it.
signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import pathlib
import re
import runpy
import sys
from logging import getLogger

from absl import flags, logging
from jax.errors import JaxRuntimeError
from ml_collections import ConfigDict, config_flags

from unsupjax import config as configs
from unsupjax.errors import UserError
from unsupjax.parallel import processes
from unsupjax.parallel.hardware import keep_compiled, keep_memory_flat
from unsupjax.run.fit import evaluate, fit
from unsupjax.run.loop import Diverged

DEFAULT = pathlib.Path(__file__).parent / "configs" / "autoencoder_digits.py"


def parse(argv: list[str]) -> tuple[argparse.Namespace, ConfigDict]:
    """The options and the config, with its fields as the command line changes them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--config", type=pathlib.Path, default=DEFAULT, help="the experiment, a Python file")
    parser.add_argument("--workdir", help="the run's folder; default: runs/ and the config's name")
    parser.add_argument(
        "--evaluate_only",
        action="store_true",
        help="judge the newest checkpoint of --workdir; train nothing",
    )
    parser.add_argument(
        "--coordinator", help="HOST:PORT of process 0, where no launcher tells of several processes"
    )
    parser.add_argument("--num_processes", type=int, help="how many processes there are")
    parser.add_argument("--process_id", type=int, help="which of them this is, from 0")
    options, rest = parser.parse_known_args(argv)
    options.workdir = options.workdir or f"runs/{options.config.stem}"
    return options, changed(load(options.config), rest)


def load(path: pathlib.Path) -> ConfigDict:
    """What `get_config` of a Python file returns."""
    if not path.is_file():
        there = ", ".join(sorted(p.name for p in DEFAULT.parent.glob("*.py")))
        raise UserError(f"--config={path}: no such file; configs/ has {there}")
    try:
        found = runpy.run_path(str(path))
    except SyntaxError as error:
        raise UserError(f"--config={path}: {error}") from error
    if "get_config" not in found:
        raise UserError(f"--config={path}: it has no function get_config()")
    return found["get_config"]()


def changed(config: ConfigDict, arguments: list[str]) -> ConfigDict:
    """A config after arguments such as `--config.train.epochs=5`."""
    values = flags.FlagValues()
    argv = ["train.py", *arguments]
    try:
        config_flags.DEFINE_config_dict("config", configs.widened(config), flag_values=values, sys_argv=argv)
        rest = values(argv)[1:]
    except (AttributeError, KeyError) as error:
        raise UserError(_unknown_field(arguments, str(error))) from error
    except flags.Error as error:
        raise UserError(str(error)) from error
    if rest:
        raise UserError(f"unexpected arguments {rest}; fields are set as --config.train.epochs=5")
    named = configs.names_of(values.config.evaluate)
    for name, argument in re.findall(r"--config\.evaluate\.(\w+)\.(\w+)", " ".join(arguments)):
        if name not in named:
            raise UserError(
                f"--config.evaluate.{name}.{argument}: no list of config.evaluate names {name!r}; add it to one"
            )
    return configs.settled(values.config)


def _unknown_field(arguments: list[str], error: str) -> str:
    """What to tell a user of the field that, by config_flags' error, does not exist."""
    paths = [a.split("=")[0] for a in arguments if a.startswith("--config.")]
    path = next((p for p in paths if set(p.split(".")) & set(re.findall(r"\w+", error))), "a field")
    nearest = re.search(r'Did you mean "(\w+)"', error)
    return f"{path} is no field of the config" + (f"; did you mean {nearest[1]!r}?" if nearest else "")


def main(argv: list[str]) -> None:
    """Runs what the command line says; a fault of the user's is one line and exit status 1."""
    logging.set_verbosity(logging.ERROR)  # orbax tells of every file it writes
    getLogger("unsupjax").setLevel("WARNING")
    keep_compiled()
    keep_memory_flat()
    try:
        options, config = parse(argv)
        processes.start(options.coordinator, options.num_processes, options.process_id)
        if options.evaluate_only:
            evaluate(options.workdir)
        else:
            fit(config, options.workdir)
    except (UserError, Diverged) as error:
        processes.leave(f"error: {error}")
    except KeyboardInterrupt:
        processes.leave("interrupted; run the same command to go on from the newest checkpoint")
    except JaxRuntimeError as error:
        processes.leave(processes.lost(error))


if __name__ == "__main__":
    main(sys.argv[1:])
