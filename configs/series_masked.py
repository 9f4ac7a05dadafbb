"""Anomalies in time series: the error with which a transformer predicts patches of a window that are hidden from it.

    python train.py --config=configs/series_masked.py --config.data.source=series:FILE --config.data.train_end=0.3

Two minutes on a core. VUS-PR on the simulated plant 0.84. Every patch is hidden once, over two passes of a window.

The file is a csv, parquet or npy with a column a channel and, if there is one, a column of times; `python -m unsupjax
fields data` tells the rest. What is before `train_end` is taken to be normal. Windows are as long as the series' period
asks for. Without a column of labels (label, anomaly) or `--config.data.intervals=FILE.json` nothing is judged.

Then `unsupjax score RUN new.csv --out=scores.csv --alarms=alarms.csv`, or rows as they come: `unsupjax score RUN
--stream`.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "plant"},
        method={"name": "masked_patches", "share": 0.5, "normalised": False},
        network={
            "name": "patches",
            "patch_size": 8,
            "width": 64,
            "depth": 2,
            "heads": 4,
            "decoder_width": 32,
            "decoder_depth": 1,
        },
        optimizer={"name": "adamw", "learning_rate": 1e-3},
        schedule={"name": "cosine"},
        train={"batch_size": 64, "steps": 1000, "log_every": 100},
        evaluate={"run": ("detection",), "figures": ("detections", "contributions")},
    )
