"""Trains what a config describes: `unsupjax train --config=NAME --workdir=runs/NAME`.

Fields are changed on the command line: `--config.method.latent_dim=16`. The same command resumes an interrupted run,
and one that ended goes on where `--config.train.epochs` is larger. On several hosts the same command runs on each.
"""

import argparse

from ml_collections import ConfigDict

from unsupjax.commands import configs
from unsupjax.commands.arguments import add_processes, start_processes
from unsupjax.commands.evaluate import judge
from unsupjax.commands.typed import changed
from unsupjax.errors import UserError

DEFAULT = "autoencoder_digits"


def run(name: str, argv: list[str]) -> None:
    """Runs what the command line says; a fault of the user's is one line and exit status 1."""
    from jax.errors import JaxRuntimeError

    from unsupjax.parallel import processes
    from unsupjax.parallel.hardware import keep_compiled
    from unsupjax.run.loop import Diverged

    keep_compiled()
    try:
        _train(argv)
    except (UserError, Diverged) as error:
        processes.leave(f"error: {error}")
    except KeyboardInterrupt:
        processes.leave("interrupted; run the same command to go on from the newest checkpoint")
    except JaxRuntimeError as error:
        processes.leave(processes.lost(error))


def _train(argv: list[str]) -> None:
    options, rest = _parser().parse_known_args(argv)
    if options.evaluate_only:
        if options.config or not options.workdir:
            raise UserError(
                "--evaluate_only judges the run in --workdir, which has a config of its own: name that folder, and "
                "leave --config out; its fields can be set"
            )
        start_processes(options)
        judge(options.workdir, rest)
        return
    options, config = parse(argv)
    start_processes(options)
    from unsupjax.run.fit import fit

    fit(config, options.workdir)


def parse(argv: list[str]) -> tuple[argparse.Namespace, ConfigDict]:
    """The options and the config, with its fields as the command line changes them."""
    options, rest = _parser().parse_known_args(argv)
    path = configs.find(options.config or DEFAULT)
    options.workdir = options.workdir or f"runs/{path.stem}"
    return options, changed(configs.load(path), rest)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unsupjax train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        default="",
        help=f"the name of one of `unsupjax configs`, or a Python file; default: {DEFAULT}",
    )
    parser.add_argument("--workdir", help="the run's folder; default: runs/ and the config's name")
    parser.add_argument(
        "--evaluate_only", action="store_true", help="judge the newest checkpoint of --workdir; train nothing"
    )
    add_processes(parser)
    return parser
