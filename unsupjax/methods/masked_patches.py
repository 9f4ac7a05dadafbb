"""Prediction of patches that are hidden."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax.methods.base import Method, State, Wants, init_state, update
from unsupjax.models.layers import patched
from unsupjax.parallel.collectives import example_keys


def masked_patches(
    network: nn.Module,
    tx: optax.GradientTransformation,
    *,
    share: float = 0.75,
    normalised: bool = True,
    axis_name: str | None = None,
) -> Method:
    """Minimises the squared error of hidden patches, predicted from the others; the encoder sees those alone.

    Of each picture the same number of patches is hidden, others at every step. `encode` is the mean of the tokens of
    all patches.

    Args:
        network: a `PatchAutoencoder`.
        tx: the optimizer.
        share: of the patches that are hidden; at least one is and at least one is not.
        normalised: targets are the pixels of each patch less their mean, over their standard deviation.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: a share that is none.

    Source: He et al., "Masked autoencoders are scalable vision learners", CVPR 2022.
    """
    if not 0 < share < 1:
        raise ValueError(f"{share=} must be between 0 and 1")
    apply = lambda params, *args, **kw: network.apply({"params": params}, *args, **kw)
    patches_of = lambda x: patched(x, network.patch_size)

    def visible(key, total):
        """The places of the patches that are shown, of one picture."""
        shown = min(max(round(total * (1 - share)), 1), total - 1)
        return jnp.argsort(jax.random.uniform(key, (total,)))[:shown]

    def init(key, batch):
        patches = patches_of(batch)
        index = jnp.broadcast_to(jnp.arange(patches.shape[1])[None], patches.shape[:2])
        return init_state(key, network.init(jax.random.fold_in(key, 0), patches, index)["params"], tx)

    def step(state: State, x: jax.Array):
        patches = patches_of(x)
        keys = example_keys(jax.random.fold_in(state.key, state.step), len(x), axis_name)
        index = jax.vmap(lambda key: visible(key, patches.shape[1]))(keys)
        shown = jnp.take_along_axis(patches, index[..., None], axis=1)
        is_hidden = jax.vmap(lambda i: jnp.ones(patches.shape[1]).at[i].set(0.0))(index)
        target = patches
        if normalised:
            mean, variance = patches.mean(-1, keepdims=True), patches.var(-1, keepdims=True)
            target = (patches - mean) / jnp.sqrt(variance + 1e-6)

        def loss(params):
            error = jnp.square(apply(params, shown, index) - target).mean(-1)
            return (error * is_hidden).sum() / is_hidden.sum(), {}  # as many of every picture

        value, metrics, params, opt_state = update(loss, state.params, state.opt_state, tx, axis_name)
        state = state._replace(step=state.step + 1, params=params, opt_state=opt_state)
        return state, {"loss": value} | metrics

    def encode(state: State, x: jax.Array):
        patches = patches_of(x)
        index = jnp.broadcast_to(jnp.arange(patches.shape[1])[None], patches.shape[:2])
        return apply(state.params, patches, index, method="encode").mean(1)

    return Method(init, step, encode, wants=Wants(kinds=("images", "arrays")))
