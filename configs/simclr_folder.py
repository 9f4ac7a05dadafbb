"""SimCLR on a folder of your own images; labels are not needed.

    python train.py --config=configs/simclr_folder.py --config.data.source=folder:PATH

Images may have any size and shape; they are resized to 64 x 64. Where they lie in class folders, kNN and a linear probe
judge the features; else the t-SNE map, which shows the images themselves, and the effective rank do.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "folder:images", "image_size": 64},
        method={"name": "simclr", "temperature": 0.2},
        encoder={"name": "resnet18", "width": 32},
        projector={"name": "mlp", "features": (512, 128)},
        augment={"name": "simclr", "blur": 0.5},
        optimizer={"name": "sgd", "learning_rate": 0.06, "momentum": 0.9, "weight_decay": 5e-4},
        schedule={"name": "cosine", "warmup": 0.05},
        train={"batch_size": 128, "epochs": 100.0},
        evaluate={
            "run": ("knn_baselines", "linear_probe", "rank_me"),
            "figures": ("views", "tsne"),
            "tsne": {"colour": "images"},
        },
    )
