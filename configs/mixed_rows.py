"""Strange rows of a table of numbers, dates and categories: the surprise of each cell, in nats.

    python train.py --config=configs/mixed_rows.py --config.data.source=csv:FILE --config.data.label_column=NAME \\
        --config.data.normal_label=NORMAL
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={
            "source": "csv:transactions.csv",
            "columns": "mixed",
            "missing": True,
            "strange": True,
            "holdout": 0.2,
        },
        method={"name": "mixed_rows"},
        encoder={"name": "mlp", "features": (1024,), "activation": "tanh"},
        decoder={"name": "mlp", "features": (1024,), "activation": "tanh"},
        optimizer={"name": "adam", "learning_rate": 2e-3},
        schedule={"name": "cosine"},
        train={"batch_size": 128, "steps": 300, "log_every": 100},
        evaluate={"run": ("anomaly",), "figures": ("scores",)},
    )
