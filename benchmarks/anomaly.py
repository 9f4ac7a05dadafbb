"""AUROC of `configs/anomaly.py` on the ADBench tables, beside PyOD's autoencoder on the same splits.

    python -m benchmarks.anomaly --folder=DIR_OF_NPZ_FILES [--seeds=3] [--config=anomaly] [--pyod]

Each npz file holds X [N, D] and y [N] (1: anomaly). Half of the normal rows train; the other half and all anomalies
are tested; features are standardised by the training half. A seed sets the split, the parameters and the noise.
Other arguments are settings of the config.
`--pyod` needs `pip install -e '.[bench]'`. PyOD's autoencoder runs with its default settings on the same rows.
"""

import argparse
import functools
import inspect
import pathlib
import tempfile
import warnings

import numpy as np
from absl import logging
from sklearn.metrics import roc_auc_score

from unsupjax.commands.configs import find, load
from unsupjax.commands.typed import changed
from unsupjax.data import arrays, open_source
from unsupjax.run.fit import fit

REFERENCE = {  # what PyOD's autoencoder is expected to reach under this protocol, on splits that are not known
    "annthyroid": 0.87,
    "breastw": 0.99,
    "cardio": 0.91,
    "mammography": 0.90,
    "optdigits": 0.86,
    "pendigits": 0.98,
    "satellite": 0.80,
    "satimage-2": 1.00,
    "thyroid": 0.97,
    "vowels": 0.94,
}


def make_config(path, seed, name="anomaly", settings=()):
    """A shipped config on one file and seed."""
    config = changed(load(find(name)), list(settings))
    config.data.normal_label, config.data.holdout = (0,), 0.5
    for field in ("columns", "missing", "strange", "embedded"):  # the files hold numbers
        config.data[field] = inspect.signature(open_source).parameters[field].default
    config.data.source, config.data.split_seed, config.seed = f"npz:{path}", seed, seed
    config.evaluate.run, config.evaluate.figures = ("anomaly",), ()
    return config


def ours(path, seed, name, settings):
    """Our AUROC on one file and seed."""
    with tempfile.TemporaryDirectory() as folder:
        return fit(make_config(path, seed, name, settings), folder)["anomaly_auroc"]


def pyods(path, seed):
    """PyOD's AUROC on the same split."""
    import torch
    from pyod.models.auto_encoder import AutoEncoder

    torch.manual_seed(seed)
    source = open_source(f"npz:{path}", normal_label=0, holdout=0.5, split_seed=seed)
    (x_train, _), (x_test, y_test) = arrays(source.train), arrays(source.test)
    model = AutoEncoder(random_state=seed, verbose=0)
    model.fit(x_train)
    return roc_auc_score(y_test != 0, model.decision_function(x_test))


def main():
    """Prints one row a data set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first_seed", type=int, default=0)
    parser.add_argument("--config", default="anomaly", help="or mixed_rows")
    parser.add_argument("--pyod", action="store_true")
    arguments, settings = parser.parse_known_args()
    logging.set_verbosity(logging.WARNING)
    warnings.simplefilter("ignore")
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    judges = {"ours": functools.partial(ours, name=arguments.config, settings=settings)}
    judges |= {"PyOD": pyods} if arguments.pyod else {}
    rows = []
    for path in sorted(arguments.folder.glob("*.npz")):
        scores = {name: np.array([judge(path, seed) for seed in seeds]) for name, judge in judges.items()}
        cells = [f"{s.mean():.4f} ({s.min():.3f}-{s.max():.3f})" for s in scores.values()]
        rows.append(f"| {path.stem} | {' | '.join(cells)} | {REFERENCE.get(path.stem, '')} |")
        print(rows[-1], flush=True)
    print(f"\n| data set | {' | '.join(judges)} | PyOD, reference |\n|{'---|' * (len(judges) + 2)}")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
