"""Topics as points among word vectors, learnt by a variational autoencoder.

    python train.py --config=configs/topics_embedded.py --config.data.source=bow:csv:texts.csv \\
        --config.data.text_column=text

It learns them together with how documents mix them. 20 newsgroups by date, 50 topics, three seeds: NPMI .262, diversity
.997, purity 49.8 % of test texts (NMF: .125, .780 and 28.3 %). BBC news, 25 topics, with more epochs and candidates for
words (`--config.train.epochs=100.0 --config.method.candidates=60`, chosen on validation texts), five seeds: .249, 1 and
90.0 % (NMF: .211, .848 and 87.2 %); as it stands, three seeds: .199, 1 and 87.9 %.
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
