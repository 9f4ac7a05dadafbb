"""One of several processes that train every method of a list: `worker.py --coordinator= ... FOLDER CASE ...`.

Each case is trained by one executor from one feed, by turns, or with `--all` by both from both; the primary saves the
States as `FOLDER/CASE-EXECUTOR-FEED.npz`.
"""

import argparse
import os
import pathlib

import jax
import numpy as np
from test_methods import BATCH, SHAPE, STEPS, make

from unsupjax.data.feeds import resident, streaming
from unsupjax.data.kinds import Images
from unsupjax.data.sources.digits import open_digits
from unsupjax.parallel.mesh import (
    axis_name,
    everywhere,
    local,
    local_rows,
    make_mesh,
    place_batch,
    put_everywhere,
    state_sharding,
    without_keys,
)
from unsupjax.parallel.processes import is_primary, start
from unsupjax.run.loop import compile_block

PAIRS = [("jit", "resident"), ("pmap", "streaming"), ("jit", "streaming"), ("pmap", "resident")]


def trained(case, executor, kind, x):
    """The State after STEPS steps, as arrays by their paths."""
    mesh, method = make_mesh(), make(case, axis_name(executor))
    arguments = (BATCH, 0, 2, local_rows(mesh, BATCH))
    if kind == "resident":
        feed = resident(put_everywhere(x, mesh), *arguments)
    else:
        feed = streaming(lambda index: x[index], len(x), *arguments)
    first = x[:BATCH].astype(np.float32) / 255
    abstract = jax.eval_shape(method.init, jax.random.key(1), first)
    shardings = state_sharding(abstract, mesh)
    state = jax.jit(method.init, out_shardings=shardings)(jax.random.key(1), first)
    state = local(state, mesh) if executor == "pmap" else state
    run = compile_block(method, feed, mesh, executor, Images(SHAPE).see, shardings=shardings)
    for block in feed.blocks(0, STEPS):
        state, _ = run(state, place_batch(block, mesh, executor, 1), *feed.shared)
    whole = without_keys(local(everywhere(state, mesh), mesh))
    return {jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree.leaves_with_path(whole)}


def main():
    """Trains and saves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--coordinator")
    parser.add_argument("--num_processes", type=int)
    parser.add_argument("--process_id", type=int)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("cases", nargs="+")
    arguments = parser.parse_args()
    start(arguments.coordinator, arguments.num_processes, arguments.process_id)
    x = open_digits("digits", "").train.x
    for i, case in enumerate(arguments.cases):
        for executor, kind in PAIRS if arguments.all else [PAIRS[i % 2]]:
            state = trained(case, executor, kind, x)
            if is_primary():
                partial = arguments.folder / f"{case}-{executor}-{kind}.partial.npz"
                np.savez(partial, **state)
                os.rename(partial, arguments.folder / f"{case}-{executor}-{kind}.npz")


if __name__ == "__main__":
    main()
