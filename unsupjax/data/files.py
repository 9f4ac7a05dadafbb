"""Files, here or in a cloud."""

import gzip
import os
from typing import BinaryIO


def is_remote(path: str) -> bool:
    """Whether a path has a scheme, such as gs:// or s3://."""
    return "://" in path


def opened(path: str | os.PathLike) -> BinaryIO:
    """A file, open for reading bytes: a local path, unpacked where it is .gz, or one that `etils.epath` or fsspec can
    open.

    Raises:
        OSError: it cannot be opened, or what its scheme needs is not installed.
    """
    path = os.fspath(path)
    if not is_remote(path):
        return gzip.open(path) if path.endswith(".gz") else open(path, "rb")
    try:
        if path.startswith("gs://"):
            from etils import epath

            return epath.Path(path).open("rb")
        import fsspec

        return fsspec.open(path, "rb").open()
    except (ImportError, ValueError) as error:  # a scheme that is not known, or whose package is missing
        raise OSError(f"{path.partition('://')[0]}:// needs more than is installed: {error}") from error
