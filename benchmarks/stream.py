"""Rows of a series through `unsupjax score RUN --stream`: rate, latency of a row, and memory.

    python benchmarks/stream.py --run=RUN [--rows=100000] [--long=1000000]

RUN is a trained run of series: `train.py --config=configs/series_forecast.py --workdir=RUN`. The rate is that of
a pipe that is always full; the latency, of 2,000 rows of which each waits for the answer to the one before; the memory,
what the process holds after a tenth and after all of the long stream. Give the process one core: taskset -c 0.
"""

import argparse
import pathlib
import subprocess
import sys
import threading
import time

import numpy as np

import unsupjax


def command(run):
    """The process that scores."""
    return subprocess.Popen(
        [sys.executable, "-m", "unsupjax", "score", run, "--stream"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def lines(model, n):
    """A header and rows near the training mean, as bytes."""
    rng = np.random.default_rng(0)
    kind = model.kind
    values = np.array(kind.mean) + np.array(kind.std) * rng.normal(0, 0.3, (1_000, len(kind.channels)))
    rows = [("x," + ",".join(f"{v:.6g}" for v in row) + "\n").encode() for row in values]
    return ("time," + ",".join(kind.channels) + "\n").encode(), b"".join(rows), rows, n // 1_000


def resident(pid):
    """Megabytes that a process holds."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def cpu(pid):
    """Seconds of CPU of a process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def throughput(run, header, block, blocks):
    """Seconds of the wall and of CPU for all rows but the first thousand, and memory on the way."""
    process, memory = command(run), []

    def write():
        process.stdin.write(header + block)
        for i in range(blocks):
            process.stdin.write(block)
            if i in (blocks // 10, blocks - 1):
                memory.append(resident(process.pid))
        process.stdin.close()

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(1_001):
        process.stdout.readline()
    start, began, count = time.perf_counter(), cpu(process.pid), 0
    for _ in range(1_000 * blocks):
        count += bool(process.stdout.readline())
    used = time.perf_counter() - start, cpu(process.pid) - began
    writer.join()
    process.wait()
    return *used, count, memory


def latency(run, header, rows, n=2_000):
    """Milliseconds between a row and its answer, of n rows after a thousand."""
    process = command(run)
    process.stdin.write(header)
    process.stdin.flush()
    process.stdout.readline()
    found = []
    for i in range(1_000 + n):
        start = time.perf_counter()
        process.stdin.write(rows[i % len(rows)])
        process.stdin.flush()
        process.stdout.readline()
        found.append(1e3 * (time.perf_counter() - start))
    process.stdin.close()
    process.wait()
    return np.array(found[1_000:])


def main():
    """Prints rate, latency and memory."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--long", type=int, default=0, help="rows of another stream, for memory")
    arguments = parser.parse_args()
    header, block, rows, blocks = lines(unsupjax.load(arguments.run), arguments.rows)
    wall, used, count, _ = throughput(arguments.run, header, block, blocks)
    print(f"{count} rows: {count / wall:,.0f} a second of the wall, {count / used:,.0f} a second of CPU")
    found = latency(arguments.run, header, rows)
    print("latency of a row, ms: " + ", ".join(f"p{p} {np.percentile(found, p):.2f}" for p in (50, 99, 99.9)))
    if arguments.long:
        *_, count, memory = throughput(arguments.run, header, block, arguments.long // 1_000)
        print(f"{count} rows: {memory[0]:.0f} MB after a tenth, {memory[-1]:.0f} MB at the end")


if __name__ == "__main__":
    main()
