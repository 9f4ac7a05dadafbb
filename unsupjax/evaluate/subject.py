"""What is judged: a trained method with the data and the codes it gives them."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.errors import UserError, choose
from unsupjax.parallel.processes import gather, share

if TYPE_CHECKING:  # which brings all methods with it, and their networks
    from unsupjax.methods.base import Method

_CHUNK_BYTES = 2**24  # of inputs


class Subject(NamedTuple):
    """A trained method, its data and their codes: the one argument that every evaluator and figure takes.

    Attributes:
        method: the method; `step` is not called, and `init` by those alone that ask for an untrained State.
        state: its trained State.
        key: typed PRNG key from which every random choice of an evaluation follows.
        x_train: training inputs as the method sees them, `[N, ...]`: an array, or what reads them when it is indexed
            by a slice or an array of ints, and becomes one by `np.asarray`.
        y_train: integer labels `[N]`, or None.
        x_test: held-out inputs, `[M, ...]`.
        y_test: integer labels `[M]`, or None.
        z_train: `encode(state, x_train)`, float32 `[N, D]`: an array, or `Codes`, which become one when asked for.
        z_test: `encode(state, x_test)`, `[M, D]`, likewise.
        label_names: the name of label i at index i, or None.
        init_batch: the inputs that `init` was given, for an untrained State; None: any will do.
        kind: what an example is, of `unsupjax.data.kinds`; None: not known.
        normal: the labels of normal examples, where others are anomalies; None: not said.
        series: of windows of time, the `WindowSplit` of all of them, with their steps; None: other data.
        results: what evaluators found, by name, for figures of that; None: they have not run.
    """

    method: "Method"
    state: Any
    key: jax.Array
    x_train: np.ndarray
    y_train: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray | None
    z_train: "np.ndarray | Codes"
    z_test: "np.ndarray | Codes"
    label_names: tuple[str, ...] | None
    init_batch: np.ndarray | None = None
    kind: Any = None
    normal: tuple[int, ...] | None = None
    series: Any = None
    results: Mapping[str, float] | None = None


def untrained(subject: Subject, key: jax.Array) -> Any:
    """A State that the method's `init` makes anew."""
    batch = subject.x_train[:256] if subject.init_batch is None else subject.init_batch
    return jax.jit(subject.method.init)(key, batch)


def subject(
    method: "Method",
    state: Any,
    key: jax.Array,
    train: tuple[np.ndarray, np.ndarray | None],
    test: tuple[np.ndarray, np.ndarray | None],
    label_names: tuple[str, ...] | None = None,
    *,
    init_batch: np.ndarray | None = None,
    batch_size: int = 512,
) -> Subject:
    """The `Subject` of a trained method; its codes are computed when they are first asked for.

    Args:
        method: the method.
        state: its trained State.
        key: typed PRNG key of the evaluation.
        train: inputs `[N, ...]` and integer labels `[N]` or None.
        test: the same, held out.
        label_names: the name of label i at index i.
        init_batch: the inputs that `init` was given.
        batch_size: examples encoded at once; no code depends on it.
    """

    (x_train, y_train), (x_test, y_test) = train, test
    z_train = Codes(method, state, x_train, batch_size, split="train")
    z_test = Codes(method, state, x_test, batch_size, split="test")
    return Subject(
        method, state, key, x_train, y_train, x_test, y_test, z_train, z_test, label_names, init_batch
    )


