"""Many processes that run one program: how they start, agree and end.

Every process runs the same steps on its own devices; process 0, the primary, alone speaks and writes what is no
checkpoint. With one process every function here is the identity, or nothing.
"""

import contextlib
import glob
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from unsupjax.errors import UserError, first_line

LOST_AFTER = 60  # seconds without a sign of life until a process counts as dead
_alone = False


def start(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    timeout: int = 300,
) -> None:
    """Joins the processes of a run; to be called before anything else of JAX.

    Without arguments it does so where the environment tells of several processes: on a TPU pod slice, in a step of
    SLURM, under Open MPI. Elsewhere it does nothing.

    Args:
        coordinator: `HOST:PORT` of process 0, which all others can reach.
        num_processes: how many there are; None: what SLURM or Open MPI tell.
        process_id: which of them this is, from 0; None: the same.
        timeout: seconds to wait for the others.

    Raises:
        UserError: arguments that do not fit together, or the others did not come.
    """
    count, rank = _launcher()
    if coordinator is None and (num_processes, process_id) != (None, None):
        raise UserError("--num_processes and --process_id need --coordinator=HOST:PORT, that of process 0")
    if coordinator is None and count == 1 and not _on_tpu():
        return
    num_processes = count if num_processes is None and count > 1 else num_processes
    process_id = rank if process_id is None and count > 1 else process_id
    if coordinator is not None:
        _check(coordinator, num_processes, process_id)
    # Its handler of SIGTERM would swallow the signal; `loop.interruptible` has one, and `Votes` spreads the word.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=timeout,
            heartbeat_timeout_seconds=LOST_AFTER,
            shutdown_timeout_seconds=3600,  # the primary may draw for long when the others are done
        )
    except (RuntimeError, ValueError) as error:
        who = f"process {process_id} of {num_processes}" if coordinator else "the processes of this run"
        where = f" at --coordinator={coordinator}" if coordinator else ""
        raise UserError(
            f"{who} could not meet the others{where} within {timeout} s ({first_line(error)}); start all of them "
            "with the same coordinator, and see that its port is open and free"
        ) from error


def _launcher() -> tuple[int, int | None]:
    """The number of processes and the rank that SLURM or Open MPI tell; (1, None) where none does."""
    for count, rank, also in (
        ("SLURM_NTASKS", "SLURM_PROCID", "SLURM_STEP_NODELIST"),
        ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_RANK"),
    ):
        if {count, rank, also} <= os.environ.keys():
            return int(os.environ[count]), int(os.environ[rank])
    return 1, None


def _on_tpu() -> bool:
    wanted = os.environ.get("JAX_PLATFORMS", "tpu")
    chips = glob.glob("/dev/accel[0-9]*") + glob.glob("/dev/vfio/[0-9]*")
    return "tpu" in wanted and bool(chips) and importlib.util.find_spec("libtpu") is not None


def _check(coordinator: str, num_processes: int | None, process_id: int | None) -> None:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"--coordinator={coordinator} must be HOST:PORT, such as 10.0.0.1:8476")
    if num_processes is None or process_id is None:
        raise UserError(
            f"--coordinator={coordinator} needs --num_processes and --process_id: no launcher tells them"
        )
    if not 0 <= process_id < num_processes:
        raise UserError(
            f"--process_id={process_id} must be from 0 to {num_processes - 1}: --num_processes={num_processes}"
        )


def is_primary() -> bool:
    """Whether this is the process that speaks and writes."""
    return jax.process_index() == 0


def say(text: str, file=None) -> None:
    """Prints a line, on the primary alone."""
    if is_primary():
        print(text, file=file, flush=True)


def any_process(yes: bool) -> bool:
    """Whether `yes` is true on any process; all must ask."""
    return yes if jax.process_count() == 1 else bool(multihost_utils.process_allgather(np.array([yes])).any())


@contextlib.contextmanager
def together() -> Iterator[None]:
    """What one process refuses inside, with a `UserError`, all refuse.

    Inside, no process may wait for the others once it can fail alone: who fails asks here already.
    """
    fault = None
    try:
        yield
    except UserError as error:
        fault = error
    if any_process(fault is not None):
        raise fault or UserError("another process refused to go on; its own message says why")


@contextlib.contextmanager
def primary_first() -> Iterator[None]:
    """The primary runs what is inside before the others do."""
    several = jax.process_count() > 1
    if several and not is_primary():
        multihost_utils.sync_global_devices("primary_first")
    try:
        yield
    finally:
        if several and is_primary():
            multihost_utils.sync_global_devices("primary_first")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Inside, `share` is the whole: for what the primary computes while the others do not."""
    global _alone
    _alone = True
    try:
        yield
    finally:
        _alone = False


def share() -> tuple[int, int]:
    """Which of how many parts of a divided job is this process's."""
    return (0, 1) if _alone else (jax.process_index(), jax.process_count())


def gather(x: np.ndarray) -> np.ndarray:
    """The arrays of all that `share` a job, `[parts, ...]`."""
    return x[None] if share()[1] == 1 else np.asarray(multihost_utils.process_allgather(x))


class Votes:
    """What any process says yes to: asked once a block by all, answered a block later, so that nobody waits.

    A signal may reach one process alone, or each at another step, and clocks differ. All must do the same at the same
    step.
    """

    def __init__(self, mesh: Mesh, ask: Callable[[], tuple[bool, ...]]):
        """Votes of the processes of `mesh`; `ask()`, a NamedTuple of booleans, is this one's."""
        self._sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        self._count = jax.jit(lambda votes: votes.any(0), out_shardings=NamedSharding(mesh, PartitionSpec()))
        self._ask, self._waiting = ask, None

    def __call__(self) -> tuple[bool, ...]:
        """The outcome of the last vote, for each question; casts the next."""
        vote = self._ask()
        votes = jax.make_array_from_callback(
            (self._sharding.mesh.size, len(vote)), self._sharding, lambda _: np.array([vote])
        )
        last, self._waiting = self._waiting, self._count(votes)
        return type(vote)(*[False] * len(vote) if last is None else np.asarray(last).tolist())


def lost(error: Exception) -> str:
    """What to say of an error of the runtime among several processes; raises it where there is one process."""
    if jax.process_count() == 1:
        raise error
    return (
        f"process {jax.process_index()} of {jax.process_count()} lost the others ({first_line(error)}); start all "
        "again with the same command to go on from the newest checkpoint"
    )


def end(message: str) -> None:
    """Ends a command that trains nothing with a message and status 1; among several processes as `leave`."""
    if jax.process_count() > 1:
        leave(message)
    if message:
        print(message, file=sys.stderr)
    raise SystemExit(1)


def leave(message: str) -> None:
    """Ends the program with a message and status 1, without waiting for threads or processes that may be stuck."""
    print(message, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    if jax.distributed.is_initialized() and is_primary():
        time.sleep(1)  # it holds the coordinator: whoever fails for the same reason should end first
    os._exit(1)
