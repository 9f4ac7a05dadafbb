"""Anomalies in time series: the error of a forecast of the next step.

python train.py --config=configs/series_forecast.py --config.data.source=series:FILE --config.data.train_end=0.3
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "plant", "window": 64},
        method={"name": "linear_forecast"},
        train={"batch_size": 64, "epochs": 1.0, "log_every": 20},
        evaluate={"run": ("detection",), "figures": ("detections", "contributions")},
    )
