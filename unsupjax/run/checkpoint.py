"""Checkpoints that survive bad days; the only file that knows orbax.

A checkpoint holds a State and, sealed by a checksum, a manifest of the caller's, the latest metrics and a checksum of
every array: without them, a bit flipped on disk can restore with no complaint. `restore` walks back from the newest
step to the first that is whole.
"""

import contextlib
import errno
import json
import logging
import os
import pathlib
import shutil
import warnings
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from unsupjax.errors import UserError, first_line
from unsupjax.parallel.mesh import with_keys, without_keys
from unsupjax.parallel.processes import any_process, is_primary, primary_first

logger = logging.getLogger(__name__)


def _ask_for_no_statistics() -> None:
    """Orbax asks tensorstore for statistics twice a save, which leak kilobytes (0.1.86) and which nobody reads here."""
    with contextlib.suppress(ImportError):
        from orbax.checkpoint._src.serialization import tensorstore_utils

        tensorstore_utils.get_tensorstore_raw_bytes = lambda direction=None: 0


def _is_news(record: logging.LogRecord) -> bool:
    told = str(record.msg)
    # Said of every save without it, and of every folder that is opened to be read.
    return not any(w in told for w in ("Skipping merge of OCDBT", "read_only=True", "directory is read only"))


_ask_for_no_statistics()
logging.getLogger("absl").addFilter(_is_news)


class Restored(NamedTuple):
    """A checkpoint that was read back whole."""

    step: int
    state: Any
    manifest: dict


class Snapshot(NamedTuple):
    """A copy of a State on the device, safe from donation, with what is needed to trust it."""

    state: Any
    checksums: jax.Array
    finite: jax.Array


def _bits(x: jax.Array) -> jax.Array:
    if x.dtype == jnp.bool_:
        return x.astype(jnp.uint32)
    unsigned = jnp.dtype(f"uint{8 * min(x.dtype.itemsize, 4)}")
    return jax.lax.bitcast_convert_type(x, unsigned).astype(jnp.uint32)


def _checksum(x: jax.Array) -> jax.Array:
    """Sum of the array's words, each times another odd number, modulo 2^32: any flip of one bit changes it."""
    words = _bits(x).ravel()
    return (words * (2 * jnp.arange(words.size, dtype=jnp.uint32) + 1)).sum(dtype=jnp.uint32)


@jax.jit
def snapshot(state: Any) -> Snapshot:
    """Copies `state` (typed keys as their data) and computes its checksums `[leaves]` and finiteness, on device."""
    state = without_keys(state)
    leaves = jax.tree.leaves(state)
    floats = [x for x in leaves if jnp.issubdtype(x.dtype, jnp.floating)]
    finite = jnp.stack([jnp.isfinite(x).all() for x in floats]).all() if floats else jnp.array(True)
    return Snapshot(jax.tree.map(jnp.copy, state), jnp.stack([_checksum(x) for x in leaves]), finite)


def _seal(content: dict) -> dict:
    text = json.dumps(content, sort_keys=True)
    # A copy: orbax writes it in a thread, while the caller goes on to change what it passed.
    return {"content": json.loads(text), "crc32": zlib.crc32(text.encode())}


def _unseal(sealed: dict) -> dict:
    if _seal(sealed["content"]) != sealed:
        raise ValueError("its manifest was changed")
    return sealed["content"]


class _LastAndBest:
    """Orbax's preservation policy of that name: the last `keep`, the one of the best value, and a protected one.

    The values are ours and come from manifests: orbax's own files of metrics, once damaged, keep it from opening the
    folder at all.
    """

    def __init__(self, keep: int, mode: str):
        self.values: dict[int, float] = {}
        self.protected: int | None = None
        self._keep, self._best = keep, {"min": min, "max": max}[mode]

    def best(self, steps: Iterable[int]) -> int | None:
        """The one of these steps, which all have values, whose value is best."""
        return self._best(steps, key=self.values.get, default=None)

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        steps = [checkpoint.step for checkpoint in checkpoints]
        valued = [step for step in steps if step in self.values]
        kept = {self.best(valued), self.protected, *steps[-self._keep :]}
        return [step in kept for step in steps]


