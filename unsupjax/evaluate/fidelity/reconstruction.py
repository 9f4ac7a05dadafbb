"""Held-out reconstruction error."""

import math
from collections.abc import Callable

import chex
import jax.numpy as jnp
import numpy as np

from unsupjax.evaluate import require
from unsupjax.evaluate.principal import components
from unsupjax.evaluate.subject import Subject, chunks, lasting, map_batches


def reconstruction(subject: Subject) -> dict[str, float]:
    """Held-out error of reconstruction per element, beside that of PCA and that of a constant.

    `reconstruction_mse` is the mean over test examples and their elements of `(x - decode(encode(x)))^2`, in
    squared units of the input; `train_mean_mse` is the same with the mean training input in place of the
    reconstruction: what a method that learns nothing reaches. Missing entries (NaN) are left out. `pca_mse` is the
    same with as many principal components of the training inputs as a code has numbers (0 where it has one for each
    element): what a linear code of that width reaches. It is not reported where entries are missing, nor of inputs of
    more than 4096 elements, whose covariance would fill the memory; the training inputs are read some at a time.

    Raises:
        UserError: the method has no decoder.
    """
    errors = squared_errors(subject, "reconstruction")
    sums = [(np.nansum(x, 0, np.float64), np.sum(~np.isnan(x), 0)) for x in chunks(subject.x_train)]
    total, count = map(sum, zip(*sums, strict=True))
    mean = np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
    sums = [_from_mean(x, mean) for x in chunks(subject.x_test)]
    observed, from_mean, compared = map(sum, zip(*sums, strict=True))
    results = {
        "reconstruction_mse": float(errors.sum(dtype=np.float64) / observed),
        "train_mean_mse": float(from_mean / compared),
    }
    whole = observed == math.prod(subject.x_test.shape) and (count == len(subject.x_train)).all()
    if whole and (found := components(subject.x_train, subject.z_test.shape[1])) is not None:
        results["pca_mse"] = sum(map(found.squared_error, chunks(subject.x_test))) / observed
    return results


def _from_mean(x: np.ndarray, mean: np.ndarray) -> tuple[int, float, int]:
    """How many entries of x there are, and the sum and the number of their squared differences from the mean."""
    squared = np.square(x - mean)
    return np.sum(~np.isnan(x)), np.nansum(squared), np.sum(~np.isnan(squared))


def squared_errors(subject: Subject, user: str) -> np.ndarray:
    """`||x - decode(encode(x))||^2` of each test example, summed over its elements that are not NaN: float32 `[M]`.

    Raises:
        UserError: the method has no decoder; `user` is the evaluator or figure that wants one.
    """
    decode = require.function(subject.method, "decode", user)
    return map_batches(squared_error(subject.method.encode, decode), subject.x_test, 512, subject.state)


@lasting
def squared_error(encode: Callable, decode: Callable) -> Callable:
    """`(state, x) -> [B]`, what `squared_errors` computes of each example; the same function for the same two."""

    def error(state, x):
        x_hat = decode(state, encode(state, x))
        chex.assert_equal_shape([x, x_hat])
        squared = jnp.where(jnp.isnan(x), 0.0, jnp.square(x - x_hat))
        return jnp.sum(squared, axis=range(1, x.ndim), dtype=jnp.float32)

    return error


def strangeness(subject: Subject, user: str) -> np.ndarray:
    """How strange each test example is, float32 `[M]`: the sum of its method's `surprise`, or its `squared_errors`."""
    surprise = subject.method.surprise
    if surprise is None:
        return squared_errors(subject, user)
    return map_batches(summed(surprise), subject.x_test, 512, subject.state)


@lasting
def summed(surprise: Callable) -> Callable:
    """`(state, x) -> [B]`, the sum of a method's `surprise` over the parts of an example."""

    def total(state, x):
        parts = surprise(state, x)
        return jnp.sum(parts, axis=range(1, parts.ndim), dtype=jnp.float32)

    return total
