"""What stands between an encoder and a loss in training: projectors and predictors."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from unsupjax.models.layers import batch_norm


class ProjectionHead(nn.Module):
    """Dense layers to each of `features`, with batch norm and relu after all but the last, which is linear.

    `[B, D] -> [B, features[-1]]`, or the input where `features` is empty. Dense layers have a bias in a head
    without batch norm alone: before a batch norm it does nothing, and the papers below leave the last one out too.

    | | features | batch_norm | last_norm |
    |---|---|---|---|
    | SimCLR | (D, 128) | yes | as one likes: its code has one |
    | MoCo v2 | (D, 128) | no | no |
    | BYOL, projector and predictor | (4096, 256) | yes | no |
    | MoCo v3, projector | (4096, 4096, 256) | yes | yes |
    | MoCo v3, predictor | (4096, 256) | yes | for ViT |
    | SimSiam, projector | (2048, 2048, 2048) | yes | yes |
    | SimSiam, predictor | (512, 2048) | yes | no |
    | Barlow Twins, VICReg | (8192, 8192, 8192) | yes | no |
    | DINO, before its prototypes | (2048, 2048, 256) | for convolutions | no |

    Attributes:
        features: widths of the layers.
        batch_norm: after hidden layers.
        last_norm: batch norm without gamma and beta after the last layer.
        norm_momentum: of the running statistics, which lie in `batch_stats`.
        dtype: compute dtype; parameters and statistics are float32.
        axis_name: the device axis of batch statistics under `pmap`.

    Source: Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020; Chen et
    al., "Improved baselines with momentum contrastive learning", 2020; Grill et al., "Bootstrap your own latent",
    NeurIPS 2020; Chen et al., "An empirical study of training self-supervised vision transformers", ICCV 2021;
    Chen and He, "Exploring simple Siamese representation learning", CVPR 2021; Zbontar et al., "Barlow Twins:
    self-supervised learning via redundancy reduction", ICML 2021; Bardes et al., "VICReg", ICLR 2022.
    """

    features: Sequence[int] = (512, 128)
    batch_norm: bool = True
    last_norm: bool = False
    norm_momentum: float = 0.9
    dtype: jnp.dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        norm = {"momentum": self.norm_momentum, "dtype": self.dtype, "axis_name": self.axis_name}
        for i, n in enumerate(self.features, 1):
            x = nn.Dense(n, use_bias=not self.batch_norm, dtype=self.dtype)(x)
            if i < len(self.features):
                x = nn.relu(batch_norm(train, **norm)(x) if self.batch_norm else x)
        return batch_norm(train, affine=False, **norm)(x) if self.last_norm else x


class Prototypes(nn.Module):
    """Cosines of inputs with each of `count` directions that are learnt, `[B, D] -> [B, count]`, float32.

    A dense layer without bias, its weights normalised with a gain of 1 that is not learnt, of inputs of unit length.

    Attributes:
        count: K, directions.

    Source: Salimans and Kingma, "Weight normalization", NeurIPS 2016; Caron et al., "Emerging properties in
    self-supervised vision transformers", ICCV 2021.
    """

    count: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = x.astype(jnp.float32)
        length = jnp.sqrt(jnp.maximum(jnp.square(x).sum(axis=-1, keepdims=True), 1e-24))
        return nn.WeightNorm(nn.Dense(self.count, use_bias=False), use_scale=False)(x / length)
