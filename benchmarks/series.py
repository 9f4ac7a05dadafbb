"""Anomalies in labelled time series: a config on every series of a set, beside simple detectors on the same windows.

    python benchmarks/series.py --folder=DIR [--config=series_neighbours] [--seeds=1] [--protocol=series|nab|skab]
                                [--set config.data.window=64 ...] [--baselines]

Protocols: "series", files `NAME.csv.gz` whose last column is `label`, and `meta.json` with `train_end` of each; "nab",
files `timestamp,value` and `combined_windows.json`, trained on the first 15 % (at most 750 rows); "skab", files with
`;`, trained on their first 400 rows. All steps are scored, those of training too. VUS has the buffer of the series'
period. A seed sets the parameters; the interval is of 10,000 bootstrap samples of the series.
"""

import argparse
import json
import pathlib
import tempfile
import time
import warnings

import numpy as np
from absl import logging

from unsupjax.commands.configs import find, load
from unsupjax.commands.typed import changed
from unsupjax.config import defaults
from unsupjax.data import open_source
from unsupjax.data.stream import open_series
from unsupjax.evaluate.series.steps import ranked
from unsupjax.model import load as load_model
from unsupjax.run.fit import fit
from unsupjax.series.nab import adapted, nab_score, records

KEYS = ("vus_pr", "vus_roc", "ap", "auroc", "best_f1", "nab_standard")


def of_series(folder):
    """Settings of the data of each file."""
    meta = json.loads((folder / "meta.json").read_text())
    for name, known in meta.items():
        yield name, {"source": f"series:{folder}/{name}.csv.gz", "train_end": str(known["train_end"])}


def of_nab(folder):
    """Likewise."""
    for path in sorted(folder.glob("*.csv")):
        rows = sum(1 for _ in path.open()) - 1
        yield (
            path.stem,
            {
                "source": f"series:{path}",
                "train_end": str(min(int(0.15 * rows), 750)),
                "intervals": str(folder / "combined_windows.json"),
            },
        )


def of_skab(folder):
    """Likewise."""
    for path in sorted(folder.glob("*.csv")):
        yield path.stem, {"source": f"series:{path}", "train_end": "400", "leave_out": ("changepoint",)}


PROTOCOLS = {"nab": of_nab, "series": of_series, "skab": of_skab}


def bootstrap(values):
    """A 95 % interval of the mean of values `[S]`."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (10_000, len(values))).mean(axis=1)
    return np.quantile(means, [0.025, 0.975])


def main():
    """Prints a row a series, and the means."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--config", default="series_neighbours")
    parser.add_argument("--protocol", default="series", choices=PROTOCOLS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="", help="names, NAME,NAME")
    parser.add_argument("--set", nargs="*", default=[], help="fields of the config, NAME=VALUE")
    parser.add_argument("--baselines", action="store_true")
    arguments = parser.parse_args()
    logging.set_verbosity(logging.ERROR)
    warnings.simplefilter("ignore")
    found, together = {}, []
    for name, data in PROTOCOLS[arguments.protocol](arguments.folder):
        if arguments.only and name not in arguments.only.split(","):
            continue
        for seed in range(arguments.seeds):
            config = changed(load(find(arguments.config)), [f"--{field}" for field in arguments.set])
            config.data.update(data)
            config.seed, config.evaluate.run, config.evaluate.figures = seed, ("detection",), ()
            if not arguments.baselines:
                config.evaluate.detection.baselines = ()
            start = time.process_time()
            with tempfile.TemporaryDirectory() as run:
                results = fit(config, run)
                if arguments.protocol == "nab" and not seed:
                    together.append(at_once(run, config))
            results["seconds"] = time.process_time() - start
            found.setdefault(name, []).append(results)
        cells = [np.mean([r.get(k, np.nan) for r in found[name]]) for k in (*KEYS, "seconds")]
        print(
            f"{name}: " + ", ".join(f"{k} {v:.3f}" for k, v in zip((*KEYS, "seconds"), cells, strict=True)),
            flush=True,
        )
    report(found)
    if together:
        plain, ours, labels = zip(*together, strict=True)
        print(f"nab_standard, one threshold for all: {nab_score(plain, labels):.1f} of scores as they are")
        print(
            f"nab_standard, one threshold for all: {nab_score(ours, labels):.1f} of scores adapted to those before"
        )


def at_once(run, config):
    """Of the series of a run the scores of detections, as known at each step, plain and adapted; and the labels."""
    model, options = load_model(run), {name: config.data[name] for name in defaults(open_source)}
    source = open_source(config.data.source, **options)
    [series] = open_series(config.data.source, model.options)
    scores = ranked(model.detect(series, causal=True).scores)
    width = model.kind.length
    return records(scores, width), records(adapted(scores), width), source.test.timeline.labels


def report(found):
    """Prints the means over the series, with their intervals, and the spread over seeds."""
    names = sorted({k for runs in found.values() for r in runs for k in r})
    for key in names:
        table = np.array([[r.get(key, np.nan) for r in runs] for runs in found.values()])
        each = np.nanmean(table, axis=1)
        each = each[np.isfinite(each)]
        low, high = bootstrap(each)
        seeds = np.nanmean(table, axis=0)
        print(
            f"{key}: {each.mean():.3f} [{low:.3f}, {high:.3f}] over {len(each)} series; seeds {np.round(seeds, 3)}"
        )


if __name__ == "__main__":
    main()
