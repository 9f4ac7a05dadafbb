"""Random changes of one example, `f(key, x, ...) -> x`, to be vmapped over a batch; all on the device.

Examples are float32 of any shape; what is an image holds values in [0, 1].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def gaussian_noise(key: jax.Array, x: jax.Array, level: float) -> jax.Array:
    """Adds Gaussian noise of standard deviation `level`; the result is not clipped."""
    return x + level * jax.random.normal(key, x.shape, x.dtype)


def masking_noise(key: jax.Array, x: jax.Array, level: float) -> jax.Array:
    """Sets each element to 0 with probability `level`.

    On standardised data 0 is the mean and a masked element looks like an average one: prefer
    `gaussian_noise` there.
    """
    return jnp.where(jax.random.bernoulli(key, level, x.shape), 0, x)


def salt_and_pepper(key: jax.Array, x: jax.Array, level: float) -> jax.Array:
    """Sets each element with probability `level` to 0 or to 1, each as likely."""
    u = jax.random.uniform(key, x.shape)
    return jnp.where(u < level / 2, 0, jnp.where(u < level, 1, x)).astype(x.dtype)


CORRUPTIONS = {"gaussian": gaussian_noise, "masking": masking_noise, "salt_and_pepper": salt_and_pepper}


def corruption(name: str) -> Callable:
    """The corruption `f(key, x, level)` of that name; ValueError with the names there are otherwise."""
    if name not in CORRUPTIONS:
        raise ValueError(f"unknown corruption {name!r}; one of {', '.join(CORRUPTIONS)}")
    return CORRUPTIONS[name]


def binarize(key: jax.Array, x: jax.Array) -> jax.Array:
    """Draws each element as a Bernoulli with its value in [0, 1] as probability.

    Source: Salakhutdinov and Murray, "On the quantitative analysis of deep belief networks", ICML 2008.
    """
    return jax.random.bernoulli(key, x).astype(x.dtype)
