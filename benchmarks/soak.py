"""A long run of the default training with a checkpoint every few seconds: does anything grow?

    python benchmarks/soak.py [--minutes=30] [--seconds=3] [--workdir=DIR]

`train.py` runs in a process of its own; its resident memory and its open files are read every ten seconds, its
throughput from `metrics.jsonl` at the end. Of each of ten equal parts of the time the medians are printed, and the
change from the second part, when all is compiled and warm, to the last.
"""

import argparse
import json
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent
PARTS = 10


def sample(pid):
    """Resident MiB, by `/proc`, and open file descriptors of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(resident.split()[1]) / 1024, len(os.listdir(f"/proc/{pid}/fd"))


def run(workdir, minutes, seconds):
    """Samples `(elapsed seconds, MiB, files)` of a run that is then stopped by SIGTERM, and its exit status."""
    command = [
        sys.executable,
        str(ROOT / "train.py"),
        f"--workdir={workdir}",
        "--config.train.steps=1000000000",
        "--config.checkpoint.every=100",
        f"--config.checkpoint.seconds={seconds}",
        "--config.schedule.name=cosine",
        "--config.evaluate.run=()",
        "--config.evaluate.figures=()",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    samples, begin = [], time.monotonic()
    while (elapsed := time.monotonic() - begin) < 60 * minutes and process.poll() is None:
        samples.append((elapsed, *sample(process.pid)))
        time.sleep(10)
    process.send_signal(signal.SIGTERM)
    return samples, process.wait()


def medians(values):
    """The median of each of PARTS equal parts."""
    size = len(values) / PARTS
    return [statistics.median(values[int(i * size) : max(int((i + 1) * size), 1)]) for i in range(PARTS)]


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seconds", type=float, default=3, help="between checkpoints")
    parser.add_argument("--workdir", type=pathlib.Path)
    arguments = parser.parse_args()
    workdir = arguments.workdir or pathlib.Path(tempfile.mkdtemp()) / "soak"
    samples, status = run(workdir, arguments.minutes, arguments.seconds)
    rates = [
        json.loads(line)["examples_per_second"]
        for line in (workdir / "metrics.jsonl").read_text().splitlines()
    ]
    _, memory, files = (list(column) for column in zip(*samples, strict=True))
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {samples[-1][0] / 60:.0f} minutes,",
        end=" ",
    )
    print(f"{len(rates) * 100:,} steps, exit status {status}\n")
    print(f"| | {' | '.join(str(i + 1) for i in range(PARTS))} | change from 2 to {PARTS} |")
    print("|" + "---|" * (PARTS + 2))
    for name, values in (("resident MiB", memory), ("open files", files), ("examples/s", rates)):
        parts = medians(values)
        cells = " | ".join(f"{value:,.0f}" for value in parts)
        print(f"| {name} | {cells} | {parts[-1] / parts[1] - 1:+.2%} |")


if __name__ == "__main__":
    main()
