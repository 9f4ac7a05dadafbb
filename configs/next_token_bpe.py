"""A small GPT over byte pairs, on the docstrings of the installed SciPy: English without a download.

python train.py --config=configs/next_token_bpe.py
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        method={"name": "next_token"},
        data={"source": "docstrings", "tokenizer": "bpe", "vocabulary": 4096, "layout": "packed"}
        | {"context": 256},
        network={"name": "transformer", "width": 192, "depth": 4, "heads": 6},
        optimizer={"name": "muon", "learning_rate": 3e-3},
        schedule={"name": "linear", "warmup": 0.02},
        train={"batch_size": 16, "steps": 400, "log_every": 100},
        cpu_devices=0,
        evaluate={"run": ("next_token",), "figures": ()},
    )
