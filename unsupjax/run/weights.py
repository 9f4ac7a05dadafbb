"""Where the weights of a network start from: a file, an exported folder, one of Hugging Face's, or another run."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from unsupjax.data.kinds import Kind
from unsupjax.errors import UserError
from unsupjax.exchange import begin, weights
from unsupjax.exchange.encoder import flat, module, nested, of_patches
from unsupjax.parallel.processes import say
from unsupjax.run.plan import Plan
from unsupjax.run.stored import restore


def read(plan: Plan, kind: Kind, abstract: Any) -> dict[str, np.ndarray]:
    """The arrays that `config.encoder.weights` or `config.network.weights` names, by our names.

    Args:
        plan: of the run.
        kind: of its data.
        abstract: the shapes of the run's State.

    Raises:
        UserError: nothing there, damaged, or of another network.
    """
    place = pathlib.Path(plan.weights).expanduser()
    section = "network" if plan.sequence else "encoder"
    try:
        if plan.sequence:
            return _sequence(place, plan.sequence, kind, _shapes(abstract))
        return _encoder(place, plan.network, kind, weights.wanted(abstract))
    except UserError as error:
        raise UserError(f"config.{section}.weights: {error}") from error


def _encoder(
    place: pathlib.Path, section: Mapping[str, Any], kind: Kind, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    if not shapes:
        raise UserError(f"{place}: this run's encoder has no weights; leave it out")
    encoder, shape = module(section), kind.example().shape
    if not (place / "checkpoints").is_dir():
        return weights.read(place, encoder, shapes, shape)
    stored = restore(place)
    arrays = weights.taken(stored.state)
    if stored.plan.sequence:
        _, arrays = of_patches(stored.plan.sequence, stored.state.params)
    if not arrays:
        raise UserError(f"{place}: its method has no encoder")
    return weights.named(arrays, encoder, shapes, shape, place)


def _sequence(
    place: pathlib.Path, section: Mapping[str, Any], kind: Kind, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    if not (place / "checkpoints").is_dir():
        if section["name"] != "transformer":
            raise UserError(f"{place} is no folder of a run, from which {section['name']!r} could start")
        return begin.started(place, section, kind, shapes)
    stored = restore(place)
    if not stored.plan.sequence:
        raise UserError(f"{place}: the method {stored.plan.method!r} has no config.network")
    learnt = lambda kind: getattr(kind, "tokenizer", None)
    if learnt(kind) != learnt(stored.kind):
        raise UserError(f"{place} has another tokenizer than the run: its tokens mean something else")
    others = [
        f"--config.network.{name}={value}"
        for name, value in stored.plan.sequence.items()
        if name not in ("zero_init", "dropout", "remat") and section.get(name) != value
    ]
    arrays = flat(stored.state.params)
    differ = [
        name for name in shapes.keys() | arrays.keys() if np.shape(arrays.get(name)) != shapes.get(name)
    ]
    if others or differ:
        told = f"add {' '.join(others)}" if others else f"{', '.join(sorted(differ)[:3])} have other shapes"
        raise UserError(f"{place} has another network than the run: {told}")
    return {name: np.asarray(value, np.float32) for name, value in arrays.items()}


def _shapes(state: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(like.shape) for name, like in flat(state.params).items()}


def started(state: Any, arrays: Mapping[str, np.ndarray], plan: Plan) -> Any:
    """State with these arrays in its networks, each where the other one lay; tells how many there are."""
    put = lambda value, like: jax.make_array_from_callback(like.shape, like.sharding, lambda i: value[i])
    say(f"{'network' if plan.sequence else 'encoder'}: {len(arrays)} arrays from {plan.weights}")
    if not plan.sequence:
        return weights.filled(state, arrays, put)
    fill = lambda value, like: put(value.astype(like.dtype), like)
    return state._replace(params=jax.tree.map(fill, nested(arrays), state.params))
