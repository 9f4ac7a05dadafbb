"""The folder of a run: its config, its metrics and what else it leaves."""

import contextlib
import errno
import hashlib
import json
import math
import os
import pathlib
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping

import ml_collections

from unsupjax import arrays
from unsupjax.data.members import Members
from unsupjax.data.members import digest as digest_of
from unsupjax.errors import UserError

CONFIG = "config.json"
MODEL = "model.json"  # what one example is, and what else of the data a model is used with
MODEL_FORMAT = 1
MEMBERS = "members.npz"  # which examples the run knows, and the split of each

# Fields that may change from one start of a run to the next, of whole sections too: they do not change what it learns.
ANY_TIME = (
    "config.fsdp", "config.parallel", "config.cpu_devices", "config.profile_steps", "config.evaluate",
    "config.checkpoint",
    "config.train.log_every", "config.train.evaluate_every", "config.train.steps_per_call",
    "config.data.feed", "config.data.data_dir", "config.data.changed",
)  # fmt: skip
LONGER = ("config.train.epochs", "config.train.steps")  # may grow

# Fields by which a finished run may be judged in another way, of whole sections too; and those of them that are not.
JUDGED = ("config.evaluate", "config.data", "config.parallel", "config.fsdp")
UNJUDGED = ("config.data.feed", "config.data.changed", "config.evaluate.periodic", "config.evaluate.film")

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)


def check_writable(workdir: pathlib.Path) -> None:
    """Raises a `UserError` if `workdir` cannot be made or written; makes nothing."""
    existing = workdir.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise UserError(f"--workdir={workdir}: {existing} is a file; choose another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"--workdir={workdir}: {existing} is not writable; choose another folder")


def flat(tree: Mapping, prefix: str = "config") -> dict:
    """The fields of a config by their whole names, "config.train.epochs"."""
    found = {}
    for name, value in tree.items():
        path = f"{prefix}.{name}"
        found |= flat(value, path) if isinstance(value, Mapping) else {path: value}
    return found


def as_json(config: ml_collections.ConfigDict) -> dict:
    """A config as JSON holds it: tuples are lists."""
    return json.loads(config.to_json())


def read_config(workdir: pathlib.Path) -> dict:
    """The config that `workdir` was made with; UserError if there is none, or what is there has not its outline."""
    path = workdir / CONFIG
    try:
        saved = json.loads(path.read_text())
        if not _is_outlined(saved):
            raise ValueError("it holds no sections of a config")
        return tuples(saved)
    except FileNotFoundError:
        raise UserError(f"{workdir}: no run there ({path} is missing)") from None
    except (OSError, ValueError, AttributeError, RecursionError) as error:  # text, JSON, names, depth
        raise UserError(f"{path} is damaged ({error}); restore it, or choose another --workdir") from None


def _is_outlined(saved) -> bool:
    """Whether `saved` is made of scalars and sections as a config is; which fields they have is not looked at."""
    if not isinstance(saved, dict):
        return False
    sections = {name: value for name, value in saved.items() if isinstance(value, dict)}
    return (
        all(isinstance(value, str | int | float) for name, value in saved.items() if name not in sections)
        and all(isinstance(section.get("name", ""), str) for section in sections.values())
        and "data" in sections
        and "name" in sections.get("method", {})
    )


def tuples(tree):
    """JSON's lists as the tuples that they were."""
    if isinstance(tree, dict):
        return {name: tuples(value) for name, value in tree.items()}
    return tuple(map(tuples, tree)) if isinstance(tree, list) else tree


def check_config(workdir: pathlib.Path, saved: Mapping, config: Mapping) -> None:
    """Raises a `UserError` with the difference if the run that `workdir` holds, of the config `saved`, is another."""
    there, here = flat(saved), flat(config)
    differing = [k for k in sorted(there | here) if not _same(k, there.get(k), here.get(k))]
    if _is_longer(workdir, there, here):
        differing = [k for k in differing if k not in LONGER]
    if differing:
        lines = [f"  {k}: {there.get(k, 'absent')!r} there, {here.get(k, 'absent')!r} now" for k in differing]
        shorter = any(k in LONGER for k in differing)
        raise UserError(
            f"--workdir={workdir} holds a run of another config:\n" + "\n".join(lines) + "\n"
            "Choose another --workdir, or run with the config that is there"
            + ("; a run may be made longer, not shorter." if shorter else ".")
        )


def _same(field: str, there: object, here: object) -> bool:
    """Whether a field has a value with which a run goes on that had the one `there`."""
    if there == here or any(field == name or field.startswith(name + ".") for name in ANY_TIME):
        return True
    if field == "config.data.source" and isinstance(there, str) and isinstance(here, str):
        return _whole(there) == _whole(here)
    return False


def _is_longer(workdir: pathlib.Path, there: Mapping, here: Mapping) -> bool:
    """Whether a run has at least as many steps as it was to have."""
    if not (
        workdir / MODEL
    ).exists():  # of an earlier version, which does not say how many examples there are
        lengths = [tuple(config.get(field, 0) for field in LONGER) for config in (there, here)]
        return all(new >= old for old, new in zip(*lengths, strict=True))
    examples = read_model(workdir)["facts"]["examples"]
    totals = [
        c.get("config.train.steps")
        or math.ceil(c.get("config.train.epochs", 0) * examples / c.get("config.train.batch_size", 1))
        for c in (there, here)
    ]
    return totals[1] >= totals[0]


def check_judged(saved: Mapping, config: Mapping) -> None:
    """Refuses a change that does not change how a finished run is judged."""
    there, here = flat(saved), flat(config)
    for field in sorted(there | here):
        named = lambda names, field=field: any(field == n or field.startswith(n + ".") for n in names)
        if there.get(field) != here.get(field) and (not named(JUDGED) or named(UNJUDGED)):
            raise UserError(
                f"--{field}={here.get(field)!r} changes nothing in how a finished run is judged (it has "
                f"{there.get(field)!r}); leave it out"
            )


def same_data(saved: Mapping, config: Mapping) -> bool:
    """Whether two configs read the same data in the same way."""
    there, here = (dict(c["data"]) for c in (saved, config))
    return _whole(there.pop("source")) == _whole(here.pop("source")) and there == here


def name_of(source: str) -> str:
    """Of a folder for what belongs to a source."""
    return re.sub(r"[^\w.-]+", "_", source).strip("_.") or "data"


def add_results(folder: pathlib.Path, results: Mapping[str, float], anew: bool) -> None:
    """Writes `evaluation.json`: results alone, or beside those that other evaluators left there."""
    path = folder / "evaluation.json"
    before = {}
    if not anew and path.exists():
        with contextlib.suppress(ValueError):
            before = json.loads(path.read_text())
    write_json(path, before | dict(results))


def _whole(source: str) -> str:
    """A source with the whole path of its file or folder, if it is one."""
    form, _, path = source.partition(":")
    path = os.path.expanduser(path)
    return f"{form}:{os.path.realpath(path)}" if os.path.exists(path) else source


def digest(content: dict) -> str:
    """The SHA-256 of plain values, however their JSON is laid out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_model(workdir: pathlib.Path) -> dict:
    """What `model.json` holds; UserError where there is none, or one of another form or of a later version."""
    path = workdir / MODEL
    try:
        content = json.loads(path.read_text())
        if content["format"] > MODEL_FORMAT:
            raise ValueError(f"format {content['format']} of a later version; upgrade unsupjax")
        return {name: content[name] for name in ("format", "kind", "class_names", "facts")}
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: copy it from where the run was made, with the checkpoints"
        ) from None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{path} is no description of a model ({error}); copy it anew") from error


def write_members(workdir: pathlib.Path, members: Members) -> None:
    """Writes which examples a run was begun with."""
    arrays.save(workdir / MEMBERS, members._asdict())


def read_members(workdir: pathlib.Path, wanted: str) -> Members:
    """What `write_members` wrote; UserError where it has not the digest that `model.json` tells."""
    found, _ = arrays.load(workdir / MEMBERS)
    members = Members(**found) if set(found) == set(Members._fields) else None
    if members is None or digest_of(members) != wanted:
        raise UserError(
            f"{workdir / MEMBERS} is not the one that the checkpoints there were written with; put that one back"
        )
    return members


def write_json(path: pathlib.Path, content: dict) -> None:
    """Writes `content` so that `path` holds all of it or is as it was."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(path)


@contextlib.contextmanager
def writing(workdir: pathlib.Path) -> Iterator[None]:
    """Tells of a disk that is full or read-only by a `UserError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise UserError(
            f"--workdir={workdir} cannot be written ({error.strerror}): make room there, or make it writable, and run "
            "the same command to go on from the newest checkpoint"
        ) from error


@contextlib.contextmanager
def locked(workdir: pathlib.Path) -> Iterator[None]:
    """Makes `workdir` and holds it for this run alone.

    The lock is the kernel's, on `run.lock`: it goes with the process that holds it, however that ends, so that what a
    killed run leaves is taken over. The file says whose it is.

    Raises:
        UserError: another run is there, or the folder cannot be made or written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / "run.lock").open("a+")
    except OSError as error:
        raise UserError(
            f"--workdir={workdir} cannot be made or written ({error.strerror}); choose another folder"
        ) from error
    with file:
        try:
            import fcntl  # not on Windows

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"--workdir={workdir} is in use by {file.read().strip() or 'another run'}: wait for it, stop it, or "
                "choose another folder"
            ) from None
        except (ImportError, OSError) as error:
            print(f"{workdir}: no locks there ({error}); start no second run", file=sys.stderr)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}\n")
        file.flush()
        yield


