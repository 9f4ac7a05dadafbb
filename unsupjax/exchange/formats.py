"""The forms of an encoder's weights: our names, torchvision's, timm's; each with the lines that load it."""

import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from unsupjax.errors import UserError
from unsupjax.exchange import files
from unsupjax.exchange.encoder import Encoder, module
from unsupjax.exchange.torch_names import to_torch

if TYPE_CHECKING:
    from unsupjax.models import ResNet, ViT

_MEND = "take --format=safetensors, or --format=stablehlo"
_WIDTH = 64  # of the first stage, in torchvision and timm
_ACTIVATIONS = {"gelu_exact": "gelu", "gelu": "gelu_tanh"}
_BLOCKS = {"basic": "BasicBlock", "bottleneck": "Bottleneck"}
_KNOWN = {("basic", (2, 2, 2, 2)): "resnet18", ("bottleneck", (3, 4, 6, 3)): "resnet50"}


class Form(NamedTuple):
    """A form of weights.

    Attributes:
        write: `(encoder, path, shown) -> str`: writes the file; gives Python that loads it from the folder `shown`.
        what: it is, in a few words.
    """

    write: Callable[[Encoder, pathlib.Path, str], str]
    what: str


def _ours(encoder: Encoder, path: pathlib.Path, shown: str) -> str:
    files.write(path, encoder.arrays, encoder.description("unsupjax"))
    return f"""from unsupjax import exchange

network, variables = exchange.load({shown!r})  # a Flax module and its variables
codes = network.apply(variables, x, train=False)  # x float32 {_batch(encoder)}"""


def _torchvision(encoder: Encoder, path: pathlib.Path, shown: str) -> str:
    network = _resnet(encoder, "torchvision")
    made = _constructor(network, "torchvision.models.{}()", "torchvision.models.resnet")
    return _torch(
        encoder, network, path, shown, "torchvision", [f"model = {made}", *_changes(network, encoder)]
    )


def _timm(encoder: Encoder, path: pathlib.Path, shown: str) -> str:
    from unsupjax.models import ViT

    network = module(encoder.section)
    if isinstance(network, ViT):
        return _torch(encoder, network, path, shown, "timm", [f"model = {_vit(network, encoder)}"])
    network = _resnet(encoder, "timm")
    made = _constructor(network, "timm.create_model({!r})", "timm.models.resnet")
    return _torch(encoder, network, path, shown, "timm", [f"model = {made}", *_changes(network, encoder)])


FORMS = {
    "safetensors": Form(_ours, "weights under our own names"),
    "torchvision": Form(_torchvision, "weights of a ResNet as torchvision names them"),
    "timm": Form(_timm, "weights of a vision transformer or a ResNet as timm names them"),
}


def _resnet(encoder: Encoder, library: str) -> "ResNet":
    """The network, where that library has it."""
    from unsupjax.models import ResNet

    network = module(encoder.section)
    if not isinstance(network, ResNet):
        raise UserError(f"{library} has no network such as {encoder.section['name']!r}: {_MEND}")
    if network.width != _WIDTH or len(network.stage_sizes) != 4:
        raise UserError(
            f"{library}'s ResNets have four stages and a width of {_WIDTH}, and this one has "
            f"{len(network.stage_sizes)} and {network.width}: {_MEND}"
        )
    return network


def _constructor(network: "ResNet", known: str, library: str) -> str:
    sizes = tuple(network.stage_sizes)
    if name := _KNOWN.get((network.block, sizes)):
        return known.format(name)
    return f"{library}.ResNet({library}.{_BLOCKS[network.block]}, {list(sizes)})"


def _changes(network: "ResNet", encoder: Encoder) -> list[str]:
    """Lines that make of the library's ResNet one with our stem and without a classifier."""
    channels, lines = encoder.kind.shape[-1], []
    if network.stem != "imagenet":
        stride = 1 if network.stem == "cifar" else 2
        lines.append(f"model.conv1 = torch.nn.Conv2d({channels}, {_WIDTH}, 3, {stride}, 1, bias=False)")
        lines.append("model.maxpool = torch.nn.Identity()")
    elif channels != 3:
        lines.append(f"model.conv1 = torch.nn.Conv2d({channels}, {_WIDTH}, 7, 2, 3, bias=False)")
    return [*lines, "model.fc = torch.nn.Identity()"]


def _vit(network: "ViT", encoder: Encoder) -> str:
    height, width, channels = encoder.kind.shape
    hidden = round(network.mlp_ratio * network.width)
    ratio = network.mlp_ratio
    if int(network.width * ratio) != hidden:  # timm rounds down
        ratio = (hidden + 0.5) / network.width
    token = network.pool == "token"
    if network.mlp not in _ACTIVATIONS:
        raise UserError(f"timm's vision transformers have no mlp={network.mlp!r}: {_MEND}")
    return (
        f"timm.models.vision_transformer.VisionTransformer(\n"
        f"    img_size=({height}, {width}), patch_size={network.patch_size}, in_chans={channels}, num_classes=0,\n"
        f"    embed_dim={network.width}, depth={network.depth}, num_heads={network.heads}, mlp_ratio={ratio!r},\n"
        f"    class_token={token}, global_pool={'token' if token else 'avg'!r}, fc_norm=False, no_embed_class=True,\n"
        f"    act_layer={_ACTIVATIONS[network.mlp]!r}, norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),\n)"
    )


def _torch(encoder: Encoder, network, path: pathlib.Path, shown: str, library: str, lines: list[str]) -> str:
    size = getattr(network, "patch_size", 1)
    height, width, channels = encoder.kind.shape
    arrays = to_torch(network, encoder.arrays, (height // size, width // size))
    # transformers and timm ask the header whose tensors these are.
    files.write(path, arrays, encoder.description(library), format="pt")
    imports = ["functools"] if "functools" in "".join(lines) else []
    imports += [library, "torch", "safetensors.torch"]
    return "\n".join(
        [
            *(f"import {name}" for name in imports),
            "",
            *lines,
            f"model.load_state_dict(safetensors.torch.load_file({shown + '/' + files.WEIGHTS!r}), strict=True)",
            "model.eval()",
            f"codes = model(x)  # x float32 [N, {channels}, {height}, {width}], which is x.permute(0, 3, 1, 2)",
        ]
    )


def _batch(encoder: Encoder) -> str:
    return "[N, " + ", ".join(map(str, encoder.kind.example().shape)) + "]"
