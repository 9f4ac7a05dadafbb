"""From the command to the first step: with an empty cache of compiled programs, and with a full one.

    python benchmarks/restart.py [--rounds=3] [--config=configs/autoencoder_digits.py ...]

`train.py` runs in processes of its own until the first line of `metrics.jsonl`, with `train.log_every=1`. "Imports" is
a process that only imports what `train.py` does: no cache helps there.
"""

import argparse
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import jax

ROOT = pathlib.Path(__file__).parent.parent
DEFAULTS = ["configs/autoencoder_digits.py", "configs/simclr_digits.py", "configs/gan_digits.py"]


def imports():
    """Seconds until everything is imported."""
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "import unsupjax.run.fit, absl.app, ml_collections"], cwd=ROOT, check=True
    )
    return time.perf_counter() - begin


def first_step(config, cache, options):
    """Seconds until the first metrics are on disk."""
    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(folder) / "run"
        settings = ["--config.train.log_every=1", "--config.train.steps=100000", f"--workdir={workdir}"]
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), f"--config={config}", *settings, *options],
            env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)},
            stdout=subprocess.DEVNULL,
        )
        metrics = workdir / "metrics.jsonl"
        while not (metrics.exists() and metrics.stat().st_size):
            assert process.poll() is None, "the run ended before its first step"
            time.sleep(0.01)
        elapsed = time.perf_counter() - begin
        process.kill()
        process.wait()
    return elapsed


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--config", action="append")
    parser.add_argument("options", nargs="*", help="more arguments for train.py, after --")
    arguments = parser.parse_args()
    print(f"jax {jax.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores,", end=" ")
    print(
        f"median of {arguments.rounds} rounds; imports alone: {statistics.median(imports() for _ in range(3)):.1f} s\n"
    )
    print("| config | cold, s | warm, s | warm / cold |\n|---|---|---|---|", flush=True)
    for config in arguments.config or DEFAULTS:
        cold, warm = [], []
        for _ in range(arguments.rounds):
            with tempfile.TemporaryDirectory() as cache:
                cold.append(first_step(config, cache, arguments.options))
                warm.append(first_step(config, cache, arguments.options))
        ratio = statistics.median(b / a for a, b in zip(cold, warm, strict=True))
        print(
            f"| `{config}` | {statistics.median(cold):.1f} | {statistics.median(warm):.1f} | {ratio:.0%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