class Codes(np.lib.mixins.NDArrayOperatorsMixin):
    """`encode(state, x)` `[N, D]`, float32, computed once, when it is first asked for: not all judges look at them.

    To whoever reads them they are an array.

    Raises:
        UserError: when asked for, that some are not finite.
    """

    def __init__(self, method: "Method", state: Any, x: np.ndarray, batch_size: int = 512, *, split: str):
        self._arguments, self._split = (method, state, x, batch_size), split

    @functools.cached_property
    def array(self) -> np.ndarray:
        """All of them."""
        found = codes(*self._arguments)
        if bad := np.sum(~np.isfinite(found).all(axis=1)):
            raise UserError(
                f"the codes of {bad} of {len(found)} {self._split} examples are not finite: the training diverged "
                "(lower the learning rate and train again), or the inputs are not finite (mend the data)"
            )
        return found

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """Known without any of them."""
        method, state, x, _ = self._arguments
        return len(x), *jax.eval_shape(coding(method.encode), state, x[:1]).shape[1:]

    def __len__(self) -> int:
        return len(self._arguments[2])

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.array[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array, dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, call: str, *inputs: Any, **options: Any) -> Any:
        arrays = [x.array if isinstance(x, Codes) else x for x in inputs]
        return getattr(ufunc, call)(*arrays, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of no array, such as what a copy asks for before there are arguments
            raise AttributeError(name)
        return getattr(self.array, name)


def codes(method: "Method", state: Any, x: np.ndarray, batch_size: int = 512) -> np.ndarray:
    """`encode(state, x)` as float32 `[N, D]`, `batch_size` examples at once."""
    return map_batches(coding(method.encode), x, batch_size, state)


def lasting(make: Callable) -> Callable:
    """`make(*arguments) -> function` that gives the same function again for the same arguments.

    What `jit` compiled for it then serves every later evaluation; a closure made anew at each call compiles anew.
    """
    return functools.lru_cache(maxsize=32)(make)


@lasting
def coding(encode: Callable) -> Callable:
    """`(state, x) -> [B, D]` float32; the same function for the same `encode`."""
    return lambda state, x: encode(state, x).astype(jnp.float32)


def map_batches(fn: Callable, x: Any, batch_size: int, *args: Any) -> np.ndarray:
    """`fn(*args, x)` computed batch by batch: one compilation, bounded device memory.

    The last batch is filled up with the first examples, so that every batch has one shape; what they give
    is cut off again. Several processes divide the batches among them, and each gets all results. Arrays that `fn`
    needs belong in `args`: closed over, they would be compiled in as constants.
    One `fn` compiles once: see `lasting`.

    Args:
        fn: `(*args, batch) -> [B, ...]`, jitted here, for batches `[B, ...]` of x.
        x: an array `[N, ...]`, or a pytree of them with the same N, on the host.
        batch_size: B; smaller data makes one batch of its own size.
        *args: passed to `fn` unchanged.

    Returns:
        the results in the order of x, `[N, ...]`.
    """
    n = len(jax.tree.leaves(x)[0])
    batch_size = min(batch_size, n)
    apply = jax.jit(fn)
    part, parts = share()

    def batch(start):
        index = np.arange(start, start + batch_size) % n
        return jax.tree.map(lambda a: a[index], x)

    # Each round gives every process a batch; in the last one, some may do examples again.
    rounds = range(0, n, batch_size * parts)
    own = [np.asarray(apply(*args, batch(start + part * batch_size))) for start in rounds]
    return np.concatenate([rows for batches in zip(*gather(np.stack(own)), strict=True) for rows in batches])[
        :n
    ]


def points_of(subject: Subject, space: str, user: str) -> np.ndarray:
    """The test examples as points `[M, D]` of a space: "inputs", flattened, or "codes".

    Raises:
        UserError: there is no such space; `user` is the evaluator or figure that asks.
    """
    spaces = {"inputs": lambda: flat(subject.x_test), "codes": lambda: np.asarray(subject.z_test)}
    return choose(f"config.evaluate.{user}.space", space, spaces)()


def flat(x: np.ndarray) -> np.ndarray:
    """Each example as one row, `[N, D]`; of inputs that are read when they are asked for, all at once."""
    return np.asarray(x).reshape(len(x), -1)


def chunks(x: np.ndarray) -> Iterator[np.ndarray]:
    """The examples in order, some at a time: for sums over inputs that need not be in memory at once."""
    return (x[part] for part in parts(x.shape, x.dtype))


def parts(shape: tuple[int, ...], dtype: Any) -> list[slice]:
    """Slices that cover `range(N)`, each of a few MB of an array `[N, ...]`."""
    size = max(1, _CHUNK_BYTES // (math.prod(shape[1:]) * np.dtype(dtype).itemsize))
    return [slice(start, min(start + size, shape[0])) for start in range(0, shape[0], size)]


def random_subset(key: jax.Array, total: int, n: int) -> np.ndarray:
    """Indices of n of `total` examples (all of them where n is larger), without replacement, ascending."""
    return np.sort(np.asarray(jax.random.permutation(key, total))[:n])


def host_seed(key: jax.Array) -> int:
    """A seed in [0, 2^31) drawn from a typed key, for libraries that take integers."""
    return int(jax.random.bits(key) >> 1)
