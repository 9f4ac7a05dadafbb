"""A k-sparse autoencoder on MNIST: 1000 linear units of which each image keeps its 25 largest.

python train.py --config=configs/k_sparse_mnist.py
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "tfds:mnist"},
        method={"name": "k_sparse", "latent_dim": 1000, "k": 25, "k_start": 100, "anneal_steps": 9000},
        encoder={"name": "mlp", "features": ()},
        decoder={"name": "mlp", "features": ()},
        optimizer={"name": "adam", "learning_rate": 1e-3},
        schedule={"name": "cosine"},
        train={"batch_size": 128, "epochs": 40.0},
        evaluate={
            "run": ("reconstruction", "linear_probe"),
            "linear_probe": {"cs": (0.01, 0.1, 1.0), "standardize": False},
            "figures": ("filters", "reconstructions"),
        },
    )
