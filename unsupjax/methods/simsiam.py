"""SimSiam: one view predicts what the same network makes of the other; no negatives and no teacher."""

from collections.abc import Callable

import flax.linen as nn
import optax

from unsupjax import losses
from unsupjax.augment import InBatch
from unsupjax.methods.base import Method
from unsupjax.methods.parts.siamese import siamese
from unsupjax.methods.parts.stack import stack, subset
from unsupjax.methods.parts.views import health


def simsiam(
    encoder: nn.Module,
    projector: nn.Module,
    predictor: nn.Module,
    tx: optax.GradientTransformation,
    *,
    augment: Callable | InBatch,
    axis_name: str | None = None,
) -> Method:
    """Minimises `losses.simsiam`: minus the cosine of prediction and projection, which is constant, over both views.

    Each view goes through the networks with batch statistics of its own. What keeps the embeddings apart is the
    predictor and the stopped gradient; batch norm in the projector, after its last layer too, makes it reliable.

    Args:
        encoder, projector, predictor: Linen modules `module(x, train)`, `[B, ...] -> [B, H]`, `[B, H] -> [B, D]`
            and `[B, D] -> [B, D]`; the predictor narrower inside than D.
        tx: the optimizer.
        augment: `(key, example) -> (x1, x2)`, a policy of `unsupjax.augment`.
        axis_name: the mapped device axis under `pmap` or `shard_map`; the modules' batch norm names it too.

    `encode` gives the encoder's features, batch norm in evaluation mode.

    Source: Chen and He, "Exploring simple Siamese representation learning", CVPR 2021.
    """
    networks = stack(encoder=encoder, projector=projector, predictor=predictor)

    def embedded(params, stats, x):
        """Prediction, projection and new statistics of a view."""
        z, moved = networks.forward(subset(params, "encoder", "projector"), stats, x)
        p, last = networks.forward(subset(params, "predictor"), stats, z)
        return p, z, moved | last

    def compare(params, stats, x1, x2):
        p1, z1, stats = embedded(params, stats, x1)
        p2, z2, stats = embedded(params, stats, x2)
        return losses.simsiam(p1, z2, p2, z1).mean(), (health(z1, z2, axis_name), stats)

    return siamese(networks, tx, compare, augment=augment, axis_name=axis_name)