class MetricsWriter:
    """Writes metrics as lines of `metrics.jsonl` and as TensorBoard events.

    Opened at `step`, it forgets what an earlier run wrote after that step, and a torn last line.
    """

    def __init__(self, workdir: pathlib.Path, step: int):
        """Continues the metrics of `workdir` from `step`."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        path = workdir / "metrics.jsonl"
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= step]
        partial = path.with_name("metrics.jsonl.partial")
        partial.write_text("".join(line + "\n" for line in kept))
        partial.replace(path)
        self._file = path.open("a")
        (workdir / "tensorboard").mkdir(exist_ok=True)
        # Not SummaryWriter, whose thread keeps events back for minutes and dies of a full disk with a traceback.
        self._events = EventsWriter(str(workdir / "tensorboard" / "events"))
        restart = Event(wall_time=time.time(), step=step + 1, session_log=SessionLog(status=SessionLog.START))
        self._events.write_event(restart)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line and one event for each metric, on disk when this returns."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        self._file.write(json.dumps({"step": step} | dict(metrics)) + "\n")
        self._file.flush()
        for name, value in metrics.items():
            self._events.write_event(Event(wall_time=time.time(), step=step, summary=scalar(name, value)))
        self._events.flush()

    def close(self) -> None:
        """Closes both files."""
        with contextlib.suppress(OSError):  # what a full disk did not take was told when it was written
            self._file.close()
        with contextlib.suppress(OSError):
            self._events.close()


def _lines(path: pathlib.Path) -> list[str]:
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    try:
        json.loads(lines[-1] if lines else "{}")
    except json.JSONDecodeError:
        lines.pop()
    return lines
