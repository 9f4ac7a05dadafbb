"""How well a model predicts the next token of held-out text, beside models that count."""

import gzip
import lzma
import math

import numpy as np

from unsupjax.data.tokenizers import PAD
from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.language.ngrams import kneser_ney
from unsupjax.evaluate.subject import Subject, lasting, map_batches


def next_token(subject: Subject, *, orders: tuple = (1, 2, 5), batch_size: int = 64) -> dict[str, float]:
    r"""Held-out cross-entropy of a model of text, beside n-gram models of the same tokens.

    Args:
        subject: what is judged; its data are tokens.
        orders: n of the n-gram models (interpolated Kneser-Ney) that stand beside it.
        batch_size: rows that go through at once.

    Returns:
        `validation_loss` (nats a token), `perplexity` (its exponential), `bits_per_byte` (of UTF-8 text: comparable
        over tokenizers), `bits_per_byte_Ngram` for each order, and `bits_per_byte_gzip` and `bits_per_byte_xz`, of
        these compressors at their best for the held-out text, of which they know nothing before.

    Raises:
        UserError: the method predicts no tokens, or an order is below 1.
    """
    function = require.function(subject.method, "token_log_prob", "next_token")
    if any(order < 1 for order in orders):
        raise UserError(f"next_token: orders={orders} must be at least 1")
    x = np.asarray(subject.x_test)
    found = map_batches(_of_rows(function), x, batch_size, subject.state)
    nats, tokens = float(found[:, 0].sum(dtype=np.float64)), float(found[:, 1].sum(dtype=np.float64))
    size = int(subject.kind.bytes(x[:, 1:]).sum())
    results = {"validation_loss": -nats / tokens, "perplexity": math.exp(-nats / tokens)}
    results["bits_per_byte"] = -nats / math.log(2) / size
    if orders:
        counted = kneser_ney(_stream(np.asarray(subject.x_train)), x, tuple(orders), subject.kind.size)
        results |= {
            f"bits_per_byte_{n}gram": v / math.log(2) / size for n, v in zip(orders, counted, strict=True)
        }
    text = "\n".join(subject.kind.restore(_stream(x)[None])).encode(errors="surrogatepass")
    if text:
        packed = {"gzip": gzip.compress(text, 9), "xz": lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)}
        results |= {f"bits_per_byte_{name}": 8 * len(made) / len(text) for name, made in packed.items()}
    return results


def _stream(rows: np.ndarray) -> np.ndarray:
    """Rows that overlap by a token as they lie behind each other, without padding."""
    tokens = np.concatenate([rows[:1, 0], rows[:, 1:].ravel()])
    return tokens[tokens != PAD]


@lasting
def _of_rows(function):
    import jax.numpy as jnp

    def of_rows(state, x):
        log_p, real = function(state, x)
        return jnp.stack([jnp.where(real, log_p, 0).sum(1), real.sum(1).astype(jnp.float32)], axis=1)

    return of_rows
