"""Runs of `train.py` in processes of their own."""

import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent
CACHE = pathlib.Path(tempfile.gettempdir()) / "unsupjax-tests-compiled"  # the same programs, over and over
QUICK = [
    "--config.train.steps=200",
    "--config.train.batch_size=16",  # most of a long run's time is that of its steps
    "--config.encoder.features=(8,)",
    "--config.decoder.features=(8,)",
    "--config.evaluate.run=('reconstruction',)",
    "--config.evaluate.figures=()",
]
LONG = [
    "--config.train.steps=30000",
    "--config.checkpoint.every=200",
    "--config.checkpoint.seconds=0",
    *QUICK[1:],
]


def environment(**changes):
    """That of a process with one CPU device; None removes a variable."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "OMPI_", "PYTEST_"))}
    usual = {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(CACHE),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    changed = kept | usual | changes
    return {name: value for name, value in changed.items() if value is not None}


def train(*arguments, cwd, **changes):
    """Runs to the end."""
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment(**changes), capture_output=True, text=True, timeout=300
    )


def start(*arguments, cwd, script=ROOT / "train.py", **changes):
    """Starts a run."""
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        cwd=cwd,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start_many(count, *arguments, cwd, devices=1, script=ROOT / "train.py", **changes):
    """Starts a run of so many processes with so many virtual devices each, in one folder or a list of them."""
    folders = cwd if isinstance(cwd, list) else [cwd] * count
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    joined = [f"--coordinator=localhost:{port}", f"--num_processes={count}"]
    changes = {"JAX_NUM_CPU_DEVICES": str(devices), "PJRT_NPROC": "64", **changes}
    return [
        start(*joined, f"--process_id={i}", *arguments, cwd=folder, script=script, **changes)
        for i, folder in enumerate(folders)
    ]


def outputs(processes, seconds=300):
    """What each printed, once all have ended; less what the collectives' library says of its connections."""
    texts = [process.communicate(timeout=seconds)[0] for process in processes]
    return ["\n".join(line for line in text.splitlines() if "[Gloo]" not in line) for text in texts]


def steps(folder):
    """The checkpoints of a run."""
    path = folder / "checkpoints"
    return sorted(int(p.name) for p in path.iterdir() if p.name.isdigit()) if path.exists() else []


def wait_for(condition, process, seconds=120):
    """Waits until `condition()`, while the process runs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
