"""Pictures in any container, each encoded as a file of its own: what a folder, an archive and a table of them share."""

import functools
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import numpy as np

from unsupjax.data.pictures import Header, UnreadableImage, decode_image, header
from unsupjax.data.skipped import Skipped
from unsupjax.data.splits import LazySplit, Parts
from unsupjax.errors import UserError

TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testing", "val", "valid", "validation", "dev", "eval")  # the first that fits is taken

Read = Callable[[Any], tuple[str, str | os.PathLike | BinaryIO]]

logger = logging.getLogger(__name__)


def parts(
    source: str,
    splits: Sequence[tuple[Sequence[Any], np.ndarray | None] | None],
    read: Read,
    label_names: tuple[str, ...] | None,
    *,
    image_size: int,
    unreadable: float,
    alpha: str,
    key: Callable[[Any], bytes] | None = None,
    grey: bool = False,
    any_size: bool = False,
) -> Parts:
    """The training and the test split of encoded pictures, whose headers are all looked at first.

    Args:
        source: names them in errors.
        splits: of train, and of test or None, records and their labels (int32 `[N]`, indices into `label_names`).
        read: `record -> (name, file)`, a path or an open file.
        label_names: of the classes, or None.
        image_size, unreadable, alpha: as `unsupjax.data.open_source` has them.
        key: tells a record from others, for `LazySplit`.
        grey: colours are left out.
        any_size: sizes may differ; what is made of these pictures has one.

    Raises:
        UserError: too many are unreadable, one is deep, sizes differ.
    """
    found, headers = [], []
    for records, labels in filter(None, splits):
        skipped = Skipped(source, len(records), unreadable)
        seen = {i: h for i, record in enumerate(records) if (h := _header(read, record, skipped)) is not None}
        headers += [(read(records[i])[0], h) for i, h in seen.items()]
        rows = np.fromiter(seen, np.int64, len(seen))
        found.append(([records[i] for i in seen], None if labels is None else labels[rows], skipped))
    channels = _channels(source, headers, image_size or any_size, alpha)
    channels = 1 if grey else channels
    width, height = headers[0][1].size
    shape = (image_size, image_size, channels) if image_size else (height, width, channels)
    made = [
        LazySplit(
            list(zip(records, [None] * len(records) if labels is None else labels.tolist(), strict=True)),
            functools.partial(_decode, read, channels, image_size, alpha),
            None if labels is None else _label,
            skipped,
            np.arange(len(records)),
            key and functools.partial(_key, key),
        )
        for records, labels, skipped in found
    ]
    return Parts(made[0], made[1] if len(made) > 1 else None, label_names, shape=shape)


def _header(read: Read, record: Any, skipped: Skipped) -> Header | None:
    where, file = read(record)
    try:
        return header(where, file)
    except UnreadableImage as error:
        skipped.add(where, error)
        return None


def _decode(read: Read, channels: int, size: int, alpha: str, record) -> tuple[np.ndarray, Any]:
    what, label = record
    where, file = read(what)
    return decode_image(where, file, channels, size, alpha), label


def _label(record) -> int:
    return record[1]


def _key(key: Callable, record) -> bytes:
    return key(record[0])


def _channels(source: str, headers: list[tuple[str, Header]], size: int | bool, alpha: str) -> int:
    """The number of channels: 1 if all images are greyscale, else 3, and 4 with alpha; says what is lost.

    Without `size`, sizes must agree.
    """
    if not headers:
        raise UserError(f"{source} holds no readable image")
    first, (shape, *_) = headers[0]
    for name, (other, *_) in headers:
        if not size and other != shape:
            raise UserError(
                f"{source}: {first} is {shape[0]}x{shape[1]} and {name} is {other[0]}x{other[1]} pixels; "
                f"set config.data.image_size to resize all"
            )
    transparent = sum(h.transparent for _, h in headers)
    if transparent and alpha == "keep":
        return 4
    if transparent:
        logger.warning(
            "%s: %d of %d images are transparent: put on %s; config.data.alpha changes that",
            source, transparent, len(headers), alpha,
        )  # fmt: skip
    if several := sum(h.frames > 1 for _, h in headers):
        logger.warning(
            "%s: %d of %d files hold several pictures: the first of each is read",
            source,
            several,
            len(headers),
        )
    return 1 if all(h.grey for _, h in headers) else 3


def split_by_name(source: str, names: Sequence[str]) -> dict[str, list[str]]:
    """Files by the split that they are of: `{"train": [...], "test": [...]}`, or all in the first.

    A file is of the split that a folder around it is named after, or with which its own name begins ("train-00001").
    Of several held-out splits the first of `TEST_NAMES` is taken, and what is left is said.

    Raises:
        UserError: some files are of splits and others are of none, or there are test files alone.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        *folders, file = name.lower().split("/")
        words = [*folders, file.replace("_", "-").replace(".", "-").split("-")[0]]
        split = next((w for w in words if w in TRAIN_NAMES or w in TEST_NAMES), "")
        found.setdefault("train" if split in TRAIN_NAMES else split, []).append(name)
    if set(found) == {""}:
        return {"train": found[""], "test": []}
    if "" in found or "train" not in found:
        odd = f"{found['']!r} of none"[:200] if "" in found else "none for training"
        raise UserError(
            f"{source} holds files of the splits {sorted(set(found) - {''})}, and {odd}; name them alike"
        )
    tests = sorted(set(found) - {"train"}, key=TEST_NAMES.index)
    for name in tests[1:]:
        logger.warning("%s: not read: %d files of the split %s", source, len(found[name]), name)
    return {"train": found["train"], "test": found[tests[0]] if tests else []}
