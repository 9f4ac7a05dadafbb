"""What every function of this room asks of its rows."""

import jax.numpy as jnp
import numpy as np

from unsupjax.errors import UserError


def rows(x: np.ndarray, name: str) -> np.ndarray:
    """Rows to be clustered, checked.

    Args:
        x: `[N, D]`, boolean, integer or floating; an array of numpy or JAX, or nested lists.
        name: who asks; it leads the errors.

    Returns:
        the same `[N, D]` on the host: float32 as it came, everything else as float64, which holds integers
        up to 2^53.

    Raises:
        UserError: another number of axes, no rows or no features, no real numbers, NaN or infinity.
    """
    try:
        x = np.asarray(x)
    except ValueError as error:
        raise UserError(f"{name}: rows of unequal length are no table [N, D]; give all the same D") from error
    if x.ndim != 2:
        raise UserError(f"{name} needs a table [N, D] and got shape {x.shape}; {_reshape(x)}")
    if x.size == 0:
        raise UserError(f"{name} needs at least one row and one feature and got shape {x.shape}")
    # numpy calls bfloat16 neither floating nor numeric; JAX knows it.
    if not (jnp.issubdtype(x.dtype, jnp.floating) or x.dtype.kind in "biu"):
        raise UserError(f"{name} needs real numbers and got dtype {x.dtype}; convert them first")
    if x.dtype != np.float32:
        x = x.astype(np.float64)
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        raise UserError(
            f"{name}: row {np.argmin(finite)} (counting from 0) holds NaN or infinity, and so do "
            f"{np.sum(~finite)} of {len(x)} rows in all; drop or impute them"
        )
    return x


def _reshape(x: np.ndarray) -> str:
    if x.ndim < 2:
        return "one feature is x.reshape(-1, 1), one row x.reshape(1, -1)"
    return "x.reshape(len(x), -1) makes each example a row"
