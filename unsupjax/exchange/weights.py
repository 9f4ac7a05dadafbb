"""Weights in: of a file or an exported folder, under our names whatever names it has."""

import pathlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from unsupjax.errors import UserError, first_line
from unsupjax.exchange import files
from unsupjax.exchange.encoder import VERSION, module, nested
from unsupjax.exchange.torch_names import from_torch, is_torch

if TYPE_CHECKING:
    import flax.linen as nn

ENCODER = "encoder"  # its entry in the fields of a State
SHOWN = 3  # names in a message


def load(path: str | pathlib.Path) -> tuple["nn.Module", dict[str, Any]]:
    """An encoder that `unsupjax export` wrote, for code of your own: `module.apply(variables, x, train=False)`.

    Args:
        path: the folder, or its `model.safetensors`.

    Returns:
        the Flax module, and its variables: "params" and, with batch norm, "batch_stats".

    Raises:
        UserError: no such file, a damaged one, or one that does not say which network it is of.
    """
    arrays, said = files.read(_file(pathlib.Path(path)))
    if ENCODER not in said:
        raise UserError(f"{path} does not say which network it is of: give what `unsupjax export` wrote")
    if said.get("version", 0) > VERSION:
        raise UserError(
            f"{path} has format version {said['version']}; this package reads up to {VERSION}: update it"
        )
    try:
        network, shape = module(said[ENCODER]), tuple(said["input"]["shape"])
        x = jax.ShapeDtypeStruct((1, *shape), np.float32)
        variables = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, train=False), x)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path}: what it says of its network is no network ({first_line(error)})") from error
    state = {collection: {ENCODER: tree} for collection, tree in variables.items()}
    found = named(arrays, network, wanted(state), shape, path)
    return network, nested(found)


def read(
    path: pathlib.Path, network: "nn.Module", shapes: Mapping[str, tuple], shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """The arrays of a file, or of an exported folder, by our names.

    Args:
        path: of either.
        network: the encoder that is to have them.
        shapes: of its arrays, as `wanted` gives them.
        shape: of one input.

    Raises:
        UserError: nothing there, damaged, a pickle, or arrays of another network.
    """
    arrays, _ = files.read(_file(path))
    return named(arrays, network, shapes, shape, path)


def _file(path: pathlib.Path) -> pathlib.Path:
    """The file of weights in a folder."""
    if not path.is_dir():
        return path
    if not (path / files.WEIGHTS).exists():
        raise UserError(
            f"{path} holds no {files.WEIGHTS}: give the folder of a run, or what `unsupjax export RUN {path} "
            "--format=safetensors` writes"
        )
    return path / files.WEIGHTS


def named(
    arrays: Mapping[str, np.ndarray],
    network: "nn.Module",
    shapes: Mapping[str, tuple],
    shape: tuple[int, ...],
    path: pathlib.Path | str,
) -> dict[str, np.ndarray]:
    """The arrays by our names, each of the shape that the network has.

    Raises:
        UserError: names or shapes differ; of each kind of difference the first few are named.
    """
    if is_torch(arrays):
        size = getattr(network, "patch_size", 1)
        arrays = from_torch(network, arrays, shapes, (shape[0] // size, shape[1] // size))
    faults = [
        _listed("the file lacks", [name for name in shapes if name not in arrays]),
        _listed("the run has no", [name for name in arrays if name not in shapes]),
        _listed(
            "shapes differ:",
            [
                f"{name} {tuple(arrays[name].shape)} there, {tuple(shapes[name])} here"
                for name in shapes
                if name in arrays and tuple(arrays[name].shape) != tuple(shapes[name])
            ],
        ),
    ]
    if any(faults):
        raise UserError(
            f"{path} is of another encoder than config.encoder ({len(arrays)} arrays there, {len(shapes)} here): "
            + "; ".join(filter(None, faults))
            + ". Give config.encoder the fields that the file was trained with"
        )
    return dict(arrays)


def _listed(lead: str, names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{lead} {', '.join(names[:SHOWN])}{more}" if names else ""


def _name(path: tuple) -> str | None:
    """Our name of an array of a State, where it is an encoder's: "params/Conv_0/kernel".

    It lies under "encoder" in any field but an optimizer's, those of teachers too; fields whose names end in "stats"
    hold running statistics.
    """
    keys = [str(getattr(key, "name", getattr(key, "key", getattr(key, "idx", "")))) for key in path]
    if len(keys) < 3 or keys[1] != ENCODER or keys[0].startswith("opt"):
        return None
    collection = "batch_stats" if keys[0].endswith("stats") else "params"
    return "/".join((collection, *keys[2:]))


def wanted(state: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of the encoder's arrays in a State (or in its `jax.eval_shape`), by our names."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {name: tuple(leaf.shape) for path, leaf in leaves if (name := _name(path)) is not None}


def taken(state: Any) -> dict[str, np.ndarray]:
    """The encoder's arrays of a State, by our names; those that are trained, not a teacher's."""
    found: dict[str, np.ndarray] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        if (
            name := _name(path)
        ) is not None and name not in found:  # `params` and `stats` are the first fields
            found[name] = np.asarray(leaf, np.float32)
    return found


def filled(state: Any, arrays: Mapping[str, np.ndarray], put: Callable = lambda value, like: value) -> Any:
    """State with the encoder's arrays in place of its own, in every field that has an encoder; teachers' too.

    Args:
        state: as `init` of the method made it.
        arrays: by our names.
        put: `(value, like) -> array`, where the other one lies.
    """

    def fill(path, leaf):
        name = _name(path)
        return leaf if name is None else put(arrays[name].astype(leaf.dtype), leaf)

    return jax.tree_util.tree_map_with_path(fill, state)
