"""An encoder with its weights, as it lies in files: arrays by names, and what describes them."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from unsupjax.errors import UserError, choose

if TYPE_CHECKING:
    import flax.linen as nn

FORMAT = "unsupjax encoder"
VERSION = 1


class Encoder(NamedTuple):
    """A trained encoder.

    Attributes:
        section: the name of its network in `unsupjax.models.ENCODERS`, and the arguments.
        arrays: float32, by our names: "params/Conv_0/kernel", "batch_stats/BatchNorm_0/mean".
        kind: of its data, of `unsupjax.data.kinds`.
        width: D, of its output `[N, D]`.
    """

    section: dict[str, Any]
    arrays: dict[str, np.ndarray]
    kind: Any
    width: int

    def description(self, layout: str) -> dict[str, Any]:
        """What `config.json` and the header of the file say; `layout`: whose names the arrays have."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "layout": layout,
            "encoder": self.section,
            "kind": self.kind.to_json(),
            "input": {"shape": list(self.kind.example().shape), "dtype": "float32"},
            "output": {"shape": [self.width], "dtype": "float32"},
        }


def module(section: Mapping[str, Any]) -> "nn.Module":
    """The network that a description names.

    Raises:
        UserError: no such network, or one that refuses the arguments.
    """
    from unsupjax.models import ENCODERS

    factory = choose("the encoder's network", section.get("name", ""), ENCODERS)
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in section.items() if k != "name"}
    try:
        return factory(**given)
    except (TypeError, ValueError) as error:
        raise UserError(f"the encoder's network {section['name']!r}: {error}") from error


def of_patches(
    section: Mapping[str, Any], params: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A masked autoencoder's encoder, which sees all patches, as the `ViT` that it is.

    Args:
        section: the name and the arguments of a network of `unsupjax.models.SEQUENCES`.
        params: its parameters.

    Returns:
        The section of the `ViT` and its arrays by our names; both empty of any other network.
    """
    if section.get("name") != "patches" or section["norm"] != "layer":
        return {}, {}
    made = {"name": "vit", "pool": "mean", "positions": "sincos"}
    made |= {name: section[name] for name in ("patch_size", "width", "depth", "heads", "mlp_ratio", "mlp")}
    whole = {"embed": "patches", "last": "LayerNorm_0"} | {
        f"block{i}": f"block{i}" for i in range(section["depth"])
    }
    parts = {"norm1": "LayerNorm_0", "norm2": "LayerNorm_1"}
    arrays = {}
    for name, value in flat(params).items():
        first, _, rest = name.partition("/")
        part, _, leaf = rest.partition("/")
        if first in whole:
            after = f"{parts.get(part, part)}/{leaf}" if leaf else rest
            arrays[f"params/{whole[first]}/{after}"] = np.asarray(value, np.float32)
    return made, arrays


def flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """`{"params": {"Dense_0": {"kernel": x}}}` as `{"params/Dense_0/kernel": x}`."""
    return dict(_leaves(tree, ()))


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key in sorted(tree):
        if isinstance(tree[key], Mapping):
            yield from _leaves(tree[key], (*path, key))
        else:
            yield "/".join((*path, key)), tree[key]


def nested(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flat`: the variables of a Flax module."""
    tree: dict[str, Any] = {}
    for name, value in arrays.items():
        *parents, last = name.split("/")
        node = tree
        for key in parents:
            node = node.setdefault(key, {})
        node[last] = value
    return tree
