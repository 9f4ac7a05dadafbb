"""The two feeds of a training run. Both give the same examples in the same order.

Training reads one endless stream of shuffled epochs: example i of the stream is example `i % n` of the
permutation of epoch `i // n`, and step s takes positions `s * batch_size` to `(s + 1) * batch_size`. No example is
dropped, a position is a step, and a restart needs nothing but that number.
"""

import functools
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np


class Feed(NamedTuple):
    """Batches for a range of steps, in blocks of several steps a call.

    Attributes:
        blocks: `(start, stop) -> iterator` over arrays (or pairs of them) `[T, B, ...]`, this process's share of each
            batch, for the steps from `start` to `stop`; T is `steps_per_call` but for the last block.
        batch: `(block[t], *shared) -> batch [B, ...]`, run on the device: inputs, or inputs and labels.
        shared: arrays that `batch` needs on every device.
    """

    blocks: Callable[[int, int], Iterator[np.ndarray]]
    batch: Callable
    shared: tuple


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


def _local_positions(start: int, stop: int, batch_size: int) -> np.ndarray:
    """Stream positions `[steps, B_local]` of this process's contiguous share of each batch."""
    local = batch_size // jax.process_count()
    first = jax.process_index() * local
    return np.arange(start, stop)[:, None] * batch_size + np.arange(first, first + local)


def block_length(block) -> int:
    """T of a block."""
    return len(jax.tree.leaves(block)[0])


def resident(data, batch_size: int, seed: int, steps_per_call: int) -> Feed:
    """The whole data set on every device, once; a block is indices, and a batch is gathered on the device.

    Args:
        data: inputs `[N, ...]`, or a pair of inputs and labels `[N]`, on the devices, of their stored dtype (images
            stay uint8).
        batch_size: of the global batch.
        seed: of the shuffling.
        steps_per_call: T, steps in a block.
    """

    def blocks(start, stop):
        for first in range(start, stop, steps_per_call):
            last = min(first + steps_per_call, stop)
            yield example_order(_local_positions(first, last, batch_size), block_length(data), seed)

    return Feed(blocks, lambda index, data: jax.tree.map(lambda a: a[index], data), (data,))


def streaming(
    gather: Callable,
    n: int,
    batch_size: int,
    seed: int,
    steps_per_call: int,
    threads: int = 4,
) -> Feed:
    """Reads each batch when its turn comes, in threads ahead of the device: for data beyond device memory.

    Args:
        gather: reads inputs, `indices [B] -> [B, ...]`, or pairs of inputs and labels.
        n: number of examples.
        batch_size: of the global batch.
        seed: of the shuffling.
        steps_per_call: T, steps in a block.
        threads: batches that are read at the same time.
    """

    def read(step):
        positions = _local_positions(int(step), int(step) + 1, batch_size)
        return gather(example_order(positions[0], n, seed))

    def blocks(start, stop):
        import grain  # lazily, for machines that have it not and need no streaming

        batches = grain.MapDataset.range(start, stop).map(read).batch(steps_per_call)
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
        return iter(batches.to_iter_dataset(options))

    return Feed(blocks, lambda batch: batch, ())


def fits_in_memory(n_bytes: int) -> bool:
    """Whether a data set of that size may lie on each device beside the model: in a quarter of its memory."""
    stats = jax.local_devices()[0].memory_stats() or {}
    # XLA's CPU backend reports no limit: its devices share the machine's memory.
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // jax.local_device_count()
    return n_bytes <= stats.get("bytes_limit", machine) // 4
