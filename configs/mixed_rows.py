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
        encoder={"name": "mlp", "features": (256,), "activation": "silu"},
        decoder={"name": "mlp", "features": (256,), "activation": "silu"},
        optimizer={"name": "adam", "learning_rate": 2e-3},
        schedule={"name": "cosine"},
        train={"batch_size": 128, "steps": 3000, "log_every": 500},
        evaluate={"run": ("anomaly",), "figures": ("scores",)},
    )
