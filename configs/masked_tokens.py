"""A small BERT: fifteen of a hundred words are hidden and predicted from all others of their document.

python train.py --config=configs/masked_tokens.py
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        method={"name": "masked_tokens"},
        data={"source": "docstrings", "tokenizer": "wordpiece", "vocabulary": 8192, "context": 256},
        network={"name": "transformer", "width": 128, "depth": 2, "heads": 4},
        optimizer={"name": "muon", "learning_rate": 3e-3},
        schedule={"name": "linear", "warmup": 0.05},
        train={"batch_size": 32, "steps": 1000},
        cpu_devices=0,
        evaluate={
            "run": ("masked_accuracy", "linear_probe", "text_baselines", "knn"),
            "figures": ("nearest_texts", "tsne"),
            "linear_probe": {"fractions": (0.05, 1.0)},
            "text_baselines": {"fractions": (0.05, 1.0)},
        },
    )
