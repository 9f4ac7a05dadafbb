"""EASE: a linear model from items to items, in closed form."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from unsupjax.methods.base import Method, Wants
from unsupjax.methods.parts.bags import dense, unit_rows
from unsupjax.methods.parts.epochs import of_epoch, place
from unsupjax.parallel.collectives import psum

MOST_ITEMS = 50_000
_TURNS = 8  # of the subspace iteration


class EaseState(NamedTuple):
    """The state of EASE.

    Attributes:
        step, key: as of every method.
        matrix: float32 `[V, V]`: :math:`X^T X` over the rows so far; once `solved`, the weights B.
        embeddings: of the items, float32 `[V, D]`; zeros before.
        solved: whether the epoch is over.
        error: the mean squared error of a training row under B; of B = 0 before.
        epoch, seen: of the next example, its epoch and its place there.
    """

    step: jax.Array
    key: jax.Array
    matrix: jax.Array
    embeddings: jax.Array
    solved: jax.Array
    error: jax.Array
    epoch: jax.Array
    seen: jax.Array


def ease(
    *,
    regularization: float = 300.0,
    dropout: float = 0.0,
    latent_dim: int = 64,
    vocabulary: int,
    examples: int,
    axis_name: str | None = None,
) -> Method:
    r"""Minimises :math:`\|X - XB\|_F^2 + \lambda \|B\|_F^2` with :math:`\mathrm{diag}(B) = 0`, over users by items.

    In closed form :math:`B = I - P\,\mathrm{diag}(1 / \mathrm{diag} P)` with :math:`P = (X^T X + \lambda I)^{-1}`. One
    epoch collects the sums of :math:`X^T X`, each example once, and its last step solves; the run has converged then.
    It takes some 12 V^2 bytes and V^3 operations, whatever the number of users: 30,000 items on a device of 16 GB; more
    than 50,000 are refused.

    `recommend` gives :math:`xB`; `items` the leading eigenvectors of the cosines between items, each times the root
    of its eigenvalue; `encode` the sum of those of an example's items, over the root of their number.

    Args:
        regularization: :math:`\lambda`.
        dropout: p of EDLAE, which adds :math:`\frac{p}{1 - p} \mathrm{diag}(X^T X)` to :math:`\lambda I`: what is
            learnt where each item is left out of the input with probability p.
        latent_dim: D, the width of the items' embeddings.
        vocabulary: V, how many items there are.
        examples: in an epoch.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: an argument out of its range, or more than 50,000 items.

    Source: Steck, WWW 2019; dropout: Steck, NeurIPS 2020.
    """
    if regularization <= 0 or not 0 <= dropout < 1 or latent_dim < 1:
        raise ValueError(
            f"{regularization=} must be above 0, {dropout=} in [0, 1) and {latent_dim=} at least 1"
        )
    if vocabulary > MOST_ITEMS:
        raise ValueError(
            f"{vocabulary} items would take {12 * vocabulary**2 / 2**30:.0f} GiB; leave rare ones out by "
            "config.data.min_users, or take the method 'mult_vae'"
        )
    width = min(latent_dim, vocabulary)

    def init(key, batch):
        del batch
        zero = jnp.zeros((), jnp.int32)
        matrix, embeddings = jnp.zeros((vocabulary, vocabulary)), jnp.zeros((vocabulary, width))
        return EaseState(zero, key, matrix, embeddings, jnp.array(False), jnp.zeros(()), zero, zero)

    def solved(state: EaseState) -> EaseState:
        gram = state.matrix
        b = weights(gram, regularization, dropout)
        # ||X - XB||^2 = tr G - 2 tr GB + tr B'GB
        gb = gram @ b
        total = jnp.trace(gram) - 2 * jnp.trace(gb) + jnp.sum(b * gb)
        found = embeddings_of(state.key, gram, width)
        return state._replace(matrix=b, embeddings=found, solved=jnp.array(True), error=total / examples)

    def finish(state: EaseState) -> EaseState:
        return jax.lax.cond(state.solved, lambda s: s, solved, state)

    def step(state: EaseState, x: jax.Array):
        at = place(state.epoch, state.seen, len(x), examples, axis_name)
        now = of_epoch(at, len(x), axis_name) * jnp.where(state.solved, 0.0, 1.0)
        rows = dense(x, vocabulary)
        part = psum((rows * now[:, None]).T @ rows, axis_name)
        matrix = state.matrix + part
        trace = jnp.trace(matrix) / jnp.maximum(jnp.where(at.ends, examples, at.seen), 1)
        error = jnp.where(state.solved, state.error, trace)
        state = state._replace(
            step=state.step + 1, matrix=matrix, error=error, epoch=at.following, seen=at.seen
        )
        state = jax.lax.cond(at.ends, finish, lambda s: s, state)
        return state, {"loss": state.error, "converged": state.solved.astype(jnp.float32)}

    def encode(state: EaseState, x: jax.Array):
        return unit_rows(dense(x, vocabulary)) @ state.embeddings

    def recommend(state: EaseState, x: jax.Array):
        return dense(x, vocabulary) @ state.matrix

    return Method(
        init,
        step,
        encode,
        finish=finish,
        recommend=recommend,
        items=lambda state: state.embeddings,
        wants=Wants(kinds=("baskets",)),
    )


def weights(gram: jax.Array, regularization: float, dropout: float = 0.0) -> jax.Array:
    """B of `ease`, `[V, V]`, of :math:`X^T X`."""
    diagonal = regularization + dropout / (1 - dropout) * jnp.diagonal(gram)
    eye = jnp.eye(len(gram), dtype=gram.dtype)
    inverse = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(gram + jnp.diag(diagonal)), eye)
    return (1 - eye) * (-inverse / jnp.diagonal(inverse)[None])


def embeddings_of(key: jax.Array, gram: jax.Array, width: int) -> jax.Array:
    """The leading eigenvectors of the cosines between items, times the roots of their eigenvalues, `[V, width]`.

    By subspace iteration: a few products with a thin matrix in place of V^3 operations.
    """
    count = jnp.sqrt(jnp.maximum(jnp.diagonal(gram), 1e-12))
    cosines = lambda q: (gram @ (q / count[:, None])) / count[:, None]
    q = jax.random.normal(key, (len(gram), width))
    q = jax.lax.fori_loop(0, _TURNS, lambda _, q: jnp.linalg.qr(cosines(q))[0], q)
    q = q * jnp.where(jnp.sum(q**3, axis=0) < 0, -1.0, 1.0)[None]  # one of two signs
    values = jnp.sum(q * cosines(q), axis=0)
    return q * jnp.sqrt(jnp.where(values > 1e-5 * values.max(), values, 0))[None]  # less is round-off
