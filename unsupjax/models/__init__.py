"""Flax Linen modules; they know no method. `ENCODERS`, `DECODERS` and `HEADS` name them for configs.

Encoders and heads are called as `module(x, train=False)` and give `[B, features]`. Those with batch norm have
`batch_stats` beside their parameters, which a call with `train=True` updates, and a field `axis_name`.
"""

from unsupjax.models.cnn import CNN as CNN
from unsupjax.models.conv import ConvDecoder as ConvDecoder
from unsupjax.models.conv import ConvEncoder as ConvEncoder
from unsupjax.models.heads import ProjectionHead as ProjectionHead
from unsupjax.models.mlp import MLPDecoder as MLPDecoder
from unsupjax.models.mlp import MLPEncoder as MLPEncoder
from unsupjax.models.resnet import ResNet as ResNet
from unsupjax.models.resnet import resnet18 as resnet18
from unsupjax.models.resnet import resnet50 as resnet50
from unsupjax.models.vit import ViT as ViT

ENCODERS = {
    "mlp": MLPEncoder,
    "conv": ConvEncoder,
    "cnn": CNN,
    "resnet": ResNet,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "vit": ViT,
}
DECODERS = {"mlp": MLPDecoder, "conv": ConvDecoder}
HEADS = {"mlp": ProjectionHead}  # of the sections `projector` and `predictor`
