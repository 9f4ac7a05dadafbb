"""The two feeds of a training run. Both give the same examples in the same order.

Training reads one endless stream of shuffled epochs: example i of the stream is example `i % n` of the
permutation of epoch `i // n`, and step s takes positions `s * batch_size` to `(s + 1) * batch_size`. No example is
dropped, a position is a step, and a restart needs nothing but that number. `by_category` is another stream, whose steps
are independent draws.
"""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

UNKNOWN_BYTES = 8 * 2**30  # what a machine that does not tell its memory is taken to have


class Feed(NamedTuple):
    """Batches for a range of steps, in blocks of several steps a call.

    Attributes:
        read: `(start, stop, T) -> iterator` over arrays (or pairs of them) `[T, B, ...]`, this process's share of each
            batch, for the steps from `start` to `stop`; the last block may be shorter.
        batch: `(block[t], *shared) -> batch [B, ...]`, run on the device: inputs, or inputs and labels.
        shared: arrays that `batch` needs on every device.
        steps_per_call: T.
    """

    read: Callable[[int, int, int], Iterator[np.ndarray]]
    batch: Callable
    shared: tuple
    steps_per_call: int

    def blocks(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """The blocks of the steps from `start` to `stop`."""
        return self.read(start, stop, self.steps_per_call)


@functools.lru_cache(maxsize=2)
def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(n).astype(np.int32)


def example_order(positions: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Which of `n` examples stand at `positions` (int, any shape) of the stream of shuffled epochs; int32."""
    epochs, offsets = np.divmod(positions, n)
    order = np.empty(positions.shape, np.int32)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        order[here] = _permutation(n, seed, int(epoch))[offsets[here]]
    return order


def _positions(start: int, stop: int, batch_size: int, rows: np.ndarray | None) -> np.ndarray:
    """Stream positions `[steps, len(rows)]` of those rows of each batch; of all for None."""
    return np.arange(start, stop)[:, None] * batch_size + (np.arange(batch_size) if rows is None else rows)


def by_category(
    codes: np.ndarray, sizes: tuple[int, ...], batch_size: int, seed: int, rows: np.ndarray | None = None
) -> Callable:
    """Training by sampling: `(start, stop) -> (examples, categories)`, both `[steps, B]` int32, for those steps.

    Of each example of a batch a column is drawn uniformly, its category in proportion to log(1 + count), so that rare
    ones are learnt too, and the example uniformly among those that have it. A step's draws follow from `seed` and its
    number alone.

    Args:
        codes: `[N, S]` int, the category of each example in each of S columns.
        sizes: of each column how many categories there are; the result counts through all of them, column by column.
        batch_size: of the global batch.
        seed: of the draws.
        rows: which rows of every batch to give; None: all.

    Source: Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019, section 4.3.
    """
    count = np.stack([np.bincount(column, minlength=max(sizes)) for column in codes.T])
    level = np.cumsum(np.log1p(count), axis=1)
    level /= level[:, -1:]
    first, offset = np.cumsum(count, axis=1) - count, np.cumsum((0, *sizes[:-1]))
    order = np.argsort(codes, axis=0, kind="stable")
    mine = slice(None) if rows is None else rows

    def drawn(step):
        random = np.random.default_rng([seed, step])
        column = random.integers(len(sizes), size=batch_size)
        category = (random.random((batch_size, 1)) >= level[column]).sum(axis=1)
        example = first[column, category] + random.integers(count[column, category])
        return np.stack([order[example, column], offset[column] + category]).astype(np.int32)[:, mine]

    return lambda start, stop: tuple(np.stack([drawn(step) for step in range(start, stop)], axis=1))


def categories_of(x: np.ndarray, spans: Sequence[tuple[int, int]]) -> tuple[np.ndarray, tuple[int, ...]]:
    """What `by_category` takes, codes `[N, S]` and sizes, of rows `[N, D]` with S one-hots, each a (start, size)."""
    codes = [x[:, start : start + size].argmax(axis=1) for start, size in spans]
    return np.stack(codes, axis=1), tuple(size for _, size in spans)


def block_length(block) -> int:
    """T of a block."""
    return len(jax.tree.leaves(block)[0])


def resident(
    data,
    batch_size: int,
    seed: int,
    steps_per_call: int,
    rows: np.ndarray | None = None,
    chosen: Callable | None = None,
) -> Feed:
    """The whole data set on every device, once; a block is indices, and a batch is gathered on the device.

    Args:
        data: inputs `[N, ...]`, or a pair of inputs and labels `[N]`, on the devices, of their stored dtype (images
            stay uint8).
        batch_size: of the global batch.
        seed: of the shuffling.
        steps_per_call: T, steps in a block.
        rows: which rows of every batch this process places; None: all.
        chosen: `by_category(...)`, with which a batch is a pair of inputs and categories; None: shuffled epochs.
    """

    def read(start, stop, steps):
        for first in range(start, stop, steps):
            last = min(first + steps, stop)
            if chosen:
                yield chosen(first, last)
            else:
                yield example_order(_positions(first, last, batch_size, rows), block_length(data), seed)

    def batch(index, data):
        if chosen:
            return data[index[0]], index[1]
        return jax.tree.map(lambda a: a[index], data)

    return Feed(read, batch, (data,), steps_per_call)


def streaming(
    gather: Callable,
    n: int,
    batch_size: int,
    seed: int,
    steps_per_call: int,
    rows: np.ndarray | None = None,
    threads: int = 4,
    chosen: Callable | None = None,
) -> Feed:
    """Reads each batch when its turn comes, in threads ahead of the device: for data beyond device memory.

    Args:
        gather: reads inputs, `indices [B] -> [B, ...]`, or pairs of inputs and labels.
        n: number of examples.
        batch_size: of the global batch.
        seed: of the shuffling.
        steps_per_call: T, steps in a block.
        rows: which rows of every batch this process reads; None: all.
        threads: batches that are read at the same time.
        chosen: as of `resident`.
    """

    def batch(step):
        if chosen:
            index, category = chosen(int(step), int(step) + 1)
            return gather(index[0]), category[0]
        positions = _positions(int(step), int(step) + 1, batch_size, rows)
        return gather(example_order(positions[0], n, seed))

    def read(start, stop, steps):
        import grain  # lazily, for machines that have it not and need no streaming

        batches = grain.MapDataset.range(start, stop).map(batch).batch(steps)
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
        return iter(batches.to_iter_dataset(options))

    return Feed(read, lambda batch: batch, (), steps_per_call)


def fits_in_memory(n_bytes: int) -> bool:
    """Whether a data set of that size may lie on each device beside the model: in a quarter of its memory."""
    stats = jax.local_devices()[0].memory_stats() or {}
    # XLA's CPU backend reports no limit: its devices share the machine's memory.
    return n_bytes <= stats.get("bytes_limit", _machine_bytes() // jax.local_device_count()) // 4


def _machine_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return UNKNOWN_BYTES
