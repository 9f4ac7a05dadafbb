"""Deep embedded clustering: an autoencoder whose codes are drawn to the centres of clusters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax import losses
from unsupjax.augment import InBatch
from unsupjax.cluster import kmeans
from unsupjax.methods.base import Method, descend, init_state, likelihood_wants
from unsupjax.methods.parts.coder import coder
from unsupjax.methods.parts.epochs import place
from unsupjax.methods.parts.views import two_views
from unsupjax.parallel.collectives import all_gather, pmean


class DECState(NamedTuple):
    """`State` with a frozen copy of what targets are made with, and what a pass over the data collects.

    Attributes:
        target: the encoder, the code layer and the centres that targets are made with.
        frequencies: `[K]`, the sum over all training examples of the soft assignments by `target`.
        codes: codes of the pass that precedes k-means, `[M, D]`.
        collected: `[K]`, the sum of soft assignments so far in this pass.
        moved: int32, how many examples so far in this pass are nearest to another centre than by `target`.
        changed: the fraction of examples that were so in the last whole pass.
        converged: bool; True for good once `changed` was below the tolerance.
        epoch, seen: epoch of the next example, and its position within that.
    """

    step: jax.Array
    key: jax.Array
    params: Any
    opt_state: optax.OptState
    target: Any
    frequencies: jax.Array
    codes: jax.Array
    collected: jax.Array
    moved: jax.Array
    changed: jax.Array
    converged: jax.Array
    epoch: jax.Array
    seen: jax.Array


def dec(
    encoder: nn.Module,
    decoder: nn.Module,
    tx: optax.GradientTransformation,
    *,
    examples: int,
    clusters: int = 10,
    latent_dim: int = 10,
    gamma: float = 10.0,
    reconstruction_weight: float = 1.0,
    pretrain_epochs: int = 10,
    update_epochs: int = 1,
    tolerance: float = 1e-3,
    restarts: int = 20,
    kmeans_examples: int = 100_000,
    likelihood: str = "squared_error",
    augment: Callable | InBatch | None = None,
    axis_name: str | None = None,
    dtype: jnp.dtype | None = None,
) -> Method:
    r"""Improved deep embedded clustering; with a `reconstruction_weight` of 0, deep embedded clustering.

    .. math:: w \cdot -\log p(x_i | z_i) + \gamma \sum_j p_{ij} \log (p_{ij} / q_{ij})

    with q the soft assignments of `losses.student_t` and p their sharpened `losses.target_distribution`. Epochs
    of the stream take turns:

    1. `pretrain_epochs` train the autoencoder alone;
    2. one epoch collects the codes of all examples, at its end k-means of them gives the first centres, and the
       optimizer starts anew;
    3. one epoch sums the soft assignments of all examples, and counts those that changed their cluster since the
       last such epoch: where that is less than `tolerance` of them, the run has converged;
    4. `update_epochs` train networks and centres, with targets by the parameters and the frequencies of 3; then 3.

    Parameters stand still in 2 and 3, so that frequencies and targets are exact and no target moves between
    updates. (A step with examples from both sides of a border trains on none of them.)

    With `augment`, 1 and 4 train on a view of each example, and the targets of 4 are of the example as it is: networks
    learn that an example and its views belong together. It is for data whose views keep what tells the groups apart, as
    small rotations and shifts do of digits.

    The published code of the improved form divides the squared error by the number of inputs and weighs the
    divergence by 0.1: the same as `gamma` = 78.4 for 28 x 28 pixels, where errors are summed.

    Args:
        encoder, decoder: Linen modules, `[B, ...] -> [B, H]` and `[B, latent_dim] -> [B, ...]`.
        tx: the optimizer.
        examples: N, training examples in an epoch of the stream.
        clusters: K.
        latent_dim: width of the code.
        gamma: weight of the divergence.
        reconstruction_weight: w, in 4.
        pretrain_epochs, update_epochs: lengths of 1 and 4.
        tolerance: the fraction of examples that change cluster between two updates below which the run ends.
        restarts: of k-means.
        kmeans_examples: at most so many examples' codes, drawn at random, go into k-means.
        likelihood: "squared_error", "gaussian" or "bernoulli" (inputs in [0, 1]); summed over the event.
        augment: `(key, example) -> (x1, x2)`, a policy of `unsupjax.augment`, of which the first view is taken, or of
            an `InBatch` the second; None: examples as they are.
        axis_name: the mapped device axis under `pmap` or `shard_map`.
        dtype: compute dtype of the code layer; the modules carry their own.

    Source: Guo, Gao, Liu and Yin, "Improved deep embedded clustering with local structure preservation", IJCAI
    2017; Xie, Girshick and Farhadi, "Unsupervised deep embedding for clustering analysis", ICML 2016; views: Guo, Zhu,
    Liu and Yin, "Deep embedded clustering with data augmentation", ACML 2018.
    """
    kept = min(examples, kmeans_examples)
    if not 1 <= clusters <= kept or pretrain_epochs < 0 or update_epochs < 1:
        raise ValueError(
            f"clusters={clusters} must be between 1 and {kept} examples, pretrain_epochs={pretrain_epochs} at "
            f"least 0, update_epochs={update_epochs} at least 1"
        )
    networks, p_x = coder(encoder, decoder, latent_dim, dtype=dtype), losses.likelihood(likelihood)
    first_pass = pretrain_epochs + 1
    seeds = lambda epoch: epoch == pretrain_epochs
    updates = lambda epoch: (epoch >= first_pass) & ((epoch - first_pass) % (update_epochs + 1) == 0)
    soft = lambda params, z: losses.student_t(z, params["centers"])
    makes_targets = lambda params: {k: params[k] for k in ("encoder", "code", "centers")}

    def init(key, batch):
        zero = jnp.zeros((), jnp.int32)
        place(zero, zero, len(batch), examples, None)  # refuses batches that do not fit
        if examples % len(batch) and 2 * len(batch) > update_epochs * examples:
            raise ValueError(
                f"a batch of {len(batch)} may never lie within update_epochs={update_epochs} epochs of {examples} "
                "examples: nothing would be refined"
            )
        params = networks.init(key, batch) | {"centers": jnp.zeros((clusters, latent_dim))}
        return DECState(
            *init_state(key, params, tx),
            target=jax.tree.map(jnp.copy, makes_targets(params)),
            frequencies=jnp.ones(clusters),
            codes=jnp.zeros((kept, latent_dim)),
            collected=jnp.zeros(clusters),
            moved=zero,
            changed=jnp.ones(()),
            converged=jnp.zeros((), bool),
            epoch=zero,
            seen=zero,
        )

    def loss(params, x, p, weight):
        z = networks.encode(params, x)
        error = p_x.nll(networks.decode(params, z), x).mean()
        divergence = losses.dec_loss(p, soft(params, z)).mean()
        return weight * error + gamma * divergence, {"reconstruction": error, "divergence": divergence}

    def target(state, x):
        q = soft(state.target, networks.encode(state.target, x))
        return losses.target_distribution(q, state.frequencies)

    def collect(state, at, epoch, z, before):
        """Takes in what belongs to `epoch` of the global batch's codes, by `params` and by `target`."""
        slots = jnp.where((at.epochs == epoch) & seeds(epoch), at.slots, kept)
        mine = (at.epochs == epoch) & updates(epoch)
        q, q_before = soft(state.params, z), soft(state.target, before)
        return state._replace(
            codes=state.codes.at[slots].set(z, mode="drop"),
            collected=state.collected + jnp.where(mine[:, None], q, 0).sum(axis=0),
            moved=state.moved + (mine & (q.argmax(axis=1) != q_before.argmax(axis=1))).sum(dtype=jnp.int32),
        )

    def seed(state):
        key = jax.random.fold_in(state.key, state.step)
        centers = kmeans.fit(key, state.codes, clusters, restarts=restarts).centers
        params = state.params | {"centers": centers}
        return state._replace(params=params, opt_state=tx.init(params))

    def update(state, epoch):
        changed = state.moved / examples
        return state._replace(
            target=makes_targets(state.params),
            frequencies=state.collected,
            collected=jnp.zeros_like(state.collected),
            moved=jnp.zeros_like(state.moved),
            changed=jnp.where(epoch > first_pass, changed, 1.0),
            converged=(epoch > first_pass) & (changed < tolerance),
        )

    def passes(state, at, z, before):
        """What comes to rest of `epoch`, its end if it ends here, and what of the next epoch has begun."""
        state = collect(state, at, at.epoch, z, before)
        state = jax.lax.cond(at.ends & seeds(at.epoch), seed, lambda s: s, state)
        state = jax.lax.cond(at.ends & updates(at.epoch), lambda s: update(s, at.epoch), lambda s: s, state)
        return jax.lax.cond(
            at.last > at.epoch, lambda s: collect(s, at, at.last, z, before), lambda s: s, state
        )

    def stand_still(state, x, at):
        started = at.epoch > first_pass
        p = jnp.where(started, target(state, x), 0)
        weight = jnp.where(started, reconstruction_weight, 1.0)
        value, metrics = pmean(loss(state.params, x, p, weight), axis_name)
        z = all_gather(networks.encode(state.params, x), axis_name)
        before = all_gather(networks.encode(state.target, x), axis_name)
        new = jax.lax.cond(state.converged, lambda s: s, lambda s: passes(s, at, z, before), state)
        return new._replace(step=state.step + 1), {"loss": value} | metrics

    def view(state, x):
        if augment is None:
            return x
        views = two_views(augment, jax.random.fold_in(state.key, state.step), x, axis_name)
        return views[1] if isinstance(augment, InBatch) else views[0]  # of a row's two, one is the row itself

    def pretrain(state, x, at):
        p, x = jnp.zeros((len(x), clusters)), view(state, x)
        return descend(lambda params: loss(params, x, p, 1.0), state, tx, axis_name)

    def refine(state, x, at):
        p, x = target(state, x), view(state, x)
        return descend(lambda params: loss(params, x, p, reconstruction_weight), state, tx, axis_name)

    def step(state: DECState, x: jax.Array):
        at = place(state.epoch, state.seen, len(x), examples, axis_name)
        still = state.converged
        for epoch in (at.epoch, at.last):
            still |= seeds(epoch) | updates(epoch)
        phase = jnp.where(still, 2, at.epoch > first_pass)
        new, metrics = jax.lax.switch(phase, (pretrain, refine, stand_still), state, x, at)
        new = new._replace(epoch=at.following, seen=at.seen)
        return new, metrics | {"changed": new.changed, "converged": new.converged.astype(jnp.float32)}

    def encode(state: DECState, x: jax.Array):
        return networks.encode(state.params, x)

    def decode(state: DECState, z: jax.Array):
        return p_x.mean(networks.decode(state.params, z))

    def assign(state: DECState, x: jax.Array):
        return soft(state.params, encode(state, x)).argmax(axis=1).astype(jnp.int32)

    def prototypes(state: DECState):
        return decode(state, state.params["centers"])

    return Method(
        init, step, encode, decode, assign=assign, prototypes=prototypes, wants=likelihood_wants(likelihood)
    )
