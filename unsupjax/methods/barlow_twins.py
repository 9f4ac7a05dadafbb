"""Barlow Twins: the features of two views correlate one by one, and with no other."""

from collections.abc import Callable

import flax.linen as nn
import optax

from unsupjax import losses
from unsupjax.augment import InBatch
from unsupjax.methods.base import Method
from unsupjax.methods.parts.siamese import siamese
from unsupjax.methods.parts.stack import stack
from unsupjax.methods.parts.views import health


def barlow_twins(
    encoder: nn.Module,
    projector: nn.Module,
    tx: optax.GradientTransformation,
    *,
    augment: Callable | InBatch,
    weight: float = 5e-3,
    axis_name: str | None = None,
) -> Method:
    """Minimises `losses.barlow_twins` of the projections of two views; represents by the encoder.

    Each view goes through the networks with batch statistics of its own. The correlations are over the global batch;
    with accumulated gradients, over a micro-batch, and noisier. Wide projections help: the paper's have 8192 features.

    Args:
        encoder, projector: Linen modules `module(x, train)`, `[B, ...] -> [B, H]` and `[B, H] -> [B, D]`.
        tx: the optimizer.
        augment: `(key, example) -> (x1, x2)`, a policy of `unsupjax.augment`.
        weight: of the correlations that should be 0; the more features there are, the smaller.
        axis_name: the mapped device axis under `pmap` or `shard_map`; the modules' batch norm names it too.

    `encode` gives the encoder's features, batch norm in evaluation mode.

    Source: Zbontar et al., "Barlow Twins: self-supervised learning via redundancy reduction", ICML 2021.
    """
    networks = stack(encoder=encoder, projector=projector)

    def compare(params, stats, x1, x2):
        z1, stats = networks.forward(params, stats, x1)
        z2, stats = networks.forward(params, stats, x2)
        value = losses.barlow_twins(z1, z2, weight=weight, axis_name=axis_name)
        return value, (health(z1, z2, axis_name), stats)

    return siamese(networks, tx, compare, augment=augment, axis_name=axis_name)
