"""Prediction of patches that are hidden."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from unsupjax.methods.base import Filled, Method, State, Wants, init_state, update
from unsupjax.models.layers import joined, patched
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

    Of each picture or window of time the same number of patches is hidden, others at every step. `encode` is the mean
    of the tokens of all patches. `surprise` `[B, ...]`, of the shape of an example, is the squared error of every entry
    where its patch is hidden: under two or more fixed masks, that hide at most that share and together every patch
    once. `fill` predicts hidden patches in units of the input: with normalised targets it multiplies by the
    true standard deviation of a patch and adds its true mean, as the figures of the paper do, and `told` is that mean.

    Args:
        network: a `PatchAutoencoder`.
        tx: the optimizer.
        share: of the patches that are hidden; at least one is and at least one is not.
        normalised: targets are the pixels of each patch less their mean, over their standard deviation.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: a share that is none; at the first step, examples of a single patch.

    Source: He et al., "Masked autoencoders are scalable vision learners", CVPR 2022.
    """
    if not 0 < share < 1:
        raise ValueError(f"{share=} must be between 0 and 1")
    apply = lambda params, *args, **kw: network.apply({"params": params}, *args, **kw)
    patches_of = lambda x: patched(x, network.patch_size)

    def shown_of(total):
        if total < 2:
            raise ValueError(
                "an example is one patch, and nothing is left to predict it from; take smaller ones"
            )
        return min(max(round(total * (1 - share)), 1), total - 1)

    def hide(keys, patches):
        """Patches that are shown `[B, K, D]`, their places `[B, K]`, and 1 for each that is hidden `[B, P]`."""
        total = patches.shape[1]
        count = shown_of(total)
        index = jax.vmap(lambda key: jnp.argsort(jax.random.uniform(key, (total,)))[:count])(keys)
        is_hidden = jax.vmap(lambda i: jnp.ones(total).at[i].set(0.0))(index)
        return jnp.take_along_axis(patches, index[..., None], axis=1), index, is_hidden

    def scale(patches):
        """Mean and standard deviation of each patch's pixels, `[B, P, 1]`."""
        return patches.mean(-1, keepdims=True), jnp.sqrt(patches.var(-1, keepdims=True) + 1e-6)

    def init(key, batch):
        patches = patches_of(batch)
        index = jnp.broadcast_to(jnp.arange(patches.shape[1])[None], patches.shape[:2])
        return init_state(key, network.init(jax.random.fold_in(key, 0), patches, index)["params"], tx)

    def step(state: State, x: jax.Array):
        patches = patches_of(x)
        keys = example_keys(jax.random.fold_in(state.key, state.step), len(x), axis_name)
        shown, index, is_hidden = hide(keys, patches)
        mean, deviation = scale(patches)
        target = (patches - mean) / deviation if normalised else patches

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

    def surprise(state: State, x: jax.Array):
        patches = patches_of(x)
        total = patches.shape[1]
        several = max(-(-total // (total - shown_of(total))), 2)
        error = jnp.zeros(x.shape)
        for hidden in np.array_split(np.random.default_rng(0).permutation(total), min(several, total)):
            mask = np.isin(np.arange(total), hidden)
            index = jnp.broadcast_to(jnp.arange(total)[~mask][None], (len(x), total - len(hidden)))
            predicted = apply(state.params, patches[:, ~mask], index)
            if normalised:
                mean, deviation = scale(patches)
                predicted = predicted * deviation + mean
            squares = jnp.where(mask[None, :, None], jnp.square(predicted - patches), 0)
            error = error + joined(squares, network.patch_size, x.shape[1:])
        return error

    def fill(state: State, key: jax.Array, x: jax.Array):
        patches = patches_of(x)
        shown, index, is_hidden = hide(example_keys(key, len(x), None), patches)
        predicted, (mean, deviation) = apply(state.params, shown, index), scale(patches)
        if normalised:
            predicted = predicted * deviation + mean
        hidden = jnp.broadcast_to(is_hidden[..., None] > 0, patches.shape)
        whole = lambda p: joined(jnp.broadcast_to(p, patches.shape), network.patch_size, x.shape[1:])
        filled = whole(jnp.where(hidden, predicted, patches))
        return Filled(whole(hidden), filled, whole(mean) if normalised else None)

    return Method(
        init, step, encode, fill=fill, surprise=surprise, wants=Wants(kinds=("images", "windows", "arrays"))
    )
