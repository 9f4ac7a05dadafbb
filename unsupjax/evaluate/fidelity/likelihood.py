"""Held-out bounds on the log-likelihood."""

from collections.abc import Callable

import jax
import numpy as np

from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.subject import Subject, lasting, map_batches


def likelihood(subject: Subject, *, samples: int = 50, batch_size: int = 100) -> dict[str, float]:
    """Held-out evidence lower bound and importance-weighted negative log-likelihood, in nats per example.

        log p(x) >= E log 1/S sum_s p(x, z_s) / q(z_s | x),    z_s ~ q(z | x)

    with S = 1 for `elbo` (higher is better) and S = `samples` for `importance_weighted_nll`, the negative of
    the bound (lower is better). The bound tightens as S grows (Burda et al., "Importance weighted
    autoencoders", ICLR 2016): numbers compare only at the same S.

    Args:
        subject: what is judged.
        samples: S, latent samples for each example.
        batch_size: examples at once; `samples * batch_size` inputs are decoded together, which bounds memory.

    Raises:
        UserError: the method has no likelihood, or `samples` is below 1.
    """
    log_prob = require.function(subject.method, "log_prob", "likelihood")
    if samples < 1:
        raise UserError(f"likelihood: samples={samples} must be at least 1")

    def bound(n):
        examples = (np.arange(len(subject.x_test)), subject.x_test)
        bounds = map_batches(_bound(log_prob, n), examples, batch_size, subject.state, subject.key)
        return float(bounds.mean(dtype=np.float64))

    return {"elbo": bound(1), "importance_weighted_nll": -bound(samples)}


@lasting
def _bound(log_prob: Callable, n: int) -> Callable:
    def bound(state, key, batch):
        index, x = batch
        return log_prob(state, jax.random.fold_in(key, index[0]), x, n)

    return bound
