"""What a method is, and the one gradient update that the gradient-trained ones share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from unsupjax.parallel.collectives import pmean


class Wants(NamedTuple):
    """What a method asks of its data, refused before anything is compiled where the data has it not.

    Attributes:
        kinds: the kinds of data that it takes, by name; empty: any.
        labels: how many classes it models: its batches are pairs of inputs and labels. 0: it sees no labels.
        missing: NaN is allowed in its inputs, an entry that was not observed.
        embeds: categories of a table that are stored by their places, as config.data.embedded asks, are embedded.
        asks: one-hots of its inputs, `(start, size)` each: its batches are pairs of inputs and of the category, among
            all those of these one-hots, that each input was chosen for; empty: of inputs.
        unit_interval: the setting by which its inputs must lie in [0, 1], such as "method.likelihood='bernoulli'", and
            what else it could be; (): none.
    """

    kinds: tuple[str, ...] = ()
    labels: int = 0
    missing: bool = False
    embeds: bool = False
    asks: tuple[tuple[int, int], ...] = ()
    unit_interval: tuple[str, ...] = ()


class Generator(NamedTuple):
    """How a method goes on with a sequence; both are pure, and the cost of a token does not grow.

    Attributes:
        prefill: `(State, tokens [B, P], lengths [B]) -> cache`; a row has that many tokens, its last ones, and what
            stands before them counts for nothing. Without lengths all have P.
        extend: `(State, cache, key, n, temperature, top_k, top_p) -> (cache, tokens [B, n])`; all but the first three
            are static. A token's draw follows from the key and its place in the cache.
        length: the most tokens that a cache holds.
    """

    prefill: Callable
    extend: Callable
    length: int


class Restorer(NamedTuple):
    """What takes noise away from pictures of any size.

    Attributes:
        apply: `(State, x [B, H, W, C]) -> x`; H and W are multiples of `multiple`.
        multiple: see `apply`.
        margin: no pixel of the result depends on what is further away; a multiple of `multiple`.
    """

    apply: Callable
    multiple: int
    margin: int


class Filled(NamedTuple):
    """Examples of which a part was hidden, and what was predicted in its place; all of one shape.

    Attributes:
        hidden: whether an entry was hidden; bool.
        x: what was hidden as it is predicted, the rest as it is.
        told: what the prediction was told of the hidden part, as an entry in its place each; None: nothing.
    """

    hidden: jax.Array
    x: jax.Array
    told: jax.Array | None = None


class Method(NamedTuple):
    """A method of unsupervised learning: pure functions over a `State`, which is a NamedTuple of arrays.

    A batch is an array of inputs `[B, ...]`; labels never reach a method (but a conditional `gan`, which models them:
    its batch is a pair, and so is that of a method that `wants.asks` for categories of its inputs). Every State has the
    fields `step` (int32 scalar) and `key` (a typed PRNG key that stays as `init` set it: a step draws from
    `fold_in(key, step)`). `step` is un-jitted: callers choose how to compile it.

    Attributes:
        init: `(key, batch) -> State`.
        step: `(State, batch) -> (State, metrics)`; metrics is a flat dict of float32 scalars, with `"loss"`. Where
            it has `"converged"`, a 1 there says that no further step changes what was learnt, and ends a run.
        encode: `(State, x) -> [B, D]`, the representation; deterministic.
        decode: `(State, z) -> x`, for methods that reconstruct or generate.
        sample: `(State, key, n) -> x`, for methods that generate.
        interpolate: `(State, key, n, steps) -> [n, steps, ...]`, what lies between n pairs of samples, for methods
            that generate from a latent vector.
        log_prob: `(State, key, x, n) -> [B]`, a lower bound on log p(x) in nats from n latent samples, for
            methods that have a likelihood.
        assign: `(State, x) -> [B]` int32, the cluster or unit of each example, for methods that cluster.
        prototypes: `(State) -> [K, ...]`, what stands for each cluster or unit, in the space of inputs.
        map: `(State, x) -> (som.Map, [B, D])`, the units with their grid, and the examples in the units' space,
            for self-organizing maps.
        views: `(key, x) -> (x1, x2)`, two random views of each example as training compares them, for methods
            that learn from views.
        finish: `(State) -> State`, what is made of a State before it is judged or used, for methods whose training
            leaves something to do; of a State that is finished already it makes the same.
        diagnose: `(metrics) -> str | None`, on the host: what is wrong with a run whose mean metrics of an
            interval are these floats, in plain words.
        generate: a `Generator`, for methods that go on with sequences.
        token_log_prob: `(State, x) -> ([B, L - 1], [B, L - 1])`, the log-probability in nats of each token but the
            first, given those before it, and whether it is a token and no padding.
        denoise: `(State, x) -> x`, an example without its noise, for methods that learn to take it away.
        restore: a `Restorer`, for those of them that take pictures of any size.
        codec: `(State) -> unsupjax.codec.files.Codec`, on the host, for methods that compress pictures into files.
        fill: `(State, key, x) -> Filled`, each example with a random part hidden and predicted from the rest, for
            methods that learn to; the part of example i follows from `fold_in(key, i)`.
        recommend: `(State, x) -> [B, V]`, a score of every item for each row of items, higher is better, those it has
            included; for methods that rank items.
        items: `(State) -> [V, D]`, an embedding of each item, likewise.
        topics: `(State) -> [K, V]`, how much each word stands for each topic, at least 0, for methods of texts; of
            these `encode` gives the proportions of the topics, and `assign` one of them.
        surprise: `(State, x) -> [B, ...]`, how strange each part of an example is, at least 0, higher is stranger, for
            methods that score otherwise than by the squared error of a reconstruction: of windows of time `[B, h, C]`,
            their last h steps in each channel; of rows of a table `[B, J]`, their columns.
        impute: `(State, x, hidden [B, J]) -> x`, rows of a table as they are stored whose hidden columns are predicted
            from the others.
        wants: what it asks of its data.
    """

    init: Callable
    step: Callable
    encode: Callable
    decode: Callable | None = None
    sample: Callable | None = None
    interpolate: Callable | None = None
    log_prob: Callable | None = None
    assign: Callable | None = None
    prototypes: Callable | None = None
    map: Callable | None = None
    views: Callable | None = None
    finish: Callable | None = None
    diagnose: Callable | None = None
    generate: Generator | None = None
    token_log_prob: Callable | None = None
    denoise: Callable | None = None
    restore: Restorer | None = None
    codec: Callable | None = None
    fill: Callable | None = None
    recommend: Callable | None = None
    items: Callable | None = None
    topics: Callable | None = None
    surprise: Callable | None = None
    impute: Callable | None = None
    wants: Wants = Wants()


def likelihood_wants(likelihood: str) -> Wants:
    """What the method of a likelihood of that name asks: a Bernoulli variable's mean lies in [0, 1]."""
    mend = "set it to 'squared_error' or 'gaussian'"
    return Wants(unit_interval=(f"method.{likelihood=}", mend) if likelihood == "bernoulli" else ())


