"""`folder:PATH`: image files, in one folder a class or all in one."""

import functools
import os
from collections.abc import Iterator

import numpy as np

from unsupjax.data.images import decode_image, header
from unsupjax.data.splits import LazySplit, Options, Parts
from unsupjax.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TEST_FOLDERS = ("test", "val", "validation")

Files = list[tuple[str, str | None]]  # (path, class name)


def open_folder(source: str, path: str, options: Options) -> Parts:
    """PATH/CLASS/*.png, or PATH/*.png without labels, or either below PATH/train and PATH/test (or val)."""
    if not os.path.isdir(path):
        raise UserError(f"{source}: there is no folder {path}")
    has_splits = os.path.isdir(os.path.join(path, "train"))
    train = _scan(source, os.path.join(path, "train") if has_splits else path)
    test = _scan_test(source, path, train) if has_splits else None
    both = train + (test or [])
    names = None if train[0][1] is None else tuple(sorted({label for _, label in train}))
    _check_classes(source, names, test)
    channels = _check_images(source, [file for file, _ in both], options.image_size)
    make = functools.partial(_split, names=names, channels=channels, size=options.image_size)
    return Parts(make(train), test and make(test), names)


def _split(files: Files, names, channels: int, size: int) -> LazySplit:
    numbers = {name: i for i, name in enumerate(names or ())}
    records = [(file, numbers.get(label)) for file, label in files]
    decode = functools.partial(_decode, channels=channels, size=size)
    return LazySplit(records, decode, _label if names else None, np.arange(len(records)))


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
    loose = [(entry.path, None) for entry in entries if _is_image(entry)]
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
        elif _is_image(entry):
            yield entry.path


def _entries(source: str, folder: str, root: str) -> Iterator[os.DirEntry]:
    """What a folder holds, sorted, less hidden files; refuses symbolic links to folders and out of `root`."""
    with os.scandir(folder) as found:
        entries = sorted((e for e in found if not e.name.startswith(".")), key=lambda e: e.name)
    for entry in entries:
        inside = not entry.is_symlink() or os.path.realpath(entry.path).startswith(root + os.sep)
        if not inside or (entry.is_symlink() and entry.is_dir()):
            raise UserError(f"{source}: {entry.path} is a symbolic link to a folder or out of this one")
        yield entry


def _is_image(entry: os.DirEntry) -> bool:
    return entry.is_file() and entry.name.lower().endswith(SUFFIXES)


def _check_classes(source: str, names, test: Files | None) -> None:
    for path, label in test or []:
        if label is not None and label not in names:
            raise UserError(f"{source}: the class {label!r} of {path} is not among the classes of train")


def _check_images(source: str, paths: list[str], size: int) -> int:
    """The number of channels: 1 if all images are greyscale, else 3; without `size`, sizes must agree."""
    if size:
        return 1 if all(header(path)[1] for path in paths) else 3
    first, grey = header(paths[0])
    for path in paths[1:]:
        shape, this_grey = header(path)
        grey = grey and this_grey
        if shape != first:
            raise UserError(
                f"{source}: {paths[0]} is {first[0]}x{first[1]} and {path} is {shape[0]}x{shape[1]} pixels; "
                f"set config.data.image_size to resize all"
            )
    return 1 if grey else 3
