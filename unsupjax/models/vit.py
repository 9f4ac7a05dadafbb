"""Vision transformers."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from unsupjax.models.layers import patched, require_images
from unsupjax.models.transformer import MLPS, XAVIER, Block

NORMS = ("LayerNorm_0", "LayerNorm_1")  # the names of a block's


def sincos_positions(height: int, width: int, features: int) -> jax.Array:
    r"""Sines and cosines of the row and the column of every patch.

    A quarter of the features each for :math:`\sin(c \omega_k), \cos(c \omega_k), \sin(r \omega_k),
    \cos(r \omega_k)` of column c and row r, :math:`\omega_k = 10000^{-4k / D}`.

    Args:
        height, width: of the image, in patches.
        features: D, a multiple of 4.

    Returns:
        `[height * width, features]` float32, row by row.

    Raises:
        ValueError: `features` is no multiple of 4.

    Source: Chen et al., "An empirical study of training self-supervised vision transformers", ICCV 2021.
    """
    if features % 4:
        raise ValueError(f"sine-cosine positions need a width that 4 divides, and got {features}")
    omega = 10000.0 ** (-jnp.arange(0, features, 4, dtype=jnp.float32) / features)
    row, column = jnp.indices((height, width), jnp.float32).reshape(2, -1, 1)
    c, r = column * omega[None], row * omega[None]
    return jnp.concatenate([jnp.sin(c), jnp.cos(c), jnp.sin(r), jnp.cos(r)], axis=1)


class ViT(nn.Module):
    """A vision transformer with layer norm before each part (and after the last).

    `[B, H, W, C] -> [B, width]`. The defaults are ViT-Ti with patches for images of 32 x 32. Positions that are
    learned have the number of patches in their shape; the class token has none.

    Attributes:
        patch_size: side of a patch in pixels; it divides H and W.
        width: features of a token.
        depth: number of blocks.
        heads: attention heads; they divide `width`.
        mlp_ratio: hidden features of a block's perceptron, as a multiple of `width`.
        pool: the output, `"token"` (a class token) or `"mean"` (of all patches, without such a token).
        positions: `"sincos"`, of both axes, or `"learned"`.
        mlp: "gelu_exact", "gelu" (its tanh form), "relu2" or "swiglu".
        freeze_patches: the projection of patches keeps its random start; its parameters are called
            `frozen_patches`, which `unsupjax.optimizers` do not decay.
        dtype: compute dtype; parameters, normalisation and attention weights are float32.

    Source: Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021; start, `"sincos"` and `freeze_patches`:
    Chen et al., "An empirical study of training self-supervised vision transformers", ICCV 2021.
    """

    patch_size: int = 4
    width: int = 192
    depth: int = 12
    heads: int = 3
    mlp_ratio: float = 4.0
    pool: str = "token"
    positions: str = "sincos"
    freeze_patches: bool = False
    mlp: str = "gelu_exact"
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        self._check(x)
        x = self._embed(x)
        if self.pool == "token":
            token = self.param("token", nn.initializers.normal(0.02), (self.width,))
            token = jnp.broadcast_to(token.astype(x.dtype), (x.shape[0], 1, self.width))
            x = jnp.concatenate([token, x], axis=1)
        hidden = round(self.mlp_ratio * self.width)
        fields = {"mlp": self.mlp, "start": "xavier", "norms": NORMS, "dtype": self.dtype}
        for i in range(self.depth):
            x, _ = Block(self.heads, hidden, **fields, name=f"block{i}")(x)
        x = nn.LayerNorm(dtype=self.dtype)(x)
        return x[:, 0] if self.pool == "token" else x.mean(axis=1)

    def _check(self, x: jax.Array) -> None:
        require_images(x, "a ViT")
        if self.patch_size < 1:
            raise ValueError(f"patch_size={self.patch_size} must be at least 1")
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        choices = (("pool", ("token", "mean")), ("positions", ("sincos", "learned")), ("mlp", MLPS))
        for name, known in choices:
            if getattr(self, name) not in known:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; one of {', '.join(known)}")

    def _embed(self, x: jax.Array) -> jax.Array:
        """`[B, patches, width]`: projected patches and their positions."""
        rows, columns = (side // self.patch_size for side in x.shape[1:3])
        x = patched(x, self.patch_size)
        name = "frozen_patches" if self.freeze_patches else "patches"
        x = nn.Dense(self.width, dtype=self.dtype, kernel_init=XAVIER, name=name)(x)
        if self.freeze_patches:
            x = jax.lax.stop_gradient(x)
        if self.positions == "sincos":
            where = sincos_positions(rows, columns, self.width)
        else:
            where = self.param("positions", nn.initializers.normal(0.02), (rows * columns, self.width))
        return x + where.astype(x.dtype)[None]
