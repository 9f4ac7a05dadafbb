"""Anomalies in time series: how far a window is from those of the training part.

    python train.py --config=configs/series_neighbours.py --config.data.source=series:FILE --config.data.train_end=0.3

Half a minute on a core. VUS-PR on the simulated plant 0.93; means over three sets of series that are labelled: 0.645
(ten of UCR, NASA, AIOps, SMD, ECG), 0.516 (eleven of NAB), 0.931 (sixteen of SKAB).

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
        method={"name": "nearest_windows"},
        train={"batch_size": 64, "steps": 1, "log_every": 1},
        evaluate={"run": ("detection",), "figures": ("detections", "contributions")},
    )
