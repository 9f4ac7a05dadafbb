"""An autoencoder on scikit-learn's 8 x 8 digits: the default run, no network needed.

    python train.py

Two CPU cores: 10 seconds. Held out: squared error 0.0060 a pixel (0.073 for the mean), kNN 98.3 %, linear probe 95.0 %.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "digits"},
        method={"name": "autoencoder", "latent_dim": 16},
        encoder={"name": "mlp", "features": (256, 128)},
        decoder={"name": "mlp", "features": (128, 256)},
        optimizer={"name": "adam", "learning_rate": 1e-3},
        schedule={"name": "cosine"},
        train={"batch_size": 128, "steps": 2000},
        evaluate={
            "run": ("reconstruction", "knn", "linear_probe", "kmeans"),
            "figures": ("reconstructions", "tsne"),
        },
    )
