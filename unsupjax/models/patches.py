"""Transformers over some of the patches of a picture, or of a window of time."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from unsupjax.models.transformer import XAVIER, Block
from unsupjax.models.vit import sincos_positions


class PatchAutoencoder(nn.Module):
    """An encoder that sees some patches, and a lighter decoder that predicts all of them.

    Attributes:
        shape: (H, W, C) of a picture, or (W, C) of a window.
        patch_size: side of a patch; it divides H and W. Of a window its steps; see `models.layers.patched`.
        width: features of a token of the encoder; a multiple of 4, as `decoder_width`.
        depth: blocks of the encoder.
        heads: attention heads of both; they divide both widths.
        mlp_ratio: hidden features of a perceptron, as a multiple of the width.
        decoder_width: features of a token of the decoder.
        decoder_depth: blocks of the decoder.
        norm: "rms" or "layer".
        mlp: "relu2", "gelu" (its tanh form), "gelu_exact" or "swiglu".
        dtype: compute dtype; parameters, norms and what comes out are float32.

    Source: He et al., "Masked autoencoders are scalable vision learners", CVPR 2022.
    """

    shape: tuple[int, ...]
    patch_size: int = 4
    width: int = 128
    depth: int = 4
    heads: int = 4
    mlp_ratio: float = 4.0
    decoder_width: int = 64
    decoder_depth: int = 1
    norm: str = "layer"
    mlp: str = "gelu"
    dtype: jnp.dtype | None = None

    def setup(self):
        """The layers."""
        *sides, channels = self.shape
        rows, columns = [1, *(-(-side // self.patch_size) for side in sides)][-2:]
        self.places = sincos_positions(rows, columns, self.width)
        self.decoder_places = sincos_positions(rows, columns, self.decoder_width)
        dense = lambda n: nn.Dense(n, dtype=self.dtype, kernel_init=XAVIER)
        self.embed, self.narrow = dense(self.width), dense(self.decoder_width)
        self.output = dense(self.patch_size ** len(sides) * channels)
        self.hidden = self.param("hidden", nn.initializers.normal(0.02), (self.decoder_width,))
        self.blocks = [self._block(self.width, f"block{i}") for i in range(self.depth)]
        self.decoder_blocks = [
            self._block(self.decoder_width, f"decoder_block{i}") for i in range(self.decoder_depth)
        ]
        self.last, self.decoder_last = nn.LayerNorm(1e-6), nn.LayerNorm(1e-6)

    def _block(self, width: int, name: str) -> Block:
        hidden = round(self.mlp_ratio * width)
        return Block(self.heads, hidden, self.norm, self.mlp, dtype=self.dtype, start="xavier", name=name)

    def encode(self, patches: jax.Array, index: jax.Array) -> jax.Array:
        """Tokens float32 `[B, K, width]` of the patches `[B, K, D]` that stand at `index`, int32 `[B, K]`."""
        x = self.embed(patches)
        x = x + self.places[index].astype(x.dtype)
        return self.last(self._through(self.blocks, x).astype(jnp.float32))

    def decode(self, tokens: jax.Array, index: jax.Array) -> jax.Array:
        """All P patches float32 `[B, P, D]`, of the tokens of those at `index`."""
        x = self.narrow(tokens)
        batch, total = len(x), len(self.decoder_places)
        whole = jnp.broadcast_to(self.hidden.astype(x.dtype), (batch, total, self.decoder_width))
        whole = jax.vmap(lambda all, i, some: all.at[i].set(some))(whole, index, x)
        whole = whole + self.decoder_places[None].astype(x.dtype)
        whole = self._through(self.decoder_blocks, whole).astype(jnp.float32)
        return self.output(self.decoder_last(whole)).astype(jnp.float32)

    def _through(self, blocks: list, x: jax.Array) -> jax.Array:
        for block in blocks:
            x, _ = block(x)
        return x

    def __call__(self, patches: jax.Array, index: jax.Array) -> jax.Array:
        """`decode(encode(patches, index), index)`."""
        return self.decode(self.encode(patches, index), index)
