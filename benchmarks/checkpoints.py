"""What checkpoints cost: the default training without them, and with one every 100 steps.

    python benchmarks/checkpoints.py [--steps=20000] [--rounds=5]

Whole runs by `unsupjax.run.fit.fit`, in turns; the time is that of the loop, with pauses for checkpoints, and of what
is still written after it. `seconds` is config.checkpoint.seconds, the least time between two checkpoints; 0 has the run
save after every hundred steps, some twenty times a second.
"""

import argparse
import os
import pathlib
import platform
import runpy
import statistics
import tempfile
import time

import jax

from unsupjax.parallel import hardware
from unsupjax.run import checkpoint, fit, loop

CONFIG = pathlib.Path(__file__).parent.parent / "configs" / "autoencoder_digits.py"
CONTESTANTS = {  # (every, seconds)
    "none but the last": (10**9, 0.0),
    "every 100 steps (5 s apart at least, the default)": (100, 5.0),
    "every 100 steps, 1 s apart at least": (100, 1.0),
    "every 100 steps, all of them": (100, 0.0),
}


def run(steps, every, seconds):
    """Seconds of a run's loop and last save, and how many checkpoints it wrote."""
    config = runpy.run_path(str(CONFIG))["get_config"]()
    with config.unlocked():
        config.train.steps, config.checkpoint.every, config.checkpoint.seconds = steps, every, seconds
        config.evaluate.run, config.evaluate.figures = (), ()
    begun, saves = [], []
    train, save, close = loop.train, checkpoint.Checkpoints.save, checkpoint.Checkpoints.close

    def timed_train(*args, **kwargs):
        begun.append(time.perf_counter())
        return train(*args, **kwargs)

    def timed_close(self):
        close(self)
        if saves:
            saves[-1] = time.perf_counter()

    def counted(self, *args):
        saves.append(time.perf_counter())
        return save(self, *args)

    loop.train, checkpoint.Checkpoints.save, checkpoint.Checkpoints.close = timed_train, counted, timed_close
    try:
        with tempfile.TemporaryDirectory() as folder:
            fit.fit(config, pathlib.Path(folder) / "run")
    finally:
        loop.train, checkpoint.Checkpoints.save, checkpoint.Checkpoints.close = train, save, close
    return saves[-1] - begun[0], len(saves)


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    hardware.keep_compiled()
    times = {name: [] for name in CONTESTANTS}
    counts = {}
    for i in range(arguments.rounds + 1):
        for name, (every, seconds) in CONTESTANTS.items():
            elapsed, counts[name] = run(arguments.steps, every, seconds)
            if i:  # the first round warms up
                times[name].append(elapsed)
    print(f"\njax {jax.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores,", end=" ")
    print(f"{arguments.steps:,} steps, median of {arguments.rounds} rounds\n")
    print("| checkpoints | written | s | longer than without |\n|---|---|---|---|")
    pairs = list(times.values())
    for name, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(values, pairs[0], strict=True)) - 1
        print(f"| {name} | {counts[name]} | {statistics.median(values):.2f} | {ratio:+.1%} |")


if __name__ == "__main__":
    main()
