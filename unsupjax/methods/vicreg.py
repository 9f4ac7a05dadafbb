"""VICReg: views are alike, every feature varies, and no two features vary together."""

from collections.abc import Callable

import flax.linen as nn
import optax

from unsupjax import losses
from unsupjax.augment import InBatch
from unsupjax.methods.base import Method
from unsupjax.methods.parts.siamese import siamese
from unsupjax.methods.parts.stack import stack
from unsupjax.methods.parts.views import health


def vicreg(
    encoder: nn.Module,
    projector: nn.Module,
    tx: optax.GradientTransformation,
    *,
    augment: Callable | InBatch,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    axis_name: str | None = None,
) -> Method:
    """Minimises `losses.vicreg` of the projections of two views; represents by the encoder.

    Each view goes through the networks with batch statistics of its own. Variances and covariances are over the global
    batch; with accumulated gradients, over a micro-batch, and noisier. The loss's terms are metrics, unweighted.

    Args:
        encoder, projector: Linen modules `module(x, train)`, `[B, ...] -> [B, H]` and `[B, H] -> [B, D]`; the
            projections are not normalised.
        tx: the optimizer.
        augment: `(key, example) -> (x1, x2)`, a policy of `unsupjax.augment`.
        invariance, variance, covariance: weights of the terms.
        axis_name: the mapped device axis under `pmap` or `shard_map`; the modules' batch norm names it too.

    `encode` gives the encoder's features, batch norm in evaluation mode.

    Source: Bardes, Ponce and LeCun, "VICReg: variance-invariance-covariance regularization for self-supervised
    learning", ICLR 2022.
    """
    networks = stack(encoder=encoder, projector=projector)
    weights = {"invariance": invariance, "variance": variance, "covariance": covariance}

    def compare(params, stats, x1, x2):
        z1, stats = networks.forward(params, stats, x1)
        z2, stats = networks.forward(params, stats, x2)
        value, terms = losses.vicreg(z1, z2, **weights, axis_name=axis_name)
        return value, (terms | health(z1, z2, axis_name), stats)

    return siamese(networks, tx, compare, augment=augment, axis_name=axis_name)
