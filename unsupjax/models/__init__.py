"""Flax Linen modules; they know no method. `ENCODERS`, `DECODERS` and so on name them for configs.

Encoders and heads are called as `module(x, train=False)` and give `[B, features]`. Those with batch norm have
`batch_stats` beside their parameters, which a call with `train=True` updates, and a field `axis_name`.

Generators are called as `module(z, label=None, train=False)` and give examples; discriminators as `module(x,
label=None, train=False, features=False)` and give logits `[B]`, or the features before the last layer. Both need the
label, int `[B]`, where their `classes` are above 0, and refuse it otherwise.
"""

from unsupjax.models.cnn import CNN as CNN
from unsupjax.models.conv import ConvDecoder as ConvDecoder
from unsupjax.models.conv import ConvEncoder as ConvEncoder
from unsupjax.models.gan.dcgan import DCGANDiscriminator as DCGANDiscriminator
from unsupjax.models.gan.dcgan import DCGANGenerator as DCGANGenerator
from unsupjax.models.gan.mlp import MLPDiscriminator as MLPDiscriminator
from unsupjax.models.gan.mlp import MLPGenerator as MLPGenerator
from unsupjax.models.gan.r3gan import R3GANDiscriminator as R3GANDiscriminator
from unsupjax.models.gan.r3gan import R3GANGenerator as R3GANGenerator
from unsupjax.models.gan.sngan import SNGANDiscriminator as SNGANDiscriminator
from unsupjax.models.gan.sngan import SNGANGenerator as SNGANGenerator
from unsupjax.models.gan.spectral import SpectralConv as SpectralConv
from unsupjax.models.gan.spectral import SpectralDense as SpectralDense
from unsupjax.models.heads import ProjectionHead as ProjectionHead
from unsupjax.models.heads import Prototypes as Prototypes
from unsupjax.models.mlp import MLPDecoder as MLPDecoder
from unsupjax.models.mlp import MLPEncoder as MLPEncoder
from unsupjax.models.patches import PatchAutoencoder as PatchAutoencoder
from unsupjax.models.resnet import ResNet as ResNet
from unsupjax.models.resnet import resnet18 as resnet18
from unsupjax.models.resnet import resnet50 as resnet50
from unsupjax.models.restorers import DnCNN as DnCNN
from unsupjax.models.restorers import UNet as UNet
from unsupjax.models.transformer import Transformer as Transformer
from unsupjax.models.transformer import transformer as transformer
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
SEQUENCES = {"patches": PatchAutoencoder, "transformer": transformer}  # of the section `network`
DECODERS = {"mlp": MLPDecoder, "conv": ConvDecoder}
RESTORERS = {"dncnn": DnCNN, "unet": UNet}
HEADS = {"mlp": ProjectionHead}  # of the sections `projector` and `predictor`
GENERATORS = {
    "mlp": MLPGenerator,
    "dcgan": DCGANGenerator,
    "sngan": SNGANGenerator,
    "r3gan": R3GANGenerator,
}
DISCRIMINATORS = {
    "mlp": MLPDiscriminator,
    "dcgan": DCGANDiscriminator,
    "sngan": SNGANDiscriminator,
    "r3gan": R3GANDiscriminator,
}
