"""Where an encoder's weights start from: a file, an exported folder, or another run."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from unsupjax.errors import UserError
from unsupjax.exchange import weights
from unsupjax.exchange.encoder import module
from unsupjax.parallel.processes import say
from unsupjax.run.stored import restore


def read(
    path: str, network: Mapping[str, Any], shape: tuple[int, ...], abstract: Any
) -> dict[str, np.ndarray]:
    """The arrays that `config.encoder.weights` names, by our names.

    Args:
        path: of a safetensors file, of a folder that `unsupjax export` wrote, or of a run.
        network: the name and arguments of the run's encoder.
        shape: of one input.
        abstract: the shapes of the run's State.

    Raises:
        UserError: nothing there, damaged, or of another encoder.
    """
    shapes, encoder = weights.wanted(abstract), module(network)
    if not shapes:
        raise UserError(f"config.encoder.weights={path!r}: this run's encoder has no weights; leave it out")
    place = pathlib.Path(path).expanduser()
    try:
        if not (place / "checkpoints").is_dir():
            return weights.read(place, encoder, shapes, shape)
        arrays = weights.taken(restore(place).state)
        if not arrays:
            raise UserError(f"{place}: its method has no encoder")
        return weights.named(arrays, encoder, shapes, shape, place)
    except UserError as error:
        raise UserError(f"config.encoder.weights: {error}") from error


def started(state: Any, arrays: Mapping[str, np.ndarray], path: str) -> Any:
    """State with these arrays in its encoders, each where the other one lay; tells how many there are."""
    put = lambda value, like: jax.make_array_from_callback(like.shape, like.sharding, lambda i: value[i])
    say(f"encoder: {len(arrays)} arrays from {path}")
    return weights.filled(state, arrays, put)