class State(NamedTuple):
    """The state of a method with one set of parameters and one optimizer."""

    step: jax.Array
    key: jax.Array
    params: Any
    opt_state: optax.OptState


def init_state(key: jax.Array, params: Any, tx: optax.GradientTransformation) -> State:
    """A `State` at step 0."""
    return State(step=jnp.zeros((), jnp.int32), key=key, params=params, opt_state=tx.init(params))


def update(
    loss: Callable,
    params: Any,
    opt_state: optax.OptState,
    tx: optax.GradientTransformation,
    axis_name: str | None,
) -> tuple[jax.Array, Any, Any, optax.OptState]:
    """One optimizer update of `loss(params) -> (scalar, aux)` on this device's share of the batch.

    The loss is averaged over devices inside the differentiated function and the gradients once more outside:
    the one placement that is right under `jit`, `pmap` and `shard_map` alike. (Differentiating a local loss
    under `shard_map` sums the gradient over devices, silently.)

    Returns:
        the loss and `aux`, both averaged over devices, the new parameters and the new state of the optimizer.
    """

    def global_loss(params):
        return pmean(loss(params), axis_name)

    (value, aux), grads = jax.value_and_grad(global_loss, has_aux=True)(params)
    updates, opt_state = tx.update(pmean(grads, axis_name), opt_state, params)
    return value, aux, optax.apply_updates(params, updates), opt_state


def descend(
    loss: Callable, state: State, tx: optax.GradientTransformation, axis_name: str | None
) -> tuple[State, dict[str, jax.Array]]:
    """The `update` of a State whose parameters are all there is: `loss(params) -> (scalar, metrics)`."""
    value, metrics, params, opt_state = update(loss, state.params, state.opt_state, tx, axis_name)
    return state._replace(step=state.step + 1, params=params, opt_state=opt_state), {"loss": value} | metrics
