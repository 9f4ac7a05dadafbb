"""What functions of rows ask of them."""

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.errors import UserError

_SQUARED = {
    np.float32: 1e15,
    np.float64: 1e150,
}  # values whose squares can be summed lie between it and its inverse
_LOSS = 2.0**-10  # what rounding may take from a feature, of its range


def rows(x: np.ndarray, name: str) -> np.ndarray:
    """Rows for a function on the host, checked.

    Args:
        x: `[N, D]`, boolean, integer or floating; an array of numpy or JAX, or nested lists.
        name: who asks; it leads the errors.

    Returns:
        the same `[N, D]` on the host: float32 as it came, everything else as float64.

    Raises:
        UserError: another number of axes, no rows or no features, no real numbers, NaN or infinity; values whose
            squares float64 does not hold, or so large that it would round away what distinguishes them.
    """
    x = np.asarray(_table(x, name))
    _values(x, np.float64, name, False)
    return x if x.dtype == np.float32 else x.astype(np.float64)


def device_rows(x: jax.Array, name: str, missing: bool = False) -> jax.Array:
    """Rows for a function on the device, which computes in float32; checked as `rows` does.

    The values of rows that are traced (under `jit` or `shard_map`) cannot be seen and are not checked.

    Args:
        x: `[N, D]`, boolean, integer or floating.
        name: who asks; it leads the errors.
        missing: NaN is allowed, infinity is not.

    Returns:
        the same `[N, D]`: what has 64 bits as float32, everything else in its dtype.

    Raises:
        UserError: as `rows`, of float32.
    """
    x = _table(x, name)
    if not isinstance(x, jax.core.Tracer):
        _values(x, np.float32, name, missing)
    return jnp.asarray(x.astype(np.float32) if x.dtype.itemsize == 8 else x)


def comparable(
    x: jax.Array, units: jax.Array, name: str, missing: bool = False
) -> tuple[jax.Array, jax.Array]:
    """Rows `[N, D]` and units `[K, D]` that they are compared with, both as `device_rows` checks them.

    Raises:
        UserError: as `device_rows`, of either; another number of features.
    """
    units = device_rows(units, f"{name}: units")
    x = device_rows(x, name, missing)
    if x.shape[1] != units.shape[1]:
        raise UserError(
            f"{name}: rows of shape {x.shape} and units of shape {units.shape} need the same number of features"
        )
    return x, units


def weights(values: jax.Array | None, n: int, name: str) -> jax.Array | None:
    """Weights of n rows on the device, float32 `[N]`, or None as it is.

    Raises:
        UserError: not one for each row; one is negative or not finite, or none is positive (not seen under `jit`).
    """
    if values is None:
        return None
    if np.shape(values) != (n,):
        raise UserError(f"{name}: {n} rows but weights of shape {np.shape(values)}; give one to each row")
    values = jnp.asarray(values, jnp.float32)
    if not isinstance(values, jax.core.Tracer):
        seen = np.asarray(values)
        if not (np.isfinite(seen).all() and seen.min() >= 0 and seen.max() > 0):
            raise UserError(f"{name}: weights must be finite and not negative, and one of them above 0")
    return values


def _values(x: np.ndarray | jax.Array, dtype: type, name: str, missing: bool) -> None:
    """Raises UserError for values that are not finite or that computing in `dtype` would silently distort."""
    sizes = _magnitudes(x, missing)
    if isinstance(
        sizes, jax.core.Tracer
    ):  # a constant in a function that is being traced: look at it on the host
        x = np.asarray(x)
        sizes = _sizes(x, missing)
    sizes = np.asarray(sizes)
    _finite(np.isfinite(sizes), name)
    if x.dtype.itemsize >= 4 and x.dtype not in (dtype, np.float32):
        _kept_apart(x, dtype, name)
    largest, limit = float(sizes.max()), _SQUARED[dtype]
    if largest > limit or 0 < largest < 1 / limit:
        raise UserError(
            f"{name}: the largest value is {largest:.3g}, and {np.dtype(dtype)} does not hold the squares of values "
            f"above {limit:g} or below {1 / limit:g}; divide all by {largest:.0e}"
        )


def _kept_apart(x: np.ndarray | jax.Array, dtype: type, name: str) -> None:
    """Raises UserError if rounding to `dtype` takes from a feature more than the thousandth part of its range."""
    if isinstance(x, np.ndarray):
        low, high = (f.reduce(x, axis=0).astype(np.float64) for f in (np.fmin, np.fmax))
    else:
        low, high = (np.asarray(f(x, axis=0)).astype(np.float64) for f in (jnp.nanmin, jnp.nanmax))
    size = np.maximum(np.abs(low), np.abs(high))
    # Where the range is large beside the values the loss is known to be small; elsewhere it is measured.
    for d in np.flatnonzero(np.finfo(dtype).eps * size > _LOSS * (high - low)):
        exact, rounded = _above_least(np.asarray(x[:, d]), dtype)
        if np.max(np.abs(exact - rounded)) > _LOSS * np.max(exact):
            raise UserError(
                f"{name}: feature {d} (counting from 0) has values near {size[d]:.3g} that differ by "
                f"{np.max(exact):.3g} at most, which {np.dtype(dtype)} rounds away; subtract its least value first"
            )


def _sizes(x, missing):
    """The largest magnitude in each row, `[N]`; not finite where the row is not."""
    of = np if isinstance(x, np.ndarray) else jnp
    size = of.abs(x.astype(of.float64)) if x.dtype.kind in "iu" and x.dtype.itemsize == 8 else of.abs(x)
    # Not the maximum's own NaN: XLA's drops it.
    size = of.where(of.isnan(size), 0 if missing else np.inf, size)
    return of.max(size, axis=1)


_jitted_sizes = jax.jit(_sizes, static_argnums=1)


def _extremes(x):
    """The greatest value, the least, and the sum of all, which is not finite if a value is not: floating, `[3]`."""
    of, dtype = (np, np.float64) if isinstance(x, np.ndarray) else (jnp, jnp.float32)
    greatest, least = x.max(axis=0).astype(dtype).max(), x.min(axis=0).astype(dtype).min()
    return of.stack([greatest, least, x.sum(axis=0, dtype=dtype).sum()])


_jitted_extremes = jax.jit(_extremes)


def _magnitudes(x, missing):
    """Magnitudes, the largest of x among them: of each row as `_sizes`, or of the extremes where all is finite.

    The extremes are reduced from x as it lies; for those of each row |x| is written as a whole.
    """
    on_host = isinstance(x, np.ndarray) and x.dtype.itemsize == 8  # JAX would round it before it is seen
    if not missing:
        with np.errstate(over="ignore", invalid="ignore"):
            found = (_extremes if on_host else _jitted_extremes)(x)
        if not isinstance(found, jax.core.Tracer) and np.isfinite(found[2]):
            return np.abs(np.asarray(found[:2]))
    return (_sizes if on_host else _jitted_sizes)(x, missing)


def _above_least(x: np.ndarray, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """By how much values `[N]` exceed the least, and by how much they do once rounded to `dtype`: float64 `[N]`."""
    x = x[~np.isnan(x)] if x.dtype.kind == "f" else x
    # Differences of 64-bit integers are exact modulo 2^64.
    exact = x.astype(np.uint64) - x.min().astype(np.uint64) if x.dtype.kind in "iu" else x - x.min()
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = x.astype(dtype).astype(np.float64)
        rounded -= rounded.min()
    return exact.astype(np.float64), rounded


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
