"""Recommendations from ratings: EASE and a variational autoencoder with a multinomial likelihood, side by side.

    python train.py --config=configs/recommend_ratings.py --config.data.source=ratings:ratings.csv

The file has columns of users, items and, if there are any, ratings and times; `python -m unsupjax fields data` tells
how they are named. A fifth of the users is held out: of each, four fifths of the items are told, and all others are
ranked. Then `unsupjax recommend RUN ratings.csv --out=recs.csv` and `unsupjax similar RUN ITEM`.

Ratings below 4 of 5 are left out here: --config.data.threshold=0 keeps all. By EASE alone:
--config.method.name=ease.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "ratings:ratings.csv", "threshold": 4.0, "min_items": 5},
        method={"name": "ease_vae"},
        encoder={"name": "mlp", "features": (600,), "activation": "tanh"},
        decoder={"name": "mlp", "features": (600,), "activation": "tanh"},
        optimizer={"name": "adam", "learning_rate": 1e-3},
        train={"batch_size": 100, "epochs": 40.0, "log_every": 20},
        evaluate={"run": ("ranking",)},
    )
