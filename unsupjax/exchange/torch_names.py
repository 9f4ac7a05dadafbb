"""Our encoders under the names and layouts of torchvision and timm, there and back.

Kernels of convolutions are HWIO here and OIHW there, those of dense layers [in, out] here and [out, in] there. Names
are made from ours one by one, so that both directions are one table.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from unsupjax.errors import UserError

if TYPE_CHECKING:
    import flax.linen as nn

    from unsupjax.models.vit import ViT


class Layout(NamedTuple):
    """An array's form in PyTorch, `to(ours) -> theirs`, and `back(theirs) -> ours`."""

    to: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]


SAME = Layout(lambda x: x, lambda x: x)
CONV = Layout(lambda x: x.transpose(3, 2, 0, 1), lambda x: x.transpose(2, 3, 1, 0))
DENSE = Layout(lambda x: x.T, lambda x: x.T)
TOKEN = Layout(lambda x: x[None, None], lambda x: x[0, 0])
POSITIONS = Layout(lambda x: x[None], lambda x: x[0])

# Of batch norm and layer norm, and the rest of a layer.
_LEAVES = {
    "scale": "weight", "bias": "bias", "kernel": "weight", "mean": "running_mean", "var": "running_var",
}  # fmt: skip
_RESNET = re.compile(r"(?:stage(\d+)_block(\d+)/)?(Conv|BatchNorm)_(\d+)/(\w+)")
_VIT_LAYERS = {
    "LayerNorm_0": "norm1", "qkv": "attn.qkv", "attended": "attn.proj",
    "LayerNorm_1": "norm2", "hidden": "mlp.fc1", "output": "mlp.fc2",
}  # fmt: skip


def _resnet_name(name: str, convolutions: int) -> tuple[str, Layout]:
    stage, block, layer, index, leaf = _RESNET.fullmatch(name).groups()
    layout = CONV if layer == "Conv" else SAME
    if stage is None:
        place = {"Conv": "conv1", "BatchNorm": "bn1"}[layer]
    elif int(index) < convolutions:
        place = (
            f"layer{int(stage) + 1}.{block}.{ {'Conv': 'conv', 'BatchNorm': 'bn'}[layer] }{int(index) + 1}"
        )
    else:  # beside the block, where the shape changes
        place = f"layer{int(stage) + 1}.{block}.downsample.{ {'Conv': 0, 'BatchNorm': 1}[layer] }"
    return f"{place}.{_LEAVES[leaf]}", layout


def _patches(size: int) -> Layout:
    """A dense layer of flattened patches `[size * size * C, D]` as a convolution `[D, C, size, size]`."""
    return Layout(
        lambda x: x.reshape(size, size, -1, x.shape[-1]).transpose(3, 2, 0, 1),
        lambda x: x.transpose(2, 3, 1, 0).reshape(-1, x.shape[0]),
    )


def _vit_name(name: str, patch_size: int) -> tuple[str, Layout]:
    layer, _, leaf = name.rpartition("/")
    if not layer:
        return {"token": ("cls_token", TOKEN), "positions": ("pos_embed", POSITIONS)}[leaf]
    if layer in ("patches", "frozen_patches"):
        layout = _patches(patch_size) if leaf == "kernel" else SAME
        return f"patch_embed.proj.{_LEAVES[leaf]}", layout
    if layer == "LayerNorm_0":
        return f"norm.{_LEAVES[leaf]}", SAME
    block, _, part = layer.partition("/")
    theirs = f"blocks.{block.removeprefix('block')}.{_VIT_LAYERS[part]}.{_LEAVES[leaf]}"
    return theirs, DENSE if leaf == "kernel" else SAME


def names(network: "nn.Module", ours: Mapping[str, object]) -> dict[str, tuple[str, Layout]]:
    """PyTorch's name and layout of each of our names; empty for a network that torchvision and timm have not."""
    from unsupjax.models import ResNet, ViT

    if isinstance(network, ResNet):
        rename = lambda name: _resnet_name(name, {"basic": 2, "bottleneck": 3}[network.block])
    elif isinstance(network, ViT):
        rename = lambda name: _vit_name(name, network.patch_size)
    else:
        return {}
    return {name: rename(name.partition("/")[2]) for name in ours}


