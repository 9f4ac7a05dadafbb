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
