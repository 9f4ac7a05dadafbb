"""Trains what a config describes: `python train.py --config=configs/NAME.py --workdir=runs/NAME`.

Fields are changed on the command line: `--config.method.latent_dim=16`. The same command resumes an interrupted run;
`--workdir=runs/NAME --evaluate_only` judges one that is there.
"""

import pathlib
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from unsupjax.errors import UserError
from unsupjax.fit import evaluate, fit
from unsupjax.loop import Diverged

DEFAULT = pathlib.Path(__file__).parent / "configs" / "autoencoder_digits.py"
CONFIG = config_flags.DEFINE_config_file("config", str(DEFAULT), "The experiment.")
WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder; default: runs/ and the config's name.")
EVALUATE_ONLY = flags.DEFINE_bool("evaluate_only", False, "Judge the newest checkpoint of --workdir; train nothing.")


def main(argv: list[str]) -> None:
    """Runs what the flags say; a fault of the user's is one line and exit status 1."""
    if argv[1:]:
        sys.exit(f"error: unexpected arguments {argv[1:]}; fields are set as --config.train.epochs=5")
    logging.set_verbosity(logging.WARNING)  # orbax tells every file it writes
    name = pathlib.Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
    workdir = WORKDIR.value or f"runs/{name}"
    try:
        if EVALUATE_ONLY.value:
            evaluate(workdir)
        else:
            fit(CONFIG.value, workdir)
    except (UserError, Diverged) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    app.run(main)
