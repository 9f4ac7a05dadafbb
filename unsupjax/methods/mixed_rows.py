"""Rows of mixed columns: how surprising each cell is, by a network, a linear model and the nearest rows."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from unsupjax import losses
from unsupjax.methods.base import Method, Wants, update
from unsupjax.methods.parts import mixed
from unsupjax.parallel.collectives import example_keys

_UNSURE = 0.01  # of a category's probability, that is uniform
_TERMS = 4


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
    beta: float = 0.0,
    embedding_dim: int = 16,
    term_weights: tuple[float, ...] = (),
    kind: Any,
    examples: int,
    rows: np.ndarray | None = None,
    axis_name: str | None = None,
    dtype: jnp.dtype | None = None,
) -> Method:
    r"""How surprising each column of a row is given the others, by models that are added.

    An autoencoder, denoising or variational, with a likelihood a column: of a number, standardised (of one with heavy
    tails :math:`\mathrm{sign}(v) \ln(1 + |v|)`), a Gaussian of variance 1, of a category a categorical one (1 % of it
    uniform), of whether a number is missing a Bernoulli one. The surprise is :math:`\ln p(\mathrm{mode}) - \ln p(x)`
    of a number and :math:`-\ln p` of a category. In every other row of training, columns are hidden with a
    probability, so that it can tell them from the others. A category that is stored by its place among many is seen
    by an embedding, and its probability is in proportion to its share in training and to :math:`\exp(h^T e)` of that
    embedding e, of what the decoder makes of it, h.

    Beside it stand a Gaussian's conditional surprises (`parts.mixed.conditional`), a predictor of each column from all
    others in closed form, and those of its principal components (`whitened`); the distance to the nearest training row
    (`apart`); and the conditional surprises under a Gaussian copula, of numbers by their normal scores. Each sum is
    measured in its standard deviation over training rows, so that none drowns the others.

    A category that training had not is none of the known ones: an entry of its own that is never 1 in training.

    `surprise` gives `[B, J]`; `impute` predicts hidden columns from the others; `encode` gives the code. With a
    `beta`, the loss is the negative evidence lower bound of a Gaussian code with :math:`\beta` times its divergence
    from the prior, and a row's divergence is added to its surprise, as much to each column; the code is the mean.

    Args:
        encoder, decoder: Linen modules, `[B, E + J] -> [B, H]` and `[B, latent_dim] -> [B, ...]`.
        tx: the optimizer.
        latent_dim: width of the code.
        level: the standard deviation of the noise on numbers in training.
        hidden: the probability with which training hides a column, in half of the rows.
        trim: the part of a batch's rows (of a device's share under `pmap`) with the greatest losses that is not learnt
            from, where training rows are contaminated.
        beta: the weight of the divergence of a variational autoencoder; 0: the code is a vector.
        embedding_dim: width of the embeddings of categories that are stored by their places.
        term_weights: of the network's surprise, of both linear ones, of the distance and of the copula's surprise;
            (): 0.25, 1, 1, 0 of tables with categories, and 1, 0, 1, 0 of numbers and dates alone, which a network and
            their nearest rows tell better.
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
    if not 0 <= hidden < 1 or not 0 <= trim < 1 or level < 0 or beta < 0:
        raise ValueError(f"{hidden=} and {trim=} must be in [0, 1), {beta=} and {level=} at least 0")
    made = mixed.layout(kind)
    categories = made.hots + made.codes
    term_weights = tuple(term_weights) or ((0.25, 1.0, 1.0, 0.0) if categories else (1.0, 0.0, 1.0, 0.0))
    if len(term_weights) != _TERMS or min(term_weights) < 0 or not any(term_weights):
        raise ValueError(f"{term_weights=} must be four numbers of at least 0, and not all 0")
    network, linear, distance, copula = term_weights
    found, n, columns = mixed.known(made, rows, examples), len(made.numbers), len(made.order)
    embedded = len(made.codes) * embedding_dim
    outputs = 2 * n + sum(k + 1 for _, k in made.hots) + embedded
    any_missing = float(kind.missing)
    layers = {
        "encoder": encoder,
        "code": nn.Dense((2 if beta else 1) * latent_dim, dtype=dtype),
        "decoder": decoder,
        "head": nn.Dense(outputs, dtype=dtype),
    }

    def look(known, x):
        """What is seen of stored rows, and the places `[B, C]` of embedded categories, -1 of one that is none."""
        return mixed.seen(made, known, x), x[:, [at for at, _ in made.codes]].astype(jnp.int32)

    def told(params, seen, away):
        """What the network is told: entries of hidden columns are 0, and which these are."""
        y, codes = seen
        parts = [y * (1 - away[:, made.column]), away]
        for i, table in enumerate(params["embeddings"]):
            there = (codes[:, i] >= 0) * (1 - away[:, n + len(made.hots) + i])
            parts.append(table[codes[:, i]] * there[:, None])
        return jnp.concatenate(parts, axis=1)

    def through(params, names, h):
        for name in names:
            h = layers[name].apply({"params": params[name]}, h)
        return h.reshape(len(h), -1).astype(jnp.float32)

    def coded(params, seen, away):
        """The code, or its mean and the logarithm of its variance."""
        h = through(params, ("encoder", "code"), told(params, seen, away))
        return jnp.split(h, 2, axis=1) if beta else (h, None)

    def predict(params, seen, away):
        return through(params, ("decoder", "head"), coded(params, seen, away)[0])

    def log_probs(params, known, out):
        """Of every category the logarithm of the probabilities of its values and of none of them, `[B, K + 1]`."""
        at, logits = 2 * n, []
        for _, k in made.hots:
            logits.append(out[:, at : at + k + 1])
            at += k + 1
        parts = [jnp.log((1 - _UNSURE) * jax.nn.softmax(v) + _UNSURE / v.shape[1]) for v in logits]
        for table, log_share in zip(params["embeddings"], known.log_share, strict=True):
            v = out[:, at : at + embedding_dim] @ table.T + log_share[None]
            p = (1 - _UNSURE) * jnp.pad(jax.nn.softmax(v), ((0, 0), (0, 1))) + _UNSURE / (v.shape[1] + 1)
            parts.append(jnp.log(p))
            at += embedding_dim
        return parts

    def nats(params, known, out, seen):
        """The surprise of each column, `[B, J]`: negative log-likelihoods less their least."""
        y, codes = seen
        missing = y[:, n : 2 * n]
        error = 0.5 * jnp.square(y[:, :n] - out[:, :n])
        absent = optax.losses.sigmoid_binary_cross_entropy(out[:, n : 2 * n], missing)
        parts, logs = [(1 - missing) * error + absent * any_missing], log_probs(params, known, out)
        for (_, k), start, log in zip(made.hots, made.starts, logs, strict=False):
            parts.append(-jnp.sum(log * y[:, start : start + k + 1], axis=1, keepdims=True))
        for code, log in zip(codes.T, logs[len(made.hots) :], strict=True):
            parts.append(-jnp.take_along_axis(log, code[:, None] % log.shape[1], axis=1))
        return jnp.concatenate(parts, axis=1)

    def init(key, batch):
        known = mixed.kept(jax.tree.map(jnp.asarray, found()))
        draw = lambda i, k: jax.random.normal(jax.random.fold_in(key, 100 + i), (k, embedding_dim))
        tables = tuple(draw(i, k) / np.sqrt(embedding_dim) for i, (_, k) in enumerate(made.codes))
        params, h = {"embeddings": tables}, jnp.zeros((len(batch), made.width + columns + embedded))
        for i, (name, layer) in enumerate(layers.items()):
            variables = layer.init(jax.random.fold_in(key, i), h)
            if extra := set(variables) - {"params"}:
                raise ValueError(f"the {name} keeps {sorted(extra)}, and it may hold parameters only")
            params[name] = variables.get("params", {})
            h = jnp.zeros(jax.eval_shape(layer.apply, variables, h).shape)
            h = h[:, :latent_dim] if name == "code" else h
        zero = jnp.zeros((), jnp.int32)
        return MixedRowsState(zero, key, params, tx.init(params), known, jnp.ones(()))

    def known_of(state):
        return mixed.whole(made, state.known)

    def step(state: MixedRowsState, x: jax.Array):
        y, codes = look(known_of(state), x)
        keys = example_keys(jax.random.fold_in(state.key, state.step), len(x), axis_name)

        def drawn(key):
            half, each, noise = jax.random.split(key, 3)
            away = jax.random.bernoulli(each, hidden, (columns,)) & jax.random.bernoulli(half)
            return away.astype(jnp.float32), level * jax.random.normal(noise, (n,))

        away, noise = jax.vmap(drawn)(keys)

        def loss(params):
            code, log_variance = coded(params, (y.at[:, :n].add(noise), codes), away)
            divergence = 0.0
            if beta:
                divergence = losses.kl_standard_normal(code, log_variance)
                draw = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 3), (latent_dim,)))
                code = code + jnp.exp(0.5 * log_variance) * draw(keys)
            out = through(params, ("decoder", "head"), code)
            each = nats(params, known_of(state), out, (y, codes)).sum(axis=1) + beta * divergence
            kept = each <= jnp.quantile(each, 1 - trim) if trim else jnp.ones(len(x), bool)
            value = jnp.where(kept, each, 0).sum() / jnp.maximum(kept.sum(), 1)
            return value, {"surprise": each.mean()}

        value, metrics, params, opt_state = update(loss, state.params, state.opt_state, tx, axis_name)
        state = state._replace(step=state.step + 1, params=params, opt_state=opt_state)
        return state, {"loss": value} | metrics

    def of_network(state, seen):
        code, log_variance = coded(state.params, seen, jnp.zeros((len(seen[0]), columns)))
        parts = nats(state.params, known_of(state), through(state.params, ("decoder", "head"), code), seen)
        if beta:
            parts += beta / columns * losses.kl_standard_normal(code, log_variance)[:, None]
        return parts

    def finish(state: MixedRowsState):
        known = known_of(state)
        each = of_network(state, (known.memory + known.mean[None], known.places)).sum(axis=1)
        return state._replace(usual=jnp.maximum(each.std(), 1e-3))

    def surprise(state: MixedRowsState, x: jax.Array):
        known, seen = known_of(state), look(known_of(state), x)
        less = seen[0] - known.mean[None]
        parts = network / state.usual * of_network(state, seen) if network else jnp.zeros((len(x), columns))
        models = (
            (mixed.conditional, linear),
            (mixed.whitened, linear),
            (mixed.apart, distance),
            (mixed.by_copula, copula),
        )
        for (model, weight), usual in zip(models, known.usual, strict=True):
            if weight:
                parts = parts + weight * model(made, known, less) / usual
        return parts[:, made.order]

    def encode(state: MixedRowsState, x: jax.Array):
        return coded(state.params, look(known_of(state), x), jnp.zeros((len(x), columns)))[0]

    def impute(state: MixedRowsState, x: jax.Array, away: jax.Array):
        """Stored rows whose columns `away` `[B, J]` are predicted: numbers by their mode, categories the likeliest."""
        x = jnp.asarray(x, jnp.float32)
        known, seen = known_of(state), look(known_of(state), x)
        placed = jnp.zeros((len(x), columns)).at[:, made.order].set(away.astype(jnp.float32))
        out = predict(state.params, seen, placed)
        guess = [jnp.argmax(log[:, :-1], axis=1) for log in log_probs(state.params, known, out)]
        log = out[:, :n] * known.scale[None] + known.centre[None]
        value = mixed.stored_numbers(made, known.heavy, log)
        x = x.at[:, made.numbers].set(jnp.where(placed[:, :n] > 0, value, x[:, made.numbers]))
        for i, (start, k) in enumerate(made.hots):
            hot, old = jax.nn.one_hot(guess[i], k), x[:, start : start + k]
            x = x.at[:, start : start + k].set(jnp.where(placed[:, n + i][:, None] > 0, hot, old))
        for i, (at, _) in enumerate(made.codes, len(made.hots)):
            x = x.at[:, at].set(jnp.where(placed[:, n + i] > 0, guess[i], x[:, at]))
        return x

    wants = Wants(kinds=("table",), missing=True, embeds=True)
    return Method(init, step, encode, finish=finish, surprise=surprise, impute=impute, wants=wants)
