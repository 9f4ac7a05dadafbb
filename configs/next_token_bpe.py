"""A small GPT over byte pairs, on the docstrings of the installed SciPy: English without a download.

    python train.py --config=configs/next_token_bpe.py

Held-out documents, seed 0, SciPy 1.17.1, 400 steps: 1.118 bits a byte (validation loss 2.544, perplexity 12.7); gzip
1.757, xz 1.385, bigrams 1.609. A 5-gram model with Kneser-Ney smoothing has 0.862: docstrings repeat each other word
for word, and 400 steps, a pass and a tenth over the training documents, do not learn that by heart. 1,258 s of CPU
time on cores shared with other work, a third of it for the evaluation.
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
