"""SimCLR on MNIST with a small convolutional encoder.

    python train.py --config=configs/simclr_mnist.py

Two CPU cores: about 15 minutes; kNN (k = 10) 97.3 %, linear probe 98.6 %. An untrained encoder reaches a kNN of 88.3 %,
the pixels 97.1 %.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "tfds:mnist"},
        method={"name": "simclr", "temperature": 0.2},
        encoder={"name": "cnn", "features": (16, 32, 64, 128)},
        projector={"name": "mlp", "features": (128, 64)},
        augment={"name": "glyphs", "area": (0.8, 1.0), "noise": 0.05},
        optimizer={"name": "adamw", "learning_rate": 2e-3, "weight_decay": 1e-4},
        schedule={"name": "cosine", "warmup": 0.05},
        train={"batch_size": 512, "epochs": 12.0},
        evaluate={
            "run": ("knn_baselines", "knn_weighted", "linear_probe", "rank_me"),
            "figures": ("views", "tsne"),
        },
    )
