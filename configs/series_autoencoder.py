"""Anomalies in time series: the error with which an autoencoder gives windows back.

python train.py --config=configs/series_autoencoder.py --config.data.source=series:FILE --config.data.train_end=0.3
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "plant", "window": 64},
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