class Checkpoints:
    """The checkpoints of one workdir: saved asynchronously, the last `keep` and the best kept."""

    def __init__(
        self,
        directory: pathlib.Path,
        keep: int = 3,
        best_metric: str = "",
        best_mode: str = "min",
        read_only: bool = False,
    ):
        """Opens or makes `directory`.

        Args:
            directory: where they lie, one numbered folder a step.
            keep: how many of the newest to keep.
            best_metric: name of the metric by which the best is kept too; "" for none.
            best_mode: "min" or "max".
            read_only: touch nothing: a run may be writing there.
        """
        self.directory = directory.absolute()
        self._read_only = read_only
        self._metric = best_metric
        self._policy = _LastAndBest(keep, best_mode)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self._policy,
            cleanup_tmp_directories=not read_only,
            create=not read_only,
            read_only=read_only,
        )
        # An array a folder: OCDBT, the default, leaks tens of kilobytes a save (tensorstore 0.1.86), which adds up.
        handlers = {
            "state": ocp.PyTreeCheckpointHandler(use_ocdbt=False),
            "sealed": ocp.JsonCheckpointHandler(),
        }
        self._manager = ocp.CheckpointManager(self.directory, options=options, item_handlers=handlers)
        for step in self.steps():
            content = self._try_content(step)
            if content and best_metric in content["metrics"]:
                self._policy.values[step] = content["metrics"][best_metric]
            if content:
                self._policy.protected = content.get("protected")

    def save(self, step: int, copy: Snapshot, manifest: dict, metrics: dict[str, float]) -> None:
        """Starts to write a snapshot; returns once the arrays are on the host.

        Args:
            step: its number.
            copy: what `snapshot` made.
            manifest: JSON-able, given back by `restore`.
            metrics: the latest values; `best_metric` is looked up here.

        Raises:
            UserError: it, or the one before it, could not be written.
        """
        if self._metric in metrics:
            self._policy.values[step] = metrics[self._metric]
        sums = np.asarray(copy.checksums).tolist()
        content = {"checksums": sums, "metrics": metrics, "manifest": manifest}
        sealed = _seal(content | {"protected": self._policy.protected})
        args = ocp.args.Composite(state=ocp.args.PyTreeSave(copy.state), sealed=ocp.args.JsonSave(sealed))
        with self._writing():
            self._check_room(copy.state)
            self._manager.save(step, args=args, force=True)

    def _check_room(self, state: Any) -> None:
        """Beforehand: what fails in orbax's threads fails with pages of their tracebacks."""
        needed = 2**20 + sum(x.nbytes for x in jax.tree.leaves(state))
        if any_process(is_primary() and shutil.disk_usage(self.directory).free < needed):
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}; it needs {needed / 2**20:.1f} MiB")

    def steps(self) -> list[int]:
        """Steps of the checkpoints there are, oldest first."""
        return sorted(self._manager.all_steps())

    def protect(self, step: int) -> int | None:
        """Keeps the newest checkpoint up to `step` for good, in place of one protected before; its step, if any."""
        earlier = [there for there in self.steps() if there <= step]
        self._policy.protected = max(earlier, default=self._policy.protected)
        return max(earlier, default=None)

    def newest_manifest(self) -> dict | None:
        """The newest manifest that is whole, or None."""
        for step in reversed(self.steps()):
            if content := self._try_content(step):
                return content["manifest"]
        return None

    def _content(self, step: int) -> dict:
        return _unseal(
            self._manager.restore(step, args=ocp.args.Composite(sealed=ocp.args.JsonRestore())).sealed
        )

    def _try_content(self, step: int) -> dict | None:
        try:
            return self._content(step)
        except Exception as error:  # whatever damage raises; `restore` tells of it
            logger.info("checkpoint %d: %s", step, error)
            return None

    def _arrays(self, step: int, target: Any) -> tuple[dict, Any]:
        content = self._content(step)
        wanted = ocp.checkpoint_utils.construct_restore_args(target)
        args = ocp.args.Composite(state=ocp.args.PyTreeRestore(target, restore_args=wanted))
        return content, self._manager.restore(step, args=args).state

    def _read(self, step: int, abstract: Any, shardings: Any) -> Restored | str:
        """A checkpoint, or why it cannot be had; the same on every process."""
        place = lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
        target = jax.tree.map(place, jax.eval_shape(without_keys, abstract), shardings)
        fault = None
        try:
            content, state = self._arrays(step, target)
        except Exception as error:  # what damage raises is as various as damage
            fault = first_line(error)
        if any_process(fault is not None):
            return fault or "another process could not read it"
        if np.asarray(snapshot(state).checksums).tolist() != content["checksums"]:
            return "its arrays are not those that were written"
        return Restored(step, with_keys(state, abstract), content["manifest"])

    def best(self) -> int | None:
        """The step of the checkpoint whose `best_metric` is best; None where none has it."""
        values = {step: value for step, value in self._policy.values.items() if step in self.steps()}
        return self._policy.best(values)

    def restore(self, abstract: Any, shardings: Any, step: int | None = None) -> Restored | None:
        """The newest whole checkpoint, or that of `step`; None where there is none at all.

        Damaged ones that are newer are set aside with a warning, never deleted.

        Args:
            abstract: a State, or its `jax.eval_shape`; typed keys are of JAX's default implementation.
            shardings: where each array is put, as `parallel.state_sharding` gives them; need not be that of the run
                which saved them.
            step: of the one that is wanted, whole or not; None: the newest whole one.

        Raises:
            UserError: there are checkpoints, and none of them can be read; all are left as they are.
        """
        damaged = {}
        for tried in reversed(self.steps()) if step is None else [step]:
            restored = self._read(tried, abstract, shardings)
            if isinstance(restored, Restored):
                self._set_aside(damaged, tried)
                return restored
            damaged[tried] = restored
        if damaged:
            raise UserError(
                f"none of the checkpoints {sorted(damaged)} in {self.directory} can be read "
                f"({damaged[max(damaged)]}); mend them, or move that folder away to begin anew"
            )
        return None

    def _set_aside(self, damaged: dict[int, str], whole: int) -> None:
        """Moves damaged checkpoints away, on the primary, with a warning."""
        with primary_first():
            for step, reason in damaged.items() if is_primary() else ():
                fate = "left where it is" if self._read_only else f"moved to {self._move(step)}"
                warnings.warn(
                    f"checkpoint {step} is damaged ({reason}): it was {fate}, and the run goes on from checkpoint "
                    f"{whole}",
                    stacklevel=3,
                )
        if damaged:
            self._manager.reload()

    def _move(self, step: int) -> pathlib.Path:
        aside = self.directory.with_name("damaged")
        aside.mkdir(exist_ok=True)
        target = aside / str(step)
        while target.exists():
            target = target.with_name(target.name + "_")
        return (self.directory / str(step)).rename(target)

    def close(self) -> None:
        """Waits for the last save to be complete.

        Raises:
            UserError: it could not be written.
        """
        with self._writing():
            self._manager.wait_until_finished()
        self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except jax.errors.JaxRuntimeError:  # another process is gone
            raise
        except Exception as error:  # orbax and tensorstore have no one type for a full disk
            raise UserError(
                f"a checkpoint cannot be written to {self.directory} ({first_line(error)}): make room there, or "
                f"make it writable, and run the same command to go on from {self._resumes_from()}"
            ) from error

    def _resumes_from(self) -> str:
        whole = [int(path.name) for path in self.directory.glob("[0-9]*") if path.name.isdigit()]
        return f"checkpoint {max(whole)}" if whole else "the beginning"
