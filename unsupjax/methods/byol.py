"""BYOL: one view predicts what a slowly moving teacher makes of the other; there are no negatives."""

from collections.abc import Callable

import flax.linen as nn
import optax

from unsupjax import losses
from unsupjax.augment import InBatch
from unsupjax.methods.base import Method
from unsupjax.methods.parts.bootstrap import bootstrap


def byol(
    encoder: nn.Module,
    projector: nn.Module,
    predictor: nn.Module,
    tx: optax.GradientTransformation,
    *,
    augment: Callable | InBatch,
    total_steps: int,
    momentum: float = 0.99,
    axis_name: str | None = None,
) -> Method:
    """Minimises `losses.byol`: 2 - 2 cos of prediction and teacher's projection, summed over both views.

    The teacher encodes both views in training mode, each view with batch statistics of its own; no gradient
    reaches it. After each optimizer update it moves towards the student; its momentum rises from `momentum` to 1 at
    the last step.

    Args:
        encoder, projector, predictor: Linen modules `module(x, train)`, `[B, ...] -> [B, H]`, `[B, H] -> [B, D]`
            and `[B, D] -> [B, D]`.
        tx: the optimizer.
        augment: `(key, example) -> (x1, x2)`, a policy of `unsupjax.augment`.
        total_steps: of the run, micro-steps counted.
        momentum: of the teacher at the start, in [0, 1]; 0.996 for long runs.
        axis_name: the mapped device axis under `pmap` or `shard_map`; the modules' batch norm names it too.

    `encode` gives the features of the online (trained) encoder, batch norm in evaluation mode.

    Raises:
        ValueError: `momentum` is not in [0, 1].

    Source: Grill et al., "Bootstrap your own latent", NeurIPS 2020.
    """

    def pair_loss(p1, z2, p2, z1):
        return losses.byol(p1, z2, p2, z1), {}

    return bootstrap(
        encoder,
        projector,
        predictor,
        tx,
        pair_loss,
        augment=augment,
        total_steps=total_steps,
        momentum=momentum,
        axis_name=axis_name,
    )
