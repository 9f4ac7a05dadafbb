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

import pathlib
import re
import sys
from logging import getLogger

from absl import app, flags, logging
from jax.errors import JaxRuntimeError
from ml_collections import ConfigDict, config_flags

from unsupjax.errors import UserError
from unsupjax.parallel import processes
from unsupjax.parallel.hardware import keep_compiled, keep_memory_flat
from unsupjax.run.fit import evaluate, fit
from unsupjax.run.loop import Diverged

DEFAULT = pathlib.Path(__file__).parent / "configs" / "autoencoder_digits.py"
FLAGS = flags.FLAGS
flags.DEFINE_string("workdir", None, "The run's folder; default: runs/ and the config's name.")
flags.DEFINE_bool("evaluate_only", False, "Judge the newest checkpoint of --workdir; train nothing.")
flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of process 0, where no launcher tells of several processes."
)
flags.DEFINE_integer("num_processes", None, "How many processes there are.")
flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.")


def config_path() -> str:
    """The file that --config names."""
    return config_flags.get_config_filename(FLAGS["config"])


def unknown_field(argv: list[str], error: str) -> str:
    """What to tell a user of the field that, by config_flags' error, does not exist."""
    paths = [a.split("=")[0] for a in argv if a.startswith("--config.")]
    path = next((p for p in paths if set(p.split(".")) & set(re.findall(r"\w+", error))), "a field")
    nearest = re.search(r'Did you mean "(\w+)"', error)
    return f"{path} is no field of the config" + (f"; did you mean {nearest[1]!r}?" if nearest else "")


def parse(argv: list[str]) -> list[str]:
    """The arguments that are no flags; a flag that is wrong ends the program with one line."""
    try:
        # Here and not above: it reads the command line already, and raises for fields that do not exist.
        config_flags.DEFINE_config_file("config", str(DEFAULT), "The experiment.")
        rest = app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError) as error:
        sys.exit(f"error: {unknown_field(argv, str(error))}")
    except (UserError, SyntaxError) as error:
        sys.exit(f"error: {error}")
    if not isinstance(FLAGS.config, ConfigDict):
        there = ", ".join(sorted(p.name for p in DEFAULT.parent.glob("*.py")))
        sys.exit(f"error: --config={config_path()}: no such file; configs/ has {there}")
    if rest[1:]:
        sys.exit(f"error: unexpected arguments {rest[1:]}; fields are set as --config.train.epochs=5")
    return rest


def main(argv: list[str]) -> None:
    """Runs what the flags say; a fault of the user's is one line and exit status 1."""
    logging.set_verbosity(logging.ERROR)  # orbax tells of every file it writes
    getLogger("unsupjax").setLevel("WARNING")
    workdir = FLAGS.workdir or f"runs/{pathlib.Path(config_path()).stem}"
    keep_compiled()
    keep_memory_flat()
    try:
        processes.start(FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id)
        if FLAGS.evaluate_only:
            evaluate(workdir)
        else:
            fit(FLAGS.config, workdir)
    except (UserError, Diverged) as error:
        processes.leave(f"error: {error}")
    except KeyboardInterrupt:
        processes.leave("interrupted; run the same command to go on from the newest checkpoint")
    except JaxRuntimeError as error:
        processes.leave(processes.lost(error))


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
