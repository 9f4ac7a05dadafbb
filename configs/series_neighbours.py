"""Anomalies in time series: the distance of a window to the nearest one of the training part.

python train.py --config=configs/series_neighbours.py --config.data.source=series:FILE --config.data.train_end=0.3
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "plant", "window": 64},
        method={"name": "nearest_windows"},
        train={"batch_size": 64, "steps": 1, "log_every": 1},
        evaluate={"run": ("detection",), "figures": ("detections", "contributions")},
    )
