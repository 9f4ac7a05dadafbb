"""A fitted model in one `.npz` file without pickle: reading a file runs nothing that is in it."""

import pathlib
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from unsupjax import arrays
from unsupjax.data import kinds
from unsupjax.data.columns import Column
from unsupjax.errors import UserError, first_line
from unsupjax.tables.table_gan import SAMPLER, Settings, TableGAN, blank

_KIND = "table_gan"
_UNFIT = (ValueError, TypeError, AttributeError, LookupError, flax.errors.FlaxError)


def save(path: str | pathlib.Path, fitted: TableGAN) -> None:
    """Writes a model; a file of that name is replaced once the new one is complete.

    Raises:
        UserError: a path that does not end in .npz or cannot be written.
    """
    description = {
        "kind": _KIND,
        "columns": [column._asdict() for column in fitted.columns],
        "rows": fitted.kind.to_json(),
        "settings": fitted.settings._asdict(),
    }
    arrays.save(check_path(path), _flat(fitted.model), description)


def load(path: str | pathlib.Path) -> TableGAN:
    """The model that `save` wrote.

    Raises:
        UserError: no such file; one that is damaged, none of ours, or of another version.
    """
    values, description = arrays.load(path)
    if description.get("kind") != _KIND:
        raise UserError(f"{path} holds no model of a table; `unsupjax tables fit` writes one")
    if "rows" not in description:
        raise UserError(f"{path} holds a model of an earlier version of unsupjax; fit the model again")
    try:
        return _restored(description, values)
    except _UNFIT as error:
        raise UserError(f"{path} is damaged ({first_line(error)}); fit the model again") from error


def check_path(path: str | pathlib.Path) -> pathlib.Path:
    """The path of a model to write; UserError for another suffix than .npz."""
    path = pathlib.Path(path)
    if path.suffix != ".npz":
        raise UserError(f"{path} must end in .npz")
    return path


def _flat(model: Any) -> dict[str, Any]:
    """Leaves by their paths."""
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in _leaves(model)}


def _leaves(model: Any) -> list[tuple]:
    return jax.tree_util.tree_leaves_with_path(model)


def _restored(header: dict[str, Any], values: dict[str, np.ndarray]) -> TableGAN:
    columns = tuple(Column(**(c | {"decimals": tuple(c["decimals"])})) for c in header["columns"])
    settings = Settings(**{k: tuple(v) if isinstance(v, list) else v for k, v in header["settings"].items()})
    kind = kinds.from_json(header["rows"])
    if kind.names != tuple(column.name for column in columns):
        raise ValueError("its columns do not fit each other")
    state = blank(kind, settings)
    shapes = {name: getattr(state, name) for name in SAMPLER}
    for name, shape in _flat(shapes).items():
        if values[name].shape != shape.shape:
            raise ValueError(f"{name} has shape {values[name].shape} in place of {shape.shape}")
    model = jax.tree.unflatten(jax.tree.structure(shapes), [jnp.asarray(values[n]) for n in _flat(shapes)])
    return TableGAN(columns, kind, model, settings)
