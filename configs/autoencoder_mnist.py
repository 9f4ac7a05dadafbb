"""A plain autoencoder of one layer of 1000 sigmoid units on MNIST, and a classifier fine-tuned on top of it.

    python train.py --config=configs/autoencoder_mnist.py

The baseline of `denoising_mnist` and `contractive_mnist`, which differ from it in the method alone.
"""

from unsupjax.config import experiment

FINE_TUNE = {"epochs": 30, "optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.0, "batch_size": 32}


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "tfds:mnist"},
        method={"name": "autoencoder", "latent_dim": 1000, "code_activation": "sigmoid", "tied": True},
        encoder={"name": "mlp", "features": ()},
        decoder={"name": "mlp", "features": ()},
        optimizer={"name": "adam", "learning_rate": 1e-3},
        train={"batch_size": 128, "epochs": 30.0},
        evaluate={
            "run": ("reconstruction", "jacobian", "linear_probe", "fine_tune"),
            "fine_tune": FINE_TUNE,
            "figures": ("filters", "reconstructions"),
        },
    )
