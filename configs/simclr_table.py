"""Contrastive learning on the rows of a table: a row and a copy with some features of other rows (SCARF).

    python train.py --config=configs/simclr_table.py --config.data.source=csv:PATH --config.data.label_column=NAME

On scikit-learn's breast cancer data as such a file, 15 seconds: kNN (k = 10) 95.6 % of 114 test rows, linear probe
95.6 %; an untrained encoder reaches a kNN of 93.0 %, the standardised columns themselves 94.7 %.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "csv:table.csv"},
        method={"name": "simclr", "temperature": 1.0},
        encoder={"name": "mlp", "features": (256, 256, 256, 256)},
        projector={"name": "mlp", "features": (256, 256), "batch_norm": False},
        augment={"name": "scarf", "rate": 0.6},
        optimizer={"name": "adam", "learning_rate": 1e-3},
        train={"batch_size": 128, "epochs": 100.0},
        evaluate={"run": ("knn_baselines", "linear_probe", "rank_me"), "figures": ("tsne",)},
    )
