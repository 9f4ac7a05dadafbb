"""Modules applied one after another, as pure functions over their parameters and batch statistics."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp


class Stack(NamedTuple):
    """Pure functions over `params` and `stats`, dicts with an entry for each module.

    Attributes:
        init: `(key, x) -> (params, stats)`.
        forward: `(params, stats, x) -> (y, stats)`, in training mode: batch norm takes the statistics of this
            batch and moves its running ones. Runs through those modules, in their order, that `params` has.
        local: the same, with the statistics of this call's rows alone whatever device axis the modules name.
        features: `(params, stats, x) -> [B, D]` float32, the first module's output in evaluation mode: batch
            norm takes its running statistics, and no example depends on another.
    """

    init: Callable
    forward: Callable
    local: Callable
    features: Callable


def _without_axis(module: nn.Module) -> nn.Module:
    return module.clone(axis_name=None) if getattr(module, "axis_name", None) else module


def _run(modules: dict[str, nn.Module], params: dict, stats: dict, x: jax.Array) -> tuple[jax.Array, dict]:
    moved = {}
    for name in params:
        variables = {"params": params[name], "batch_stats": stats[name]}
        x, changed = modules[name].apply(variables, x, train=True, mutable=["batch_stats"])
        moved[name] = changed.get("batch_stats", {})
    return x.astype(jnp.float32), moved


def stack(**modules: nn.Module) -> Stack:
    """Joins modules, each called `module(x, train)`, in the order they are given in.

    Raises:
        ValueError: at `init`, where a module keeps more than parameters and batch statistics.
    """
    alone = {name: _without_axis(module) for name, module in modules.items()}
    first = next(iter(modules))

    def init(key, x):
        params, stats = {}, {}
        for i, (name, module) in enumerate(modules.items()):
            x, variables = module.init_with_output(jax.random.fold_in(key, i), x, train=False)
            if extra := set(variables) - {"params", "batch_stats"}:
                raise ValueError(f"the {name} keeps {sorted(extra)}, beside parameters and batch statistics")
            params[name], stats[name] = variables.get("params", {}), variables.get("batch_stats", {})
        return params, stats

    def ordered(params):
        return {name: params[name] for name in modules if name in params}

    def forward(params, stats, x):
        return _run(modules, ordered(params), stats, x)

    def local(params, stats, x):
        return _run(alone, ordered(params), stats, x)

    def features(params, stats, x):
        variables = {"params": params[first], "batch_stats": stats[first]}
        return modules[first].apply(variables, x, train=False).astype(jnp.float32)

    return Stack(init, forward, local, features)


def subset(tree: dict[str, Any], *names: str) -> dict[str, Any]:
    """Those entries of a dict of parameters or statistics."""
    return {name: tree[name] for name in names}
