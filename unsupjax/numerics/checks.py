"""What functions of rows ask of them."""

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.errors import UserError


def rows(x: np.ndarray, name: str) -> np.ndarray:
    """Rows for a function on the host, checked.

    Args:
        x: `[N, D]`, boolean, integer or floating; an array of numpy or JAX, or nested lists.
        name: who asks; it leads the errors.

    Returns:
        the same `[N, D]` on the host: float32 as it came, everything else as float64, which holds integers
        up to 2^53.

    Raises:
        UserError: another number of axes, no rows or no features, no real numbers, NaN or infinity.
    """
    x = np.asarray(_table(x, name))
    if x.dtype != np.float32:
        x = x.astype(np.float64)
    _finite(np.isfinite(x).all(axis=1), name)
    return x


def device_rows(x: jax.Array, name: str, missing: bool = False) -> jax.Array:
    """Rows for a function on the device, checked as `rows` does, their dtype kept.

    The values of rows that are traced (under `jit` or `shard_map`) cannot be seen and are not checked.

    Args:
        x: `[N, D]`, boolean, integer or floating.
        name: who asks; it leads the errors.
        missing: NaN is allowed, infinity is not.

    Raises:
        UserError: as `rows`.
    """
    x = jnp.asarray(_table(x, name))
    if jnp.issubdtype(x.dtype, jnp.floating) and not isinstance(x, jax.core.Tracer):
        _finite(np.asarray(_finite_rows(x, missing)), name)
    return x


@jax.jit
def _finite_rows(x, missing):
    return jnp.all(jnp.isfinite(x) | (jnp.isnan(x) & missing), axis=1)


def _table(x, name):
    if not isinstance(x, jax.Array):
        try:
            x = np.asarray(x)
        except ValueError as error:
            raise UserError(
                f"{name}: rows of unequal length are no table [N, D]; give all the same D"
            ) from error
    if x.ndim != 2:
        raise UserError(f"{name} needs a table [N, D] and got shape {x.shape}; {_reshape(x)}")
    if x.size == 0:
        raise UserError(f"{name} needs at least one row and one feature and got shape {x.shape}")
    # numpy calls bfloat16 neither floating nor numeric; JAX knows it.
    if not (jnp.issubdtype(x.dtype, jnp.floating) or x.dtype.kind in "biu"):
        raise UserError(f"{name} needs real numbers and got dtype {x.dtype}; convert them first")
    return x


def _finite(finite: np.ndarray, name: str) -> None:
    if not finite.all():
        raise UserError(
            f"{name}: row {np.argmin(finite)} (counting from 0) holds NaN or infinity, and so do "
            f"{np.sum(~finite)} of {len(finite)} rows in all; drop or impute them"
        )


def _reshape(x: np.ndarray) -> str:
    if x.ndim < 2:
        return "one feature is x.reshape(-1, 1), one row x.reshape(1, -1)"
    return "x.reshape(len(x), -1) makes each example a row"
