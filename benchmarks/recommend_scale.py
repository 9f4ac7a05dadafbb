"""Memory and time of recommendations as users and items grow tenfold, on simulated logs.

    python -m benchmarks.recommend_scale 10000x1000 100000x10000 1000000x100000

Both how many items a user has and how many users an item has are log-normal. Each size is a process of its own: reading
the log, then steps of Mult-VAE on batches of 500 users that are padded as they are fed, then recommendations.
"""

import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np


def simulate(users: int, items: int, path: pathlib.Path) -> int:
    """Writes a log; how many pairs it has."""
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(2.8, 1.0, users).astype(int), 2, min(items // 4, 1000))
    popularity = rng.lognormal(0, 1.5, items)
    level = np.cumsum(popularity) / popularity.sum()
    with parquet.ParquetWriter(path, pa.schema([("user", pa.int32()), ("item", pa.int32())])) as writer:
        for start in range(0, users, 100_000):
            part = np.arange(start, min(start + 100_000, users))
            owner = np.repeat(part, lengths[part]).astype(np.int32)
            item = np.searchsorted(level, rng.random(len(owner))).astype(np.int32)
            writer.write_table(pa.table({"user": owner, "item": item}))
    return int(lengths.sum())


def measure(users: int, items: int, folder: pathlib.Path) -> dict:
    """Seconds and peak memory of each part."""
    import logging

    import jax
    import optax

    from unsupjax import methods, models
    from unsupjax.data import open_source

    logging.disable(logging.WARNING)
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    path = folder / "log.parquet"
    pairs = simulate(users, items, path)
    clock = time.perf_counter
    before, begun = peak(), clock()
    source = open_source(f"ratings:{path}", holdout=min(0.1, 1000 / users), longest=500)
    made = {"users": users, "items": items, "pairs": pairs, "seconds_reading": clock() - begun}
    made |= {"gb_before": before, "gb_reading": peak(), "length": source.kind.length}
    v, batch = source.kind.size, 500
    networks = models.MLPEncoder((600,), "tanh"), models.MLPDecoder((v,), (600,), "tanh")
    method = methods.mult_vae(*networks, optax.adam(1e-3), vocabulary=v, total_steps=100)
    rng = np.random.default_rng(0)
    read = lambda: source.train.gather(rng.integers(0, len(source.train), batch))[0]
    state = jax.jit(method.init)(jax.random.key(0), read())
    step = jax.jit(method.step, donate_argnums=0)
    state, _ = jax.block_until_ready(step(state, read()))
    begun = clock()
    for _ in range(2):
        state, metrics = jax.block_until_ready(step(state, read()))
    made |= {"seconds_a_step": (clock() - begun) / 2, "gb_training": peak(), "loss": float(metrics["loss"])}
    recommend = jax.jit(lambda s, x: jax.lax.top_k(method.recommend(s, x), 20))
    x = source.test.gather(np.arange(100))[0]
    jax.block_until_ready(recommend(state, x))
    begun = clock()
    jax.block_until_ready(recommend(state, x))
    return made | {"ms_a_user": (clock() - begun) * 10, "gb": peak()}


def main() -> None:
    """A line of JSON for each size."""
    if sys.argv[1] == "--one":
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(int(sys.argv[2]), int(sys.argv[3]), pathlib.Path(folder))))
        return
    for size in sys.argv[1:]:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.recommend_scale", "--one", *size.split("x")], check=True
        )


if __name__ == "__main__":
    main()
