"""MoCo v2, symmetric, on CIFAR-10 with a ResNet-18.

    python train.py --config=configs/moco_cifar10.py --config.dtype=bfloat16

That is for an accelerator. On a CPU, a narrow network on part of the images:

    python train.py --config=configs/moco_cifar10.py --config.encoder.width=16 --config.data.examples=10000 \\
        --config.train.batch_size=256 --config.optimizer.learning_rate=0.12 --config.train.epochs=10 \\
        --workdir=runs/moco_small

The second on two CPU cores, which it shared with other work, seed 0: 17 minutes, kNN 34.3 % (k = 10), 34.7 %
(k = 200), linear probe 38.9 %; an untrained encoder reaches 26.1 % (k = 10), the pixels 30.4 %. The first has
not been run.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "tfds:cifar10"},
        method={"name": "moco", "temperature": 0.1, "queue_size": 4096, "momentum": 0.99, "key_groups": 8},
        encoder={"name": "resnet18"},
        projector={"name": "mlp", "features": (512, 128), "batch_norm": False},
        augment={"name": "simclr"},
        optimizer={"name": "sgd", "learning_rate": 0.24, "momentum": 0.9, "weight_decay": 5e-4},
        schedule={"name": "cosine", "warmup": 0.05},
        train={"batch_size": 512, "epochs": 200.0, "evaluate_every": 2000},
        cpu_devices=0,
        evaluate={
            "run": ("knn_baselines", "knn", "knn_weighted", "linear_probe", "rank_me"),
            "periodic": ("knn", "knn_weighted", "rank_me"),
            "figures": ("views", "tsne"),
        },
    )
