"""What the estimators of networks share: their rows, their compiled steps, and the State that they keep."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from unsupjax.data.feeds import example_order
from unsupjax.data.kinds.columns import spread
from unsupjax.errors import UserError
from unsupjax.estimators.base import padded
from unsupjax.estimators.saved import Saved
from unsupjax.methods.base import Method

_STEPS = 100  # in one call of a compiled loop
_ROWS = 4096  # that go through a network at once, at most
_EPOCHS, _FEWEST, _MOST = 100, 500, 5000  # of `max_iter=None`: passes, and the steps that these may come to


class Programs(NamedTuple):
    """A method and what is compiled of it, which every estimator of the same settings shares.

    Attributes:
        method: the method.
        init: `(key, batch) -> State`.
        abstract: `() -> State`, the shapes and dtypes of State, whose key is a plain array.
        train: `(State, data [N, ...], order [T, B], steps) -> (State, losses [T])`: the first `steps` of T steps.
        encode: `(State, x) -> codes`.
        decode: `(State, codes) -> x`.
        sample: `(State, key, n) -> x`.
        error: `(State, x) -> [B]`, the squared error of reconstruction.
        log_prob: `(State, x, key, n) -> [B]`, with the same draws for every row.
    """

    method: Method
    init: Callable
    abstract: Callable
    train: Callable
    encode: Callable
    decode: Callable
    sample: Callable
    error: Callable
    log_prob: Callable


@functools.lru_cache(maxsize=32)
def programs(make: Callable, shape: tuple[int, ...], steps: int, settings: tuple) -> Programs:
    """The programs of the method `make(shape, steps, **settings)`; the same ones for the same arguments.

    Args:
        make: what makes the method.
        shape: of one input; three axes are a picture's.
        steps: after which the learning rate is 0; 0: it is constant.
        settings: pairs of a name and a value.
    """
    method = make(shape, steps, **dict(settings))

    @functools.cache
    def abstract():
        made = lambda: _plain(method.init(jax.random.key(0), jnp.zeros((2, *shape))))
        return jax.eval_shape(made)

    def error(state, x):
        apart = x - method.decode(state, method.encode(state, x))
        return jnp.square(apart).reshape(len(x), -1).sum(axis=1)

    def log_prob(state, x, key, n):
        return jax.vmap(lambda row: method.log_prob(state, key, row[None], n)[0])(x)

    return Programs(
        method,
        jax.jit(method.init),
        abstract,
        _one_by_one(method) if len(shape) == 3 else _in_a_loop(method),
        jax.jit(method.encode),
        jax.jit(method.decode) if method.decode else None,
        jax.jit(method.sample, static_argnums=2) if method.sample else None,
        jax.jit(error),
        jax.jit(log_prob, static_argnums=3),
    )


def _in_a_loop(method: Method) -> Callable:
    @jax.jit
    def train(state, data, order, steps):
        def body(i, carry):
            state, losses = carry
            state, metrics = method.step(state, data[order[i]])
            return state, losses.at[i].set(metrics["loss"])

        return jax.lax.fori_loop(0, steps, body, (state, jnp.zeros(len(order))))

    return train


def _one_by_one(method: Method) -> Callable:
    """For convolutions, whose gradients XLA:CPU runs far slower inside a loop."""
    step = jax.jit(lambda state, data, index: method.step(state, data[index]))

    def train(state, data, order, steps):
        losses = []
        for index in order[:steps]:
            state, metrics = step(state, data, index)
            losses.append(metrics["loss"])
        return state, jnp.stack(losses)

    return train


def packed(state: Any) -> np.ndarray:
    """A State as one array of 32-bit words, uint32 `[M]`: its arrays one after another."""
    return np.concatenate(
        [np.asarray(leaf).ravel().view(np.uint32) for leaf in jax.tree.leaves(_plain(state))]
    )


def _plain(state: Any) -> Any:
    return state._replace(key=jax.random.key_data(state.key))


def unpacked(words: np.ndarray, abstract: Any) -> Any:
    """The State of these words, shaped as `abstract` is.

    Raises:
        UserError: they are those of another network.
    """
    leaves, tree = jax.tree.flatten(abstract)
    ends = np.cumsum([math.prod(leaf.shape) for leaf in leaves])
    if words.shape != (ends[-1],):
        raise UserError(
            f"state_ has {words.size} words, and the network of these parameters {ends[-1]}; fit again, as parameters "
            "of a network cannot be changed after it"
        )
    parts = np.split(words, ends[:-1])
    made = [part.view(leaf.dtype).reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    state = jax.tree.unflatten(tree, made)
    return state._replace(key=jax.random.wrap_key_data(jnp.asarray(state.key)))


class Network(BaseEstimator, Saved):
    """A network that is trained by gradient steps on rows; what it learnt is held in plain numpy arrays alone.

    Subclasses have the parameters `max_iter`, `batch_size`, `standardise` and `random_state`, and say by `_make` and
    `_settings` what method theirs is.
    """

    _fitted = ("state_", "mean_", "scale_", "seed_", "n_iter_", "loss_curve_")
    _make: Callable  # (shape, steps, **settings) -> Method

    def _settings(self) -> dict[str, Any]:
        raise NotImplementedError

    def _shape(self, features: int) -> tuple[int, ...]:
        """Of one input, as the network sees it."""
        return (features,)

    @property
    def _scales(self) -> bool:
        """Whether rows are standardised."""
        return self.standardise

    def _programs(self, steps: int = 0) -> Programs:
        hashable = lambda v: tuple(np.asarray(v).tolist()) if isinstance(v, list | np.ndarray) else v
        settings = tuple((name, hashable(value)) for name, value in self._settings().items())
        return programs(type(self)._make, self._shape(self.n_features_in_), steps, settings)

    def _rows(self, x: Any, reset: bool) -> np.ndarray:
        return validate_data(self, x, reset=reset, dtype=[np.float64, np.float32])

    def _begin(self, x: np.ndarray) -> None:
        """What is fixed by the first rows: where they lie, how wide, and the seed of everything random."""
        spreads = [spread(column.astype(np.float64)) if self._scales else (0.0, 1.0) for column in x.T]
        mean, scale = zip(*spreads, strict=True)
        self.mean_, self.scale_ = np.array(mean, x.dtype), np.array(scale, x.dtype)
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.n_iter_, self.loss_curve_ = 0, np.zeros(0, np.float32)

    def _seen(self, x: np.ndarray) -> np.ndarray:
        """Rows as the network sees them, float32 `[N, ...]`."""
        rows = ((x.astype(np.float64) - self.mean_) / self.scale_).astype(np.float32)
        return rows.reshape(len(x), *self._shape(x.shape[1]))

    def _restored(self, seen: np.ndarray) -> np.ndarray:
        """Rows in the user's units, `[N, D]`, in the dtype that was fitted."""
        rows = np.asarray(seen, np.float64).reshape(len(seen), -1)
        return (rows * self.scale_ + self.mean_).astype(self.mean_.dtype)

    def _steps(self, n: int) -> int:
        """How many a fit on n rows takes."""
        if self.max_iter is None:
            return int(np.clip(_EPOCHS * n // self._batch(n), _FEWEST, _MOST))
        if self.max_iter < 1:
            raise UserError(f"max_iter={self.max_iter} must be at least 1, or None")
        return int(self.max_iter)

    def _batch(self, n: int) -> int:
        """The size of batches of n rows: where these are fewer, a power of two, as each size is a compilation."""
        if self.batch_size < 1:
            raise UserError(f"batch_size={self.batch_size} must be at least 1")
        return int(self.batch_size) if n >= self.batch_size else 1 << (n.bit_length() - 1)

    def _train(self, x: np.ndarray, steps: int, total: int) -> Self:
        """Goes on by so many steps on rows `[N, D]`, at a learning rate that falls over `total` (0: is constant)."""
        found, rows, size = self._programs(total), self._seen(x), self._batch(len(x))
        self._check(rows, found.method)
        data = jnp.asarray(padded(rows.reshape(len(x), -1)).reshape(-1, *rows.shape[1:]))
        fresh = lambda: found.init(jax.random.key(self.seed_), data[:2])
        state = self._state(found) if self.n_iter_ else fresh()
        losses = [self.loss_curve_]
        # Positions in a stream of shuffled epochs; a later call begins an epoch that no earlier one had.
        positions = self.n_iter_ * len(x) + np.arange(steps * size)
        order = example_order(positions.reshape(steps, size), len(x), self.seed_)
        for first in range(0, steps, _STEPS):
            block = order[first : first + _STEPS]
            filled = np.pad(block, ((0, _STEPS - len(block)), (0, 0)))
            state, loss = found.train(state, data, filled, len(block))
            losses.append(np.asarray(loss)[: len(block)])
        self.loss_curve_ = np.concatenate(losses)
        finite = np.isfinite(self.loss_curve_)
        if not finite.all():
            mend = (
                "lower learning_rate" if self.standardise else "standardise the rows, or lower learning_rate"
            )
            raise UserError(f"the loss is not finite at step {finite.argmin() + 1}; {mend}")
        self.state_, self.n_iter_ = packed(state), self.n_iter_ + steps
        return self

    def _fit(self, x: np.ndarray) -> Self:
        self._begin(x)
        steps = self._steps(len(x))
        return self._train(x, steps, steps)

    def _check(self, rows: np.ndarray, method: Method) -> None:
        """Refuses rows outside of the range that the method wants."""
        if method.wants.unit_interval and not 0 <= rows.min() <= rows.max() <= 1:
            raise UserError(
                f"{method.wants.unit_interval[0].removeprefix('method.')} needs rows in [0, 1], and these reach from "
                f"{rows.min():.3g} to {rows.max():.3g}; scale them and set standardise=False, or take another one"
            )

    def _state(self, found: Programs) -> Any:
        return unpacked(self.state_, found.abstract())

    def _apply(self, name: str, x: np.ndarray, *after: Any) -> np.ndarray:
        """A function of State and rows `[N, ...]`, some rows at a time, in one of few lengths."""
        found = self._programs()
        function, state = getattr(found, name), self._state(found)
        made = []
        for start in range(0, len(x), _ROWS):
            part = x[start : start + _ROWS]
            flat = padded(part.reshape(len(part), -1))
            made.append(np.asarray(function(state, flat.reshape(-1, *x.shape[1:]), *after))[: len(part)])
        return np.concatenate(made)

    def _inputs(self, x: Any) -> tuple[np.ndarray, np.dtype]:
        """New rows as the network sees them, and their dtype."""
        check_is_fitted(self)
        rows = self._rows(x, reset=False)
        return self._seen(rows), rows.dtype
