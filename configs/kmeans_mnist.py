"""k-means on the pixels of MNIST: 256 clusters, which hold little but one digit each.

    python train.py --config=configs/kmeans_mnist.py

Two CPU cores: 58 seconds. Test: purity 91.5 %, NMI 0.518, squared error 0.0319 a pixel (0.0675 for the mean).
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "tfds:mnist"},
        method={"name": "kmeans", "clusters": 256},
        train={"batch_size": 4096, "epochs": 60.0, "log_every": 50},
        evaluate={"run": ("clusters", "reconstruction"), "figures": ("prototypes",)},
    )
