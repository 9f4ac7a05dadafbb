"""NT-Xent in tiles beside all logits at once and PyTorch: time, memory, and a batch of 65,536, all in one run.

    python benchmarks/contrastive_losses.py [--rounds=5] [--chunk=256] [--no-large] [--peer-python=PYTHON]

Loss and gradient of two views `[B, 128]`, float32. "plain" is SimCLR's Eq. 1 written down in JAX and differentiated;
"dense" is ours without and "tiled" with a `chunk_size`. torch runs in a process of its own, by the interpreter that
`--peer-python` names (this one unless told otherwise), and takes its turn in the same rounds. One product of all 2B
views is u = 2 (2B)^2 128 operations: dense needs 3 u forward and backward, and tiles of a symmetric matrix 2 u. "share
of sgemm" is that of those 2 u or 3 u in the float32 matrix-multiply rate of the same rounds. Memory is what the
compiler plans beyond inputs and results; of the large batch, also the peak of a process of its own, beyond the inputs
and the loaded libraries. Exponentials: 2 (2B)^2 in tiles, (2B)^2 dense. Those with all logits stop at B = 8192.
"""

import argparse
import pathlib
import platform
import statistics
import subprocess
import sys
import time

import numpy as np

SIZES = (512, 1024, 2048, 4096, 8192, 16384)
LARGEST_DENSE = 8192
WIDTH = 128
TEMPERATURE = 0.1


def data(batch):
    """Two views, `[B, 128]` each."""
    rng = np.random.default_rng(0)
    z1 = rng.normal(size=(batch, WIDTH)).astype(np.float32)
    return z1, z1 + rng.normal(size=z1.shape).astype(np.float32)


