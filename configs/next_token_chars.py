"""A small GPT that predicts the next character of a text: four layers of width 128, 0.8 million parameters.

    python train.py --config=configs/next_token_chars.py --config.data.source=text:FILE

On tiny Shakespeare, the last tenth held out, seeds 0 to 2: validation loss 1.565 nats a character (1.562 to 1.568),
perplexity 4.79, 2.26 bits a byte; a 5-gram model with Kneser-Ney smoothing 2.32, a bigram 3.58, xz 2.95, gzip 3.19. A
core: 200 CPU seconds of training; two cores halve the time. What it writes:
`unsupjax sample RUN --prompt="ROMEO:"`.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        method={"name": "next_token"},
        data={"source": "text:tinyshakespeare.txt", "layout": "packed", "context": 64},
        network={"name": "transformer", "width": 128, "depth": 4, "heads": 4},
        optimizer={"name": "muon", "learning_rate": 3e-3, "iterations": 3},
        schedule={"name": "linear", "warmup": 0.02},
        train={"batch_size": 24, "steps": 1200, "log_every": 100},
        evaluate={"run": ("next_token",), "figures": ()},
    )
