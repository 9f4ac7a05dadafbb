"""How strongly a code reacts to its input."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.errors import UserError
from unsupjax.evaluate.subject import Subject, lasting, map_batches, random_subset

_BLOCK = 2**24  # Jacobian entries held at once: 64 MiB of float32


def jacobian(subject: Subject, *, examples: int = 256) -> dict[str, float]:
    """Mean Frobenius norm of the encoder's Jacobian over test examples, `||d encode(x) / dx||_F`, exactly.

    The norm that a contractive autoencoder penalises (Rifai et al., ICML 2011). It shrinks with the scale of
    the code, so that it compares methods only beside their reconstruction error.

    Args:
        subject: what is judged.
        examples: number of test examples, drawn at random without replacement; all where there are fewer.

    Returns:
        `jacobian_frobenius_norm`, in units of the code over units of the input.

    Raises:
        UserError: `examples` is below 1.
    """
    if examples < 1:
        raise UserError(f"jacobian: examples={examples} must be at least 1")
    x = subject.x_test[random_subset(subject.key, len(subject.x_test), examples)]
    inputs, outputs = math.prod(x.shape[1:]), subject.z_test.shape[1]
    norm = _norm(subject.method.encode, outputs < inputs)
    norms = map_batches(norm, x, max(1, _BLOCK // (inputs * outputs)), subject.state)
    return {"jacobian_frobenius_norm": float(norms.mean(dtype=np.float64))}


@lasting
def _norm(encode: Callable, reverse: bool) -> Callable:
    differentiate = jax.jacrev if reverse else jax.jacfwd

    def norm(state, x):
        jacobians = jax.vmap(differentiate(lambda one: encode(state, one[None])[0]))(x)
        return jnp.sqrt(jnp.sum(jnp.square(jacobians), axis=range(1, jacobians.ndim), dtype=jnp.float32))

    return norm
