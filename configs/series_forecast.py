"""Anomalies in time series: the error of a linear forecast of the next step, in closed form.

    python train.py --config=configs/series_forecast.py --config.data.source=series:FILE --config.data.train_end=0.3

Half a minute on a core. VUS-PR on the simulated plant 0.98, means over sixteen series of SKAB 0.919, eleven of NAB
0.344. A network in its place: --config.method.name=forecast with --config.encoder.name=mlp. Rows as they come are
scored by the ten thousand a second.

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
        method={"name": "linear_forecast"},
        train={"batch_size": 64, "epochs": 1.0, "log_every": 20},
        evaluate={"run": ("detection",), "figures": ("detections", "contributions")},
    )
