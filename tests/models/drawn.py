"""Inputs and variables that are drawn, for tests of networks against formulas."""

import jax
import numpy as np

from unsupjax.numerics.spectral import power_iteration


def drawing(rng, key):
    """The functions `images(n, shape)` and `made(module, *inputs)` that draw from `rng`."""

    def images(n=4, shape=(8, 8, 1)):
        return rng.uniform(size=(n, *shape)).astype(np.float32)

    def made(module, *inputs):
        """Variables, all parameters drawn anew, so that none hides at 0 or 1."""
        variables = jax.eval_shape(module.init, key, *inputs)
        draw = lambda x: rng.normal(size=x.shape, scale=0.5).astype(np.float32)
        new = {"params": jax.tree.map(draw, variables["params"])}
        if "batch_stats" in variables:
            new["batch_stats"] = jax.tree.map(lambda x: 0.5 + abs(draw(x)), variables["batch_stats"])
        if "spectral" in variables:
            vectors = jax.tree.map(draw, variables["spectral"])
            new["spectral"] = jax.jit(power_iteration, static_argnums=2)(new["params"], vectors, 5)
        return new

    return images, made
