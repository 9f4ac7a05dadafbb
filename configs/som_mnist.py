"""A self-organizing map of the pixels of MNIST, on a torus.

    python train.py --config=configs/som_mnist.py

Two CPU cores: 52 seconds. Test: quantization error 5.02, topographic error (8 neighbours) 8.2 %, purity 87.1 %.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "tfds:mnist"},
        method={
            "name": "som",
            "height": 20,
            "width": 20,
            "toroidal": True,
            "end_radius": 0.65,
            "decay": "exponential",
        },
        train={"batch_size": 2048, "epochs": 20.0, "log_every": 50},
        evaluate={
            "run": ("som", "clusters", "reconstruction"),
            "figures": ("prototypes", "label_map", "u_matrix", "hits"),
        },
    )
