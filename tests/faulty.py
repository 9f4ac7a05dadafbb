"""`train.py`, but the loss and the parameters of autoencoders are NaN after the step in the environment's FAULT."""

import functools
import os
import pathlib
import runpy
import sys

import jax
import jax.numpy as jnp

from unsupjax.methods import METHODS

factory, fault = METHODS["autoencoder"], int(os.environ["FAULT"])


@functools.wraps(factory)
def faulty(*args, **kwargs):
    """An autoencoder with the fault."""
    method = factory(*args, **kwargs)

    def step(state, x):
        after, metrics = method.step(state, x)
        spoil = lambda tree: jax.tree.map(lambda a: jnp.where(after.step == fault, jnp.nan, a), tree)
        return after._replace(params=spoil(after.params)), metrics | {"loss": spoil(metrics["loss"])}

    return method._replace(step=step)


METHODS["autoencoder"] = faulty
ROOT = pathlib.Path(__file__).parent.parent
sys.argv[0] = str(ROOT / "train.py")
sys.path[0] = str(ROOT)
runpy.run_path(sys.argv[0], run_name="__main__")
