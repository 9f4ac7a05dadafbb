"""A linear autoencoder (PCA) on three overlapping classes of 4x4 images, known in closed form.

Some of the examples are a codebook on a grid besides.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.evaluate import subject as make_subject
from unsupjax.methods.base import Filled, Method
from unsupjax.som import Grid, Map


class PCAState(NamedTuple):
    step: jax.Array
    key: jax.Array
    params: Any
    codebook: Any = None


def encode(state, x):
    return (x.reshape(len(x), -1) - state.params["mean"][None]) @ state.params["code"]["kernel"]


def decode(state, z):
    return (z @ state.params["code"]["kernel"].T + state.params["mean"][None]).reshape(-1, 4, 4, 1)


def init(key, batch):
    kernel = jax.random.normal(key, (batch[0].size, 3))
    params = {"code": {"kernel": kernel}, "mean": jnp.zeros(batch[0].size)}
    return PCAState(jnp.zeros((), jnp.int32), key, params)


def sample(state, key, n):
    return decode(state, jax.random.normal(key, (n, state.params["code"]["kernel"].shape[1])))


def interpolate(state, key, n, steps):
    return sample(state, key, n * steps).reshape(n, steps, 4, 4, 1)


def assign(state, x):
    differences = x.reshape(len(x), 1, -1) - state.codebook[None]
    return jnp.argmin(jnp.square(differences).sum(-1), axis=1).astype(jnp.int32)


def prototypes(state):
    return state.codebook.reshape(-1, 4, 4, 1)


def locate(state, x):
    return Map(state.codebook, Grid(3, 4, "hexagonal")), x.reshape(len(x), -1)


def views(key, x):
    return jnp.roll(x, 1, axis=2), x + 0.1 * jax.random.normal(key, x.shape)


def images(rng, y):
    pattern = np.random.default_rng(7).uniform(0.2, 0.8, (3, 4, 4, 1))
    return np.clip(pattern[y] + rng.normal(0, 0.25, (len(y), 4, 4, 1)), 0, 1).astype(np.float32)


def fill(state, key, x):
    pixels = jax.random.bernoulli(key, 0.5, x.shape[:3]).at[:, 0, 0].set(True).at[:, 0, 1].set(False)
    hidden = jnp.broadcast_to(pixels[..., None], x.shape)
    return Filled(hidden, jnp.where(hidden, 0.25, x))


@pytest.fixture(scope="session")
def subject():
    """90 training and 45 test examples with labels 2, 5, 9, codes of 3 dimensions and 12 units."""
    rng = np.random.default_rng(0)
    y_train, y_test = np.arange(90) % 3, np.arange(45) % 3
    x_train, x_test = images(rng, y_train), images(rng, y_test)
    flat = x_train.reshape(90, 16)
    kernel = np.linalg.svd(flat - flat.mean(0), full_matrices=False)[2][:3].T
    params = {"code": {"kernel": jnp.asarray(kernel)}, "mean": jnp.asarray(flat.mean(0))}
    state = PCAState(jnp.zeros((), jnp.int32), jax.random.key(0), params, jnp.asarray(flat[:12]))
    functions = {
        "interpolate": interpolate,
        "assign": assign,
        "prototypes": prototypes,
        "map": locate,
        "views": views,
        "fill": fill,
    }
    method = Method(init, None, encode, decode, sample, **functions)
    names = np.array([2, 5, 9])
    labels = tuple(f"class {i}" for i in range(10))
    train, test = (x_train, names[y_train]), (x_test, names[y_test])
    made = make_subject(method, state, jax.random.key(1), train, test, labels, batch_size=32)
    results = {"fine_tune_accuracy_9": 0.4, "fine_tune_accuracy_0.5": 0.7, "fine_tune_accuracy": 0.9}
    results |= {"from_scratch_accuracy_9": 0.35, "from_scratch_accuracy_0.5": 0.5}
    return made._replace(normal=(5,), results=results)
