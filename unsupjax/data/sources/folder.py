"""`folder:PATH`: image files, in one folder a class or all in one."""

import functools
import os
from collections.abc import Iterator

import numpy as np

from unsupjax.data.pictures import UnreadableImage, decode_image, header
from unsupjax.data.skipped import Skipped
from unsupjax.data.splits import LazySplit, Parts
from unsupjax.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TEST_FOLDERS = ("test", "val", "validation")
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")

Files = list[tuple[str, str | None]]  # (path, class name)
Headers = dict[str, tuple[tuple[int, int], bool]]  # path: what images.header returns


def open_folder(source: str, path: str, *, image_size: int, unreadable: float) -> Parts:
    """PATH/CLASS/*.png, or PATH/*.png without labels, or either below PATH/train and PATH/test (or val)."""
    if os.path.isfile(path) and path.lower().endswith(ARCHIVES):
        raise UserError(f"{source}: {path} is an archive; unpack it, and name the folder that it holds")
    if not os.path.isdir(path):
        raise UserError(f"{source}: there is no folder {path}")
    has_splits = os.path.isdir(os.path.join(path, "train"))
    train = _scan(source, os.path.join(path, "train") if has_splits else path)
    test = _scan_test(source, path, train) if has_splits else None
    names = None if train[0][1] is None else tuple(sorted({label for _, label in train}))
    _check_classes(source, names, test)
    skips = [Skipped(source, len(files), unreadable) for files in (train, test or [])]
    headers = _headers(train, skips[0]) | _headers(test or [], skips[1])
    channels = _check_images(source, headers, image_size)
    make = functools.partial(_split, names, channels, image_size, headers)
    shape = _shape(headers, channels, image_size)
    return Parts(make(train, skips[0]), test and make(test, skips[1]), names, shape=shape)


def _shape(headers: Headers, channels: int, size: int) -> tuple[int, int, int]:
    """(H, W, C) of a decoded image."""
    (width, height), _ = next(iter(headers.values()))
    return (size, size, channels) if size else (height, width, channels)


def _headers(files: Files, skipped: Skipped) -> Headers:
    """The headers of those files that have a readable one."""
    headers = {}
    for path, _ in files:
        try:
            headers[path] = header(path)
        except UnreadableImage as error:
            skipped.add(path, error)
    return headers


def _split(names, channels: int, size: int, headers: Headers, files: Files, skipped: Skipped) -> LazySplit:
    numbers = {name: i for i, name in enumerate(names or ())}
    records = [(path, numbers.get(label)) for path, label in files if path in headers]
    decode = functools.partial(_decode, channels=channels, size=size)
    return LazySplit(records, decode, _label if names else None, skipped, np.arange(len(records)))


def _decode(record, channels: int, size: int):
    path, label = record
    return decode_image(path, path, channels, size), label


def _label(record) -> int:
    return record[1]


def _scan_test(source: str, path: str, train: Files) -> Files | None:
    """The first test folder that has labels if train has them: public test sets often have none."""
    folders = [os.path.join(path, name) for name in TEST_FOLDERS]
    scans = [_scan(source, folder) for folder in folders if os.path.isdir(folder)]
    fitting = [files for files in scans if (files[0][1] is None) == (train[0][1] is None)]
    if scans and not fitting:
        raise UserError(f"{source}: only one of the train and the test folder has class folders")
    return fitting[0] if fitting else None


def _scan(source: str, folder: str) -> Files:
    """The images of one split, sorted by class and name."""
    root = os.path.realpath(folder)
    entries = list(_entries(source, folder, root))
    classes = [entry for entry in entries if entry.is_dir()]
    loose = [(entry.path, None) for entry in entries if _is_image(source, entry)]
    if classes and loose:
        raise UserError(f"{source}: {folder} holds images beside folders; move {loose[0][0]} into one")
    files = [(path, entry.name) for entry in classes for path in _images(source, entry.path, root)] or loose
    if not files:
        raise UserError(f"{source}: there are no images ({' '.join(SUFFIXES)}) in {folder}")
    return files


def _images(source: str, folder: str, root: str) -> Iterator[str]:
    for entry in _entries(source, folder, root):
        if entry.is_dir():
            yield from _images(source, entry.path, root)
        elif _is_image(source, entry):
            yield entry.path


def _entries(source: str, folder: str, root: str) -> Iterator[os.DirEntry]:
    """What a folder holds, sorted, less hidden files; refuses symbolic links but to files in `root`."""
    try:
        with os.scandir(folder) as found:
            entries = sorted((e for e in found if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        raise UserError(f"{source}: cannot list {folder} ({error.strerror})") from error
    for entry in entries:
        if entry.is_symlink():
            inside = os.path.realpath(entry.path).startswith(root + os.sep)
            if not (inside and os.path.isfile(entry.path)):  # entry.is_file() fails at links in a circle
                raise UserError(f"{source}: {entry.path} is a symbolic link, and not to a file in {root}")
        yield entry


def _is_image(source: str, entry: os.DirEntry) -> bool:
    """Whether it is named as an image; refuses pipes and devices of such a name, which could be read forever."""
    is_named = entry.name.lower().endswith(SUFFIXES) and not entry.is_dir()
    if is_named and not entry.is_file():
        raise UserError(f"{source}: {entry.path} is a pipe or a device, not a file; remove it")
    return is_named


def _check_classes(source: str, names, test: Files | None) -> None:
    for path, label in test or []:
        if label is not None and label not in names:
            raise UserError(f"{source}: the class {label!r} of {path} is not among the classes of train")


def _check_images(source: str, headers: Headers, size: int) -> int:
    """The number of channels: 1 if all images are greyscale, else 3; without `size`, sizes must agree."""
    first, (width, height) = next((path, shape) for path, (shape, _) in headers.items())
    for path, (shape, _) in headers.items():
        if not size and shape != (width, height):
            raise UserError(
                f"{source}: {first} is {width}x{height} and {path} is {shape[0]}x{shape[1]} pixels; "
                f"set config.data.image_size to resize all"
            )
    return 1 if all(grey for _, grey in headers.values()) else 3
