"""Anomalies in time series: the error with which a denoising autoencoder gives windows back.

    python train.py --config=configs/series_autoencoder.py --config.data.source=series:FILE --config.data.train_end=0.3

Half a minute on a core. VUS-PR on the simulated plant 0.88; 0.87 with convolutions over time,
--config.encoder.name=conv --config.decoder.name=conv, and 0.85 with --config.method.name=vae
--config.method.likelihood=gaussian, a variational autoencoder.

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
        method={
            "name": "denoising",
            "latent_dim": 16,
            "corruption": "gaussian",
            "level": 0.2,
            "code_activation": "identity",
            "likelihood": "squared_error",
        },
        encoder={"name": "mlp", "features": (256,), "activation": "tanh"},
        decoder={"name": "mlp", "features": (256,), "activation": "tanh"},
        optimizer={"name": "adam", "learning_rate": 1e-3},
        schedule={"name": "cosine"},
        train={"batch_size": 64, "steps": 1500, "log_every": 100},
        evaluate={"run": ("detection",), "figures": ("detections", "contributions", "worst_windows")},
    )
