"""Where TensorFlow Datasets keeps a data set, and how to get it there."""

import difflib
import fnmatch
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path

from unsupjax.errors import UserError, nearest

DOWNLOAD_HOST = "https://storage.googleapis.com"  # of TFDS's own metadata
PROBE_SECONDS = 4.0


def find_or_prepare(source: str, name: str, data_dir: str) -> Path:
    """The directory of a prepared data set; one that is not prepared is downloaded if there is a network.

    Args:
        source: the source string, for errors.
        name: `NAME[/CONFIG][:VERSION]`, the latest VERSION that fits: exact, or as `3.*.*`.
        data_dir: searched; "" means the environment variable TFDS_DATA_DIR, else ~/tensorflow_datasets.

    Raises:
        UserError: unknown, ambiguous, or neither prepared nor downloadable.
    """
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    prepared = prepared_sets(root)
    wanted, _, version = name.partition(":")
    versions = {full: path for full, path in prepared.items() if _fits(full, wanted, version)}
    if len({full.partition(":")[0] for full in versions}) > 1:
        raise UserError(f"{source} has several configs in {root}; name one: {', '.join(sorted(versions))}")
    if versions:
        return max(versions.values(), key=lambda path: [int(part) for part in path.name.split(".")])
    return _prepare(source, name, root, prepared)


def prepared_sets(root: Path) -> dict[str, Path]:
    """The prepared data sets below `root`: `NAME[/CONFIG]:VERSION` to directory."""
    found = [*root.glob("*/*/features.json"), *root.glob("*/*/*/features.json")]
    paths = [file.parent for file in found if file.parent.name.replace(".", "").isdigit()]
    return {f"{path.parent.relative_to(root).as_posix()}:{path.name}": path for path in sorted(paths)}


def _fits(full: str, wanted: str, version: str) -> bool:
    name, _, its_version = full.partition(":")
    return wanted in (name, name.partition("/")[0]) and fnmatch.fnmatch(its_version, version or "*")


def _prepare(source: str, name: str, root: Path, prepared: dict[str, Path]) -> Path:
    import tensorflow_datasets as tfds

    known = tfds.list_builders(with_community_datasets=False)
    base = name.partition(":")[0].partition("/")[0]
    if base not in known:
        like = difflib.get_close_matches(base, known, n=3)
        hint = nearest(name, [*prepared, *like]) if prepared or like else "no data set is prepared there"
        raise UserError(f"{source}: {base!r} is neither prepared in {root} nor a data set of TFDS; {hint}")
    how = (
        f"run `tfds build {name} --data_dir {root}` on a machine that has a network and TensorFlow, copy the "
        f"directory here if need be, and name it in TFDS_DATA_DIR or config.data.data_dir"
    )
    if not online():
        have = ", ".join(prepared) or "nothing"
        raise UserError(f"{source} is not prepared in {root} (found: {have}) and there is no network; {how}")
    try:
        builder = tfds.builder(name, data_dir=root)
        builder.download_and_prepare(file_format="array_record")
    except Exception as error:  # whatever a data set's own download code raises
        raise UserError(f"{source} could not be prepared in {root} ({error}); {how}") from error
    return Path(builder.data_dir)


def online() -> bool:
    """Whether the download host answers within seconds, even where looking up its name would hang."""
    answers = []

    def probe():
        try:
            urllib.request.urlopen(DOWNLOAD_HOST, timeout=PROBE_SECONDS).close()
            answers.append(True)
        except urllib.error.HTTPError:  # a refusal is an answer
            answers.append(True)
        except OSError:
            pass

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return bool(answers)
