"""How labels enter the networks of a conditional GAN."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from unsupjax.models.gan.spectral import SpectralDense
from unsupjax.models.layers import batch_norm


def check_label(classes: int, label: jax.Array | None) -> None:
    """ValueError where labels are given to an unconditional network, or missing in a conditional one."""
    if classes and label is None:
        raise ValueError(f"a network of {classes} classes needs the label of each example")
    if label is not None and not classes:
        raise ValueError("an unconditional network takes no labels; set its classes")


def embedded(classes: int, z: jax.Array, label: jax.Array | None) -> jax.Array:
    """z `[B, L]`, and where there are classes L learned numbers of the label's, `[B, 2 L]`; in a compact module.

    They start as standard normal, as z is.
    """
    check_label(classes, label)
    if not classes:
        return z
    embedding = nn.Embed(classes, z.shape[1], embedding_init=nn.initializers.normal(1.0), name="embedding")
    return jnp.concatenate([z, embedding(label)], axis=1)


class Logit(nn.Module):
    r"""The last layer of a discriminator, :math:`w^T h + b`, and with classes :math:`+ e_y^T h`, e an embedding.

    `[B, H] float32, int [B] -> [B]`.

    Attributes:
        classes: 0 without labels.
        spectral: divides w, and the embeddings of all classes as one matrix, by their spectral norms.
        use_bias: with b.
        kernel_init: of w.

    Source: Miyato and Koyama, "cGANs with projection discriminator", ICLR 2018.
    """

    classes: int = 0
    spectral: bool = False
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, h: jax.Array, label: jax.Array | None = None) -> jax.Array:
        check_label(self.classes, label)
        dense = SpectralDense if self.spectral else nn.Dense
        logit = dense(1, use_bias=self.use_bias, kernel_init=self.kernel_init, name="output")(h)[:, 0]
        if not self.classes:
            return logit
        like_w = nn.initializers.variance_scaling(1.0, "fan_out", "normal")
        embedding = dense(h.shape[1], use_bias=False, kernel_init=like_w, name="embedding")
        return logit + (embedding(jax.nn.one_hot(label, self.classes)) * h).sum(axis=1)


class LabelledBatchNorm(nn.Module):
    r"""Batch norm whose :math:`\gamma` and :math:`\beta` are those of the example's class where there are classes.

    `[B, H, W, C], int [B] -> [B, H, W, C]`; statistics are over the global batch whatever the classes.

    Attributes:
        classes: 0 for one gamma and beta.
        momentum: of the running statistics.
        dtype: of the output.
        axis_name: the device axis of batch statistics under `pmap`.

    Source: Dumoulin, Shlens and Kudlur, "A learned representation for artistic style", ICLR 2017.
    """

    classes: int = 0
    momentum: float = 0.9
    dtype: jnp.dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, label: jax.Array | None = None, train: bool = False) -> jax.Array:
        norm = batch_norm(
            train,
            momentum=self.momentum,
            dtype=self.dtype,
            axis_name=self.axis_name,
            affine=not self.classes,
        )
        x = norm(x)
        if not self.classes:
            return x
        scale = self.param("scale", nn.initializers.ones, (self.classes, x.shape[-1]))
        bias = self.param("bias", nn.initializers.zeros, (self.classes, x.shape[-1]))
        scale, bias = (jnp.take(p, label, axis=0)[:, None, None].astype(x.dtype) for p in (scale, bias))
        return x * scale + bias
