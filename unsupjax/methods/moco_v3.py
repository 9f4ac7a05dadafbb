"""MoCo v3: a prediction of one view finds the teacher's projection of the other among those of the whole batch."""

from collections.abc import Callable

import flax.linen as nn
import jax
import optax

from unsupjax import losses
from unsupjax.augment import InBatch
from unsupjax.methods.base import Method
from unsupjax.methods.parts.bootstrap import bootstrap


def moco_v3(
    encoder: nn.Module,
    projector: nn.Module,
    predictor: nn.Module,
    tx: optax.GradientTransformation,
    *,
    augment: Callable | InBatch,
    total_steps: int,
    temperature: float = 0.2,
    momentum: float = 0.99,
    axis_name: str | None = None,
) -> Method:
    r"""Minimises :math:`2 \tau (\mathrm{InfoNCE}(p_1, z_2) + \mathrm{InfoNCE}(p_2, z_1))`; there is no queue.

    The candidates for a prediction p are the teacher's projections z of the other view of all examples of the global
    batch, without gradient. The teacher encodes in training mode, each view with batch statistics of its own, and
    moves after each optimizer update; its momentum rises from `momentum` to 1 at the last step.

    Args:
        encoder, projector, predictor: Linen modules `module(x, train)`, `[B, ...] -> [B, H]`, `[B, H] -> [B, D]`
            and `[B, D] -> [B, D]`.
        tx: the optimizer.
        augment: `(key, example) -> (x1, x2)`, a policy of `unsupjax.augment`.
        total_steps: of the run, micro-steps counted.
        temperature: of the softmax over cosine similarities.
        momentum: of the teacher at the start, in [0, 1].
        axis_name: the mapped device axis under `pmap` or `shard_map`; the modules' batch norm names it too.

    `encode` gives the features of the online (trained) encoder, batch norm in evaluation mode.

    Raises:
        ValueError: `momentum` is not in [0, 1].

    Source: Chen, Xie and He, "An empirical study of training self-supervised vision transformers", ICCV 2021.
    """

    def one_side(prediction, target):
        target = jax.lax.stop_gradient(target)
        values = losses.info_nce(prediction, target, temperature=temperature, axis_name=axis_name)
        return values, losses.contrastive_accuracy(prediction, target, axis_name=axis_name).mean()

    def pair_loss(p1, z2, p2, z1):
        (first, first_hits), (second, second_hits) = one_side(p1, z2), one_side(p2, z1)
        metrics = {"contrastive_accuracy": (first_hits + second_hits) / 2}
        return 2 * temperature * (first + second), metrics

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
