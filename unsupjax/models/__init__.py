"""Flax Linen modules; they know no method. `ENCODERS` and `DECODERS` name them for configs."""

from unsupjax.models.conv import ConvDecoder as ConvDecoder
from unsupjax.models.conv import ConvEncoder as ConvEncoder
from unsupjax.models.mlp import MLPDecoder as MLPDecoder
from unsupjax.models.mlp import MLPEncoder as MLPEncoder

ENCODERS = {"mlp": MLPEncoder, "conv": ConvEncoder}
DECODERS = {"mlp": MLPDecoder, "conv": ConvDecoder}
