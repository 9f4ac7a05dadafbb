"""Topics as points among word vectors, learnt by a variational autoencoder: of two neural topic models the better one.

    python train.py --config=configs/topics_embedded.py --config.data.source=bow:csv:texts.csv \\
        --config.data.text_column=text

The config `topics_text` finds better topics in less time; this one learns them together with how documents mix them.
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
        method={"name": "embedded_topics", "topics": 20},
        encoder={"name": "mlp", "features": (200, 200), "activation": "softplus"},
        optimizer={"name": "adam", "learning_rate": 5e-3},
        train={"batch_size": 200, "epochs": 40.0, "log_every": 50},
        evaluate={"run": ("topics",)},
    )
