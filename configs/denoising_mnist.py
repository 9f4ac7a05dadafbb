"""A denoising autoencoder of one layer of 1000 sigmoid units on MNIST, and a classifier fine-tuned on top of it.

python train.py --config=configs/denoising_mnist.py
"""

from configs import autoencoder_mnist
from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "tfds:mnist"},
        method={"name": "denoising", "latent_dim": 1000, "corruption": "masking", "level": 0.3, "tied": True},
        encoder={"name": "mlp", "features": ()},
        decoder={"name": "mlp", "features": ()},
        optimizer={"name": "adam", "learning_rate": 1e-3},
        train={"batch_size": 128, "epochs": 30.0},
        evaluate={
            "run": ("reconstruction", "jacobian", "linear_probe", "fine_tune"),
            "fine_tune": autoencoder_mnist.FINE_TUNE,
            "figures": ("filters", "reconstructions"),
        },
    )
