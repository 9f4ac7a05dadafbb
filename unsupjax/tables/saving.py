"""A fitted model in one `.npz` file without pickle: reading a file runs nothing that is in it."""

import pathlib
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from unsupjax import arrays
from unsupjax.errors import UserError
from unsupjax.tables import calibrate, conditions, latent, networks, training, transform
from unsupjax.tables.schema import Column
from unsupjax.tables.table_gan import TableGAN

_KIND = "table_gan"
_UNFIT = (ValueError, TypeError, AttributeError, LookupError, flax.errors.FlaxError)


def save(path: str | pathlib.Path, fitted: TableGAN) -> None:
    """Writes a model; a file of that name is replaced once the new one is complete.

    Raises:
        UserError: a path that does not end in .npz or cannot be written.
    """
    found = fitted.transform
    description = {
        "kind": _KIND,
        "columns": [column._asdict() for column in found.columns],
        "parts": {kind: len(getattr(found, kind)) for kind in ("continuous", "discrete", "constants")},
        "settings": fitted.settings._asdict(),
    }
    arrays.save(check_path(path), _flat(fitted), description)


def load(path: str | pathlib.Path) -> TableGAN:
    """The model that `save` wrote.

    Raises:
        UserError: no such file; one that is damaged, none of ours, or of a later version.
    """
    values, description = arrays.load(path)
    if description.get("kind") != _KIND:
        raise UserError(f"{path} holds no model of a table; `python -m unsupjax.tables fit` writes one")
    try:
        return _restored(description, values)
    except _UNFIT as error:
        raise UserError(f"{path} is damaged ({_line(error)}); fit the model again") from error


def check_path(path: str | pathlib.Path) -> pathlib.Path:
    """The path of a model to write; UserError for another suffix than .npz."""
    path = pathlib.Path(path)
    if path.suffix != ".npz":
        raise UserError(f"{path} must end in .npz")
    return path


def _flat(fitted: TableGAN) -> dict[str, np.ndarray]:
    found, tree = fitted.transform, {}
    for kind in ("continuous", "discrete"):
        tree |= {f"{kind}.{i}": part._asdict() for i, part in enumerate(getattr(found, kind))}
    tree |= {f"constants.{i}": {"column": j, "value": value} for i, (j, value) in enumerate(found.constants)}
    for name in ("latent", "conditions", "calibration"):
        tree[name] = getattr(fitted, name)._asdict()
    tree |= {"params": fitted.params, "stats": fitted.stats}
    return {k: np.asarray(v) for k, v in flax.traverse_util.flatten_dict(tree, sep="/").items()}


def _restored(header: dict[str, Any], values: dict[str, np.ndarray]) -> TableGAN:
    tree = flax.traverse_util.unflatten_dict(values, sep="/")
    count = header["parts"]

    def parts(kind, make):
        trees = (tree[f"{kind}.{i}"] for i in range(count[kind]))
        return tuple(make(**(t | {"column": int(t["column"])})) for t in trees)

    columns = (Column(**(c | {"decimals": tuple(c["decimals"])})) for c in header["columns"])
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in header["settings"].items()}
    device = lambda branch: jax.tree.map(jnp.asarray, branch)
    fitted = TableGAN(
        transform.Transform(
            tuple(columns),
            parts("continuous", transform.Continuous),
            parts("discrete", transform.Discrete),
            parts("constants", lambda column, value: (column, value)),
        ),
        latent.Latent(**device(tree["latent"])),
        conditions.Conditions(**device(tree["conditions"])),
        device(tree["params"]),
        device(tree["stats"]),
        calibrate.Calibration(**tree["calibration"]),
        training.Settings(**settings),
    )
    _check(fitted)
    return fitted


def _check(fitted: TableGAN) -> None:
    """That the parts fit each other: a draw of one row, as shapes alone."""
    layout = networks.layout(fitted.transform)
    model = fitted.params, fitted.stats, fitted.latent, fitted.conditions
    run = lambda key: training.sample(layout, fitted.settings, key, model, None, 1)
    if jax.eval_shape(run, jax.random.key(0)).shape != (1, layout.width):
        raise ValueError("its arrays do not fit each other")


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
