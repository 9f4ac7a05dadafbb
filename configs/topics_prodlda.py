"""ProdLDA, a neural topic model, on texts: a variational autoencoder whose code is the proportions of topics.

    python train.py --config=configs/topics_prodlda.py --config.data.source=bow:csv:texts.csv \\
        --config.data.text_column=text

It learns them together with how documents mix them. BBC news, 25 topics, one run: NPMI .137, diversity .64, purity
89.9 % of test texts; `topics_text` .234, 1 and 92.2 % in less time.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={
            "source": "bow:docstrings",
            "in_order": True,
            "stop_words": "english",
            "min_df": 5,
            "max_df": 0.5,
            "vocabulary": 5000,
        },
        method={"name": "prodlda", "topics": 20},
        encoder={"name": "mlp", "features": (200, 200), "activation": "softplus"},
        optimizer={"name": "adam", "learning_rate": 5e-3, "b1": 0.9},
        train={"batch_size": 200, "epochs": 60.0, "log_every": 50},
        evaluate={"run": ("topics",)},
    )
