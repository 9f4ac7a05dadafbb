"""Makes a reference encoder of a trained run: `python -m unsupjax.commands.export RUN_FOLDER NAME.npz`.

The file is then an encoder for evaluators: `--config.evaluate.generation.encoder=NAME.npz`.
"""

import argparse
import pathlib
import sys

import numpy as np
from absl import logging

from unsupjax.errors import UserError
from unsupjax.evaluate.synthesis import reference
from unsupjax.run.fit import load


def export(folder: str | pathlib.Path, path: str | pathlib.Path) -> reference.Reference:
    """Writes the encoder of the newest checkpoint in `folder` to `path`.

    Raises:
        UserError: no run in the folder, or no whole checkpoint; a method whose representation is not its encoder's
            output; a path that cannot be written.
    """
    experiment, state = load(folder)
    name = experiment.plan.method
    params, stats = getattr(state, "params", {}), getattr(state, "stats", {})
    if not ("encoder" in experiment.plan.record and isinstance(params, dict) and "encoder" in params):
        raise UserError(f"{folder}: the method {name!r} has no encoder to export; take a run of 'simclr'")
    variables = {"params": params["encoder"], "batch_stats": stats.get("encoder", {})}
    section = experiment.plan.record["encoder"]
    x = np.asarray(experiment.batch[:64])
    exported = reference.forward(reference.network(section))(variables, x)
    represented = experiment.method.encode(state, x)
    if exported.shape != represented.shape or not np.allclose(exported, represented, rtol=1e-2, atol=1e-3):
        raise UserError(f"{folder}: {name!r} represents by more than its encoder; take a run of 'simclr'")
    return reference.save(path, section, variables, shape=x.shape[1:])


def main() -> None:
    """Runs what the arguments say; a fault of the user's is one line and exit status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m unsupjax.commands.export", description=export.__doc__.splitlines()[0]
    )
    parser.add_argument("folder", help="the run's folder, train.py's --workdir")
    parser.add_argument("path", help="the file to write, NAME.npz")
    arguments = parser.parse_args()
    logging.set_verbosity(logging.WARNING)  # orbax tells of every file it writes
    try:
        made = export(arguments.folder, arguments.path)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"{arguments.path}: encoder {made.label}")


if __name__ == "__main__":
    main()
