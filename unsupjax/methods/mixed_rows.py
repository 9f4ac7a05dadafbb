"""Rows of mixed columns: how surprising each cell is, by a network, a linear model and the nearest rows."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from unsupjax.methods.base import Method, Wants, update
from unsupjax.methods.parts import mixed
from unsupjax.parallel.collectives import example_keys

_UNSURE = 0.01  # of a category's probability, that is uniform


class MixedRowsState(NamedTuple):
    """The state of mixed rows.

    Attributes:
        step, key: as of every method.
        params, opt_state: of the network.
        known: of the training rows; arrays of JAX.
        usual: the standard deviation of the network's surprise over the training rows in memory; 1 before `finish`.
    """

    step: jax.Array
    key: jax.Array
    params: Any
    opt_state: optax.OptState
    known: mixed.Known
    usual: jax.Array


def mixed_rows(
    encoder: nn.Module,
    decoder: nn.Module,
    tx: optax.GradientTransformation,
    *,
    latent_dim: int = 16,
    level: float = 0.1,
    hidden: float = 0.2,
    trim: float = 0.0,
    term_weights: tuple[float, ...] = (),
    kind: Any,
    examples: int,
    rows: np.ndarray | None = None,
    axis_name: str | None = None,
    dtype: jnp.dtype | None = None,
) -> Method:
    r"""How surprising each column of a row is given the others, by four models that are added.

    A denoising autoencoder with a likelihood a column: of a number, standardised (of one with heavy tails
    :math:`\mathrm{sign}(v) \ln(1 + |v|)`), a Gaussian of variance 1, of a category a categorical one (1 % of it
    uniform), of whether a number is missing a Bernoulli one. The surprise is :math:`\ln p(\mathrm{mode}) - \ln p(x)` of
    a number and :math:`-\ln p` of a category. In every other row of training, columns are hidden with a probability, so
    that it can tell them from the others. Beside it stand a Gaussian's conditional surprises
    (`parts.mixed.conditional`), a predictor of each column from all others in closed form, and those of its principal
    components (`whitened`), and the distance to the nearest training row (`apart`). Each sum is measured in its
    standard deviation over training rows, so that none drowns the others.

    A category that training had not is none of the known ones: an entry of its own that is never 1 in training.

    `surprise` gives `[B, J]`; `impute` predicts hidden columns from the others; `encode` gives the code.

    Args:
        encoder, decoder: Linen modules, `[B, E + J] -> [B, H]` and `[B, latent_dim] -> [B, ...]`.
        tx: the optimizer.
        latent_dim: width of the code.
        level: the standard deviation of the noise on numbers in training.
        hidden: the probability with which training hides a column, in half of the rows.
        trim: the part of a batch's rows (of a device's share under `pmap`) with the greatest losses that is not learnt
            from, where training rows are contaminated.
        term_weights: of the network's surprise, of both linear ones and of the distance; (): 0.25, 1, 1 of tables with
            categories, and 1, 0, 1 of numbers and dates alone, which a network and their nearest rows tell better.
        kind: of the data, a table.
        examples: N, in the training split, of which at most 10,000 are in memory.
        rows: the training split as it is stored. Only training needs it.
        axis_name: the mapped device axis under `pmap` or `shard_map`.
        dtype: compute dtype of the code and the last layer; the modules carry their own.

    Raises:
        ValueError: an argument out of its range, or data of another kind.

    Source: masked columns: Devlin et al. 2019's masking as in Yoon et al., "VIME", NeurIPS 2020; a likelihood a column:
    Nazabal et al., "Handling incomplete heterogeneous data using VAEs", Pattern Recognition 107 (2020).
    """
    if not 0 <= hidden < 1 or not 0 <= trim < 1 or level < 0:
        raise ValueError(f"{hidden=} and {trim=} must be in [0, 1), and {level=} at least 0")
    made = mixed.layout(kind)
    term_weights = tuple(term_weights) or ((0.25, 1.0, 1.0) if made.hots else (1.0, 0.0, 1.0))
    if len(term_weights) != 3 or min(term_weights) < 0 or not any(term_weights):
        raise ValueError(f"{term_weights=} must be three numbers of at least 0, and not all 0")
    network, linear, distance = term_weights
    found, n, columns = mixed.known(made, rows, examples), len(made.numbers), len(made.order)
    outputs = 2 * n + sum(k + 1 for _, k in made.hots)
    any_missing = float(kind.missing)
    layers = {
        "encoder": encoder,
        "code": nn.Dense(latent_dim, dtype=dtype),
        "decoder": decoder,
        "head": nn.Dense(outputs, dtype=dtype),
    }

    def look(known, x):
        return mixed.seen(made, known, x)

    def given(y, away):
        """What the network is told: entries of hidden columns are 0, and which these are."""
        return jnp.concatenate([y * (1 - away[:, made.column]), away], axis=1)

    def through(params, names, h):
        for name in names:
            h = layers[name].apply({"params": params[name]}, h)
        return h.reshape(len(h), -1).astype(jnp.float32)

    def predict(params, y, away):
        return through(params, layers, given(y, away))

    def nats(out, y):
        """The surprise of each column, `[B, J]`: negative log-likelihoods less their least."""
        missing = y[:, n : 2 * n]
        error = 0.5 * jnp.square(y[:, :n] - out[:, :n])
        absent = optax.losses.sigmoid_binary_cross_entropy(out[:, n : 2 * n], missing)
        parts, at = [(1 - missing) * error + absent * any_missing], 2 * n
        for (_, k), start in zip(made.hots, made.starts, strict=True):
            p = (1 - _UNSURE) * jax.nn.softmax(out[:, at : at + k + 1]) + _UNSURE / (k + 1)
            parts.append(-jnp.sum(jnp.log(p) * y[:, start : start + k + 1], axis=1, keepdims=True))
            at += k + 1
        return jnp.concatenate(parts, axis=1)

    def init(key, batch):
        known = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), found())
        params, h = {}, jnp.zeros((len(batch), made.width + columns))
        for i, (name, layer) in enumerate(layers.items()):
            variables = layer.init(jax.random.fold_in(key, i), h)
            if extra := set(variables) - {"params"}:
                raise ValueError(f"the {name} keeps {sorted(extra)}, and it may hold parameters only")
            params[name] = variables.get("params", {})
            h = jnp.zeros(jax.eval_shape(layer.apply, variables, h).shape)
        zero = jnp.zeros((), jnp.int32)
        return MixedRowsState(zero, key, params, tx.init(params), known, jnp.ones(()))

    def step(state: MixedRowsState, x: jax.Array):
        y = look(state.known, x)
        keys = example_keys(jax.random.fold_in(state.key, state.step), len(x), axis_name)

        def drawn(key):
            half, each, noise = jax.random.split(key, 3)
            away = jax.random.bernoulli(each, hidden, (columns,)) & jax.random.bernoulli(half)
            return away.astype(jnp.float32), level * jax.random.normal(noise, (n,))

        away, noise = jax.vmap(drawn)(keys)

        def loss(params):
            strange = nats(predict(params, y.at[:, :n].add(noise), away), y)
            each = strange.sum(axis=1)
            kept = each <= jnp.quantile(each, 1 - trim) if trim else jnp.ones(len(x), bool)
            value = jnp.where(kept, each, 0).sum() / jnp.maximum(kept.sum(), 1)
            return value, {"surprise": each.mean()}

        value, metrics, params, opt_state = update(loss, state.params, state.opt_state, tx, axis_name)
        state = state._replace(step=state.step + 1, params=params, opt_state=opt_state)
        return state, {"loss": value} | metrics

    def of_network(state, y):
        return nats(predict(state.params, y, jnp.zeros((len(y), columns))), y)

    def finish(state: MixedRowsState):
        each = of_network(state, state.known.memory + state.known.mean[None]).sum(axis=1)
        return state._replace(usual=jnp.maximum(each.std(), 1e-3))

    def surprise(state: MixedRowsState, x: jax.Array):
        known, y = state.known, look(state.known, x)
        less = y - known.mean[None]
        parts = network / state.usual * of_network(state, y) if network else jnp.zeros((len(x), columns))
        models = (mixed.conditional, linear), (mixed.whitened, linear), (mixed.apart, distance)
        for (model, weight), usual in zip(models, known.usual, strict=True):
            if weight:
                parts = parts + weight * model(made, known, less) / usual
        return parts[:, made.order]

    def encode(state: MixedRowsState, x: jax.Array):
        y = look(state.known, x)
        return through(state.params, ("encoder", "code"), given(y, jnp.zeros((len(x), columns))))

    def impute(state: MixedRowsState, x: jax.Array, away: jax.Array):
        """Stored rows whose columns `away` `[B, J]` are predicted: numbers by their mode, categories the likeliest."""
        x = jnp.asarray(x, jnp.float32)
        known, y = state.known, look(state.known, x)
        placed = jnp.zeros((len(x), columns)).at[:, made.order].set(away.astype(jnp.float32))
        out = predict(state.params, y, placed)
        log = out[:, :n] * known.scale[None] + known.centre[None]
        value = mixed.stored_numbers(made, known.heavy, log)
        x = x.at[:, made.numbers].set(jnp.where(placed[:, :n] > 0, value, x[:, made.numbers]))
        at = 2 * n
        for i, (start, k) in enumerate(made.hots):
            hot = jax.nn.one_hot(jnp.argmax(out[:, at : at + k], axis=1), k)
            old = x[:, start : start + k]
            x = x.at[:, start : start + k].set(jnp.where(placed[:, n + i][:, None] > 0, hot, old))
            at += k + 1
        return x

    wants = Wants(kinds=("table",), missing=True)
    return Method(init, step, encode, finish=finish, surprise=surprise, impute=impute, wants=wants)
