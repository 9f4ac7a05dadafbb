"""Random access to TFRecord files without TensorFlow."""

import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from unsupjax.errors import UserError

HEAD = 12  # bytes before a record's data: its length (little-endian uint64) and the length's checksum
TAIL = 4  # bytes after it: the data's checksum


class TFRecordFiles(Sequence):
    """The records of some TFRecord files, in order: `records[i] -> bytes`.

    Each file's frame lengths are walked once, at construction; its data is read when asked for. Checksums are
    not verified. Picklable, and safe to read from many threads: a read opens its file anew.

    Raises:
        UserError: a frame ends beyond the end of its file.
    """

    def __init__(self, paths: Sequence[str]):
        self.paths = list(paths)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            frames = list(pool.map(frame_index, self.paths))
        self.file = np.repeat(np.arange(len(frames)), [len(f) for f in frames])
        self.frames = np.concatenate(frames)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, i: int) -> bytes:
        start, size = self.frames[i]
        with open(self.paths[self.file[i]], "rb") as file:
            file.seek(start)
            return file.read(size)


def frame_index(path: str) -> np.ndarray:
    """Where the data of each record of a TFRecord file starts and how long it is, int64 `[N, 2]`."""
    frames, position = [], 0
    with open(path, "rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        while position < end:
            file.seek(position)
            head = file.read(HEAD)
            size = struct.unpack_from("<Q", head)[0] if len(head) == HEAD else end
            if position + HEAD + size + TAIL > end:
                raise UserError(
                    f"{path} is damaged: record {len(frames)}, at byte {position}, ends beyond the end of "
                    f"the file ({end} bytes); copy or prepare it again"
                )
            frames.append((position + HEAD, size))
            position += HEAD + size + TAIL
    return np.array(frames, np.int64).reshape(-1, 2)