def plain(z1, z2):
    """SimCLR's Eq. 1 as it stands, for differentiation."""
    import jax
    import jax.numpy as jnp

    z = jnp.concatenate([z1, z2])
    z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
    n = len(z)
    logits = jnp.where(jnp.eye(n, dtype=bool), -jnp.inf, z @ z.T / TEMPERATURE)
    positive = logits[jnp.arange(n), (jnp.arange(n) + n // 2) % n]
    return jax.nn.logsumexp(logits, axis=1) - positive


def ours(chunk_size):
    """The loss with such tiles."""
    from unsupjax.losses import nt_xent

    return lambda z1, z2: nt_xent(z1, z2, temperature=TEMPERATURE, chunk_size=chunk_size)


def compiled(loss, views):
    """Loss and gradient, compiled for two views."""
    import jax

    mean = lambda z1, z2: loss(z1, z2).mean()
    return jax.jit(jax.value_and_grad(mean, (0, 1))).lower(*views).compile()


def seconds(f, *views):
    """Of one call."""
    import jax

    begin = time.perf_counter()
    jax.block_until_ready(f(*views))
    return time.perf_counter() - begin


def serve():
    """torch: reads a batch size a line, answers with seconds and loss of one forward and backward pass."""
    import torch
    import torch.nn.functional as F

    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    for line in sys.stdin:
        z1, z2 = (torch.from_numpy(z).requires_grad_() for z in data(int(line)))
        begin = time.perf_counter()
        z = F.normalize(torch.cat([z1, z2]), dim=1)
        n = len(z)
        logits = (z @ z.T / TEMPERATURE).fill_diagonal_(-torch.inf)
        loss = F.cross_entropy(logits, (torch.arange(n) + n // 2) % n)
        loss.backward()
        print(time.perf_counter() - begin, float(loss), flush=True)


class Peer:
    """torch in a process of its own, or nothing where it is not installed."""

    def __init__(self, python):
        command = [python, __file__, "--serve"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, text=True, **pipes)
        self.name = self.process.stdout.readline().strip()

    def __call__(self, batch):
        """Seconds and loss."""
        print(batch, file=self.process.stdin, flush=True)
        return tuple(map(float, self.process.stdout.readline().split()))

    def close(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def compare(batch, chunk_size, rounds, peer):
    """A row of the table."""
    import jax
    from machine import sgemm_rate

    views = jax.device_put(data(batch))
    fits = batch <= LARGEST_DENSE
    losses = {"tiled": ours(chunk_size)} | ({"dense": ours(None), "plain": plain} if fits else {})
    runs = {name: compiled(loss, views) for name, loss in losses.items()}
    values = {name: float(run(*views)[0]) for name, run in runs.items()}
    took, rates = {name: [] for name in (*runs, "torch")}, []
    for r in range(rounds + 1):
        rate = sgemm_rate()
        once = {name: seconds(run, *views) for name, run in runs.items()}
        if fits and peer.name:
            once["torch"], values["torch"] = peer(batch)
        if r > 0:  # the first round warms everyone up
            rates.append(rate)
            for name, s in once.items():
                took[name].append(s)
    median = {name: statistics.median(s) for name, s in took.items() if s}
    return row(batch, median, statistics.median(rates), runs, values)


def row(batch, median, rate, runs, values):
    """One row, of medians in seconds."""
    u = 2 * (2 * batch) ** 2 * WIDTH
    of = lambda name, text: text(name) if name in median else ""
    share = lambda name: of(name, lambda k: f"{(2 if k == 'tiled' else 3) * u / median[k] / rate:.0%}")
    mib = lambda name: of(name, lambda k: f"{runs[k].memory_analysis().temp_size_in_bytes / 2**20:,.0f}")
    ratio = lambda name: of(name, lambda k: f"{median[k] / median['tiled']:.2f}")
    off = max(abs(v / values["tiled"] - 1) for v in values.values())
    cells = [f"{batch:,}", f"{1e3 * median['tiled']:.1f}", ratio("dense"), ratio("plain"), ratio("torch")]
    cells += [share("tiled"), share("dense"), mib("tiled"), mib("dense"), mib("plain"), f"{off:.0e}"]
    return "| " + " | ".join(cells) + " |"


def large(batch, chunk_size):
    """A process of its own: seconds, planned MiB, and peak MiB beyond the inputs and the loaded libraries."""
    import jax

    small = jax.device_put(data(4 * chunk_size))
    jax.block_until_ready(compiled(ours(chunk_size), small)(*small))  # loads libraries
    views = jax.device_put(data(batch))
    run = compiled(ours(chunk_size), views)
    jax.block_until_ready(views)
    before = in_memory("VmRSS")
    took = seconds(run, *views)
    peak = in_memory("VmHWM")
    planned = run.memory_analysis().temp_size_in_bytes
    print(f"| {batch:,} | {took:.1f} | {planned / 2**20:,.0f} | {(peak - before) / 2**20:,.0f} |")


def in_memory(field):
    """Bytes of this process in memory, now (VmRSS) or at most so far (VmHWM; getrusage's would be the parent's)."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def report(arguments):
    """Prints the tables."""
    import jax

    peer = Peer(arguments.peer_python)
    print(f"jax {jax.__version__}, {peer.name or 'no torch'}, Python {platform.python_version()},", end=" ")
    print(
        f"{jax.devices()[0].device_kind}, tiles of {arguments.chunk}, median of {arguments.rounds} rounds\n"
    )
    print(
        "| B | tiled, ms | dense / tiled | plain / tiled | torch / tiled | share of sgemm, tiled |", end=" "
    )
    print("dense | MiB, tiled | dense | plain | losses off by |\n" + "|---" * 11 + "|")
    for batch in arguments.sizes:
        print(compare(batch, arguments.chunk, arguments.rounds, peer), flush=True)
    peer.close()
    if not arguments.no_large:
        print("\n| B | tiled, s | MiB planned | MiB peak |\n|---|---|---|---|", flush=True)
        command = [sys.executable, __file__, "--large", "65536", f"--chunk={arguments.chunk}"]
        subprocess.run(command, check=True)


def main():
    """Prints the tables, or does what a process of its own is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chunk", type=int, default=256)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--no-large", action="store_true")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--large", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
    elif arguments.large:
        large(arguments.large, arguments.chunk)
    else:
        report(arguments)


if __name__ == "__main__":
    main()
