"""Named encoders whose features samples and data are compared in, each with a digest that says which one it was.

A distance in features means something only beside the encoder's name: every result carries it, and the first
digits of the digest.
"""

import functools
import hashlib
import inspect
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax import arrays
from unsupjax.errors import UserError, choose, nearest
from unsupjax.evaluate.judge import Facts
from unsupjax.evaluate.subject import map_batches

if TYPE_CHECKING:
    import flax.linen as nn

FOLDER = pathlib.Path(__file__).parent / "encoders"
_BATCH = 500


class Reference(NamedTuple):
    """An encoder that is fixed for good.

    Attributes:
        name: of the packaged file, or of the user's, without its suffix.
        digest: hexadecimal SHA-256 of the network's description and weights.
        shape: of an input; None: any.
        apply: `x [N, *shape] -> [N, D]` float32, arrays of the host.
    """

    name: str
    digest: str
    shape: tuple[int, ...] | None
    apply: Callable[[np.ndarray], np.ndarray]

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Features `[N, D]` of inputs `[N, ...]`; UserError for inputs of another shape."""
        self.check(x.shape[1:])
        return self.apply(x)

    def check(self, shape: tuple[int, ...]) -> None:
        """UserError where inputs of that shape cannot be encoded."""
        if self.shape not in (None, tuple(shape)):
            raise UserError(
                f"the encoder {self.name!r} takes inputs of shape {self.shape}, and these are {tuple(shape)}: choose "
                "'inputs', or train an encoder on such data and `unsupjax export RUN NAME.npz --format=reference`"
            )

    @property
    def label(self) -> str:
        """`name_1a2b3c4d`, the end of the names of results."""
        return f"{self.name}_{self.digest[:8]}"


def load(name: str) -> Reference:
    """A reference encoder.

    Args:
        name: "inputs", the flattened inputs themselves; the name of a packaged encoder; or the path of an `.npz`
            file that `save` wrote.

    Raises:
        UserError: no such name or file; a file that is damaged or not of this kind.
    """
    if name == "inputs":
        flat = lambda x: np.asarray(x).reshape(len(x), -1)
        return Reference(name, _digest({"name": name}, (), {}), None, flat)
    path = pathlib.Path(name)
    if path.suffix != ".npz":
        packaged = {p.stem: p for p in sorted(FOLDER.glob("*.npz"))}
        if name not in packaged:
            known = nearest(name, ("inputs", *packaged))
            raise UserError(f"the encoder {name!r} is unknown; {known}, or the path of an .npz file")
        path = packaged[name]
    weights, description = arrays.load(path)
    try:
        section, shape, digest = (
            dict(description["network"]),
            tuple(description["shape"]),
            description["digest"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} holds no encoder; write one with `unsupjax export RUN NAME.npz --format=reference`"
        ) from error
    if _digest(section, shape, weights) != digest:
        raise UserError(
            f"{path} is damaged: its network and weights are not those of its digest; get it anew"
        )
    return Reference(path.stem, digest, shape, _encoder(section, _tree(weights)))


def check(arguments: Mapping[str, Any], facts: Facts) -> None:
    """Refuses the encoder among an evaluator's arguments as `load` does, or where inputs have another shape.

    For the start of a run, whose evaluators come at its end.
    """
    load(arguments["encoder"]).check(facts.kind.shape)


def save(
    path: str | pathlib.Path, section: dict[str, Any], variables: dict, *, shape: tuple[int, ...]
) -> Reference:
    """Writes an encoder with its weights rounded to float16, and gives it back as `load` does.

    Args:
        path: of the file, NAME.npz.
        section: the network's name in `unsupjax.models.ENCODERS` and its arguments, as in a config.
        variables: collections of the module, as `{"params": ..., "batch_stats": ...}`.
        shape: of one input.

    Raises:
        UserError: no such network; weights beyond float16; a path without the suffix or that cannot be written.
    """
    path = pathlib.Path(path)
    if path.suffix != ".npz":
        raise UserError(f"{path} must end in .npz")
    network(section)
    with np.errstate(over="ignore"):
        weights = {key: np.asarray(value).astype(np.float16) for key, value in _leaves(variables)}
    for key, value in weights.items():
        if not np.isfinite(value).all():
            raise UserError(f"{path}: {key} is not finite, or too large for float16: no encoder to keep")
    description = {"network": section, "shape": list(shape), "digest": _digest(section, shape, weights)}
    arrays.save(path, weights, description)
    return load(str(path))


def network(section: dict[str, Any]) -> "nn.Module":
    """The module that a config's encoder section describes.

    Raises:
        UserError: no such network, or one that refuses the arguments.
    """
    from unsupjax.models import ENCODERS

    factory = choose("the encoder's network", section["name"], ENCODERS)
    # Tuples, as modules must be hashable: one compilation serves all references to the same network.
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in section.items() if k != "name"}
    try:
        inspect.signature(factory).bind(**given)
        return factory(**given)
    except (TypeError, ValueError) as error:
        raise UserError(f"the encoder's network {section['name']!r}: {error}") from error


@functools.lru_cache(maxsize=8)
def forward(module: "nn.Module") -> Callable:
    """`(variables, x) -> [B, D]` float32, in evaluation mode; the same function for equal modules."""
    return lambda variables, x: module.apply(variables, x, train=False).astype(jnp.float32)


def _encoder(section: dict, variables: dict) -> Callable:
    apply = forward(network(section))
    variables = jax.tree.map(lambda a: a.astype(np.float32), variables)
    return lambda x: map_batches(apply, x, _BATCH, variables)


def _leaves(tree: dict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key in sorted(tree):
        path = f"{prefix}{key}"
        if isinstance(tree[key], dict):
            yield from _leaves(tree[key], path + "/")
        else:
            yield path, tree[key]


def _tree(leaves: dict[str, np.ndarray]) -> dict:
    tree: dict = {}
    for path, value in leaves.items():
        *parents, last = path.split("/")
        functools.reduce(lambda node, key: node.setdefault(key, {}), parents, tree)[last] = value
    return tree


def _digest(section: dict, shape: tuple, weights: dict[str, np.ndarray]) -> str:
    """SHA-256 over the network's description, and over names, shapes, dtypes and bytes of the weights."""
    sha = hashlib.sha256(json.dumps([section, list(shape)], sort_keys=True).encode())
    for key in sorted(weights):
        value = np.ascontiguousarray(weights[key])
        sha.update(json.dumps([key, value.shape, value.dtype.name]).encode())
        sha.update(value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes())
    return sha.hexdigest()
