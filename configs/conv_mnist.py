"""A convolutional autoencoder with a code of 32 numbers on MNIST.

    python train.py --config=configs/conv_mnist.py

Two CPU cores: 3 minutes. Test: squared error 0.0059 a pixel, kNN 97.2 %.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "tfds:mnist"},
        method={"name": "autoencoder", "latent_dim": 32},
        encoder={"name": "conv", "features": (16, 32)},
        decoder={"name": "conv", "features": (32, 16)},
        optimizer={"name": "adam", "learning_rate": 2e-3},
        schedule={"name": "cosine"},
        train={"batch_size": 128, "epochs": 5.0},
        cpu_devices=0,
        evaluate={"run": ("reconstruction", "knn", "kmeans"), "figures": ("reconstructions", "tsne")},
    )
