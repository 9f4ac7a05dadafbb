"""A small GPT that predicts the next character of a text, tiny Shakespeare for example.

python train.py --config=configs/next_token_chars.py --config.data.source=text:FILE
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        method={"name": "next_token"},
        data={"source": "text:tinyshakespeare.txt", "layout": "packed", "context": 64},
        network={"name": "transformer", "width": 128, "depth": 4, "heads": 4},
        optimizer={"name": "muon", "learning_rate": 3e-3},
        schedule={"name": "linear", "warmup": 0.02},
        train={"batch_size": 64, "steps": 2000, "log_every": 100},
        evaluate={"run": ("next_token",), "figures": ()},
    )