def to_torch(network: "nn.Module", arrays: Mapping[str, np.ndarray], grid: tuple[int, int]) -> dict:
    """Our arrays under PyTorch's names.

    Args:
        network: a `ResNet` or a `ViT`.
        arrays: float32, by our names.
        grid: rows and columns of patches, for positions that are no parameters.
    """
    table = names(network, arrays)
    made = {theirs: layout.to(arrays[name]) for name, (theirs, layout) in table.items()}
    # What PyTorch counts beside running statistics; nothing here reads it.
    counted = [name.replace("running_mean", "num_batches_tracked") for name in made if "running_mean" in name]
    made |= {name: np.zeros((), np.int64) for name in counted}
    if getattr(network, "positions", "") == "sincos":
        made["pos_embed"] = _sincos(network, grid)[None]
    return made


def _sincos(network: "ViT", grid: tuple[int, int]) -> np.ndarray:
    from unsupjax.models.vit import sincos_positions

    return np.asarray(sincos_positions(*grid, network.width))


def is_torch(arrays: Mapping[str, object]) -> bool:
    """Whether these are PyTorch's names: dots, where ours have slashes."""
    return any(name.endswith((".weight", ".running_mean")) for name in arrays) and not any(
        name.startswith("params/") for name in arrays
    )


def from_torch(
    network: "nn.Module", arrays: Mapping[str, np.ndarray], wanted: Mapping[str, tuple], grid: tuple[int, int]
) -> dict[str, np.ndarray]:
    """PyTorch's arrays under our names; classifiers are left out, and what has no name of ours keeps its own.

    A class token with a position is taken with the two added, as they are wherever they are used.

    Args:
        network: of the run that is to start from them.
        arrays: by PyTorch's names.
        wanted: shapes by our names.
        grid: rows and columns of patches.

    Raises:
        UserError: torchvision and timm have no such network; positions that are others than the network's.
    """
    table = names(network, wanted)
    if not table:
        raise UserError(
            f"the file has names of PyTorch's, and {type(network).__name__} is no network of torchvision or timm: take "
            "config.encoder.name='resnet18', 'resnet50' or 'vit', or a file that `unsupjax export` wrote"
        )
    given = {k: v for k, v in arrays.items() if k.partition(".")[0] not in ("fc", "head", "fc_norm")}
    if "pos_embed" in given:
        given = _placed(network, given, grid)
    made = {}
    for name, (theirs, layout) in table.items():
        if theirs in given:
            value = given.pop(theirs)
            made[name] = layout.back(value) if value.ndim == _rank(layout, wanted[name]) else value
    return made | given


def _rank(layout: Layout, shape: tuple) -> int:
    """Of the array in PyTorch whose shape here is `shape`."""
    try:
        return layout.to(np.empty(shape, np.float32)).ndim
    except ValueError:
        return -1


def _placed(network: "nn.Module", given: dict, grid: tuple[int, int]) -> dict:
    """With positions of patches alone."""
    given, patches = dict(given), int(np.prod(grid))
    positions = given["pos_embed"]
    if positions.shape[1:2] == (patches + 1,) and "cls_token" in given:
        given["cls_token"] = given["cls_token"] + positions[:, :1]
        given["pos_embed"] = positions = positions[:, 1:]
    if getattr(network, "positions", "") == "sincos":
        ours = _sincos(network, grid)[None]
        if positions.shape != ours.shape or not np.allclose(positions, ours, atol=1e-3):
            raise UserError(
                f"the file has positions pos_embed {positions.shape} of its own, and the run's are sines and cosines "
                f"{ours.shape}: set config.encoder.positions='learned'"
            )
        del given["pos_embed"]
    return given
