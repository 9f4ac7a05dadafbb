"""Strange rows of a table of numbers, dates and categories: the surprise of each cell.

    python train.py --config=configs/mixed_rows.py --config.data.source=csv:FILE --config.data.label_column=NAME \\
        --config.data.normal_label=NORMAL

Two minutes on a core. Network connections (NSL-KDD), trained on the normal ones: AUROC 0.974, of kinds of attacks that
are new 0.960.

Categories of more than 64 values (shops, users; `--config.data.embedded`) are embedded; a column that names rows
belongs in --config.data.leave_out. `--config.method.beta=1.0` makes the network a variational one.

Labels are only for judging: without any, leave both settings out and set --config.evaluate.run="()" and
--config.evaluate.figures="()". Where training rows are contaminated: --config.method.trim=0.05. Then
`unsupjax score RUN new.csv --out=scores.csv --explain --drift --threshold=per_thousand:5`.
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
            "embedded": 64,
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
