"""`folder:PATH`: image files, in one folder a class or all in one."""

import collections
import functools
import logging
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from unsupjax.data.files import is_remote
from unsupjax.data.sources import encoded
from unsupjax.data.sources.encoded import TEST_NAMES, TRAIN_NAMES
from unsupjax.data.splits import Parts
from unsupjax.errors import UserError

SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jfif",
    ".bmp",
    ".gif",
    ".webp",
    ".avif",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
)
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
NOT_DATA = ("__MACOSX",)  # what archives of a Mac hold beside the files

Files = list[tuple[str, str | None]]  # (path, class name)

logger = logging.getLogger(__name__)


class Layout(NamedTuple):
    """Where the pictures of a folder lie.

    Attributes:
        base: the folders that wrap all of it.
        train: the folder of the training split below, or "".
        tests: those of held-out splits, best first.
    """

    base: tuple[str, ...]
    train: str = ""
    tests: tuple[str, ...] = ()


def layout(paths: Sequence[tuple[str, ...]]) -> Layout:
    """How pictures are laid out: `[train|test/][CLASS/]...NAME`, perhaps with folders around all of it.

    A folder counts as a split by its name, in capitals or not, where all others beside it are splits too: beside
    "bus" and "car", "train" is a class.

    Args:
        paths: of each picture the folders that lead to it and its name.

    Raises:
        ValueError: test splits without one for training, or classes beside splits.
    """
    base = ()
    while len({p[0] for p in paths}) == 1 and all(len(p) > 2 for p in paths):
        base, paths = (*base, paths[0][0]), [p[1:] for p in paths]
    folders = sorted({p[0] for p in paths if len(p) > 1})
    trains = [name for name in folders if name.lower() in TRAIN_NAMES]
    tests = sorted((n for n in folders if n.lower() in TEST_NAMES), key=lambda n: TEST_NAMES.index(n.lower()))
    others = [name for name in folders if name not in trains and name not in tests]
    if not trains and len(tests) > 1 and not others:
        raise ValueError(f"holds {' and '.join(tests)} and no train folder; name one of them train")
    if not trains or (others and not tests):
        return Layout(base)
    if others or len(trains) > 1:
        beside = ", ".join(map(repr, others[:3] or trains[1:]))
        raise ValueError(
            f"holds {beside} beside {trains[0]} and {', '.join(tests)}; move the one into the other"
        )
    return Layout(base, trains[0], tuple(tests))


def open_folder(
    source: str, path: str, *, image_size: int, unreadable: float, alpha: str, tile: int, grey: bool
) -> Parts:
    """PATH/CLASS/*.png, or PATH/*.png without labels, or either below PATH/train and PATH/test (or val)."""
    if os.path.isfile(path) and path.lower().endswith(ARCHIVES):
        raise UserError(f"{source}: {path} is an archive; unpack it, and name the folder that it holds")
    if is_remote(path):
        raise UserError(
            f"{source}: folder: reads local folders; copy it here, or store it as tar: or parquet:"
        )
    if not os.path.isdir(path):
        raise UserError(f"{source}: there is no folder {path}")
    train, test = _scan(source, path)
    names = None if train[0][1] is None else tuple(sorted({label for _, label in train}))
    _check_classes(source, names, test)
    numbers = {name: i for i, name in enumerate(names or ())}
    splits = [files and _with_labels(files, numbers) for files in (train, test)]
    options = {"image_size": image_size, "unreadable": unreadable, "alpha": alpha, "grey": grey}
    options["any_size"] = bool(tile)
    return encoded.parts(source, splits, read, names, key=functools.partial(_key, root=path), **options)


def images(source: str, path: str) -> list[str]:
    """All pictures below a folder, in order; says what is not read.

    Raises:
        UserError: there is no such folder, or no picture in it.
    """
    if not os.path.isdir(path):
        raise UserError(f"{source}: there is no folder {path}")
    unread = collections.Counter()
    found = list(_images(source, path, os.path.realpath(path), unread))
    if not found:
        raise UserError(f"{source}: there are no images ({' '.join(SUFFIXES)}) in {path}{_listed(unread)}")
    if unread:
        logger.warning("%s: not read%s", source, _listed(unread))
    return found


def _with_labels(files: Files, numbers: dict[str, int]) -> tuple[list[str], np.ndarray | None]:
    labels = np.array([numbers[label] for _, label in files], np.int32) if numbers else None
    return [path for path, _ in files], labels


def read(path: str) -> tuple[str, str]:
    return path, path


def _key(path: str, root: str) -> bytes:
    return f"{os.path.relpath(path, root)} {os.path.getsize(path)}".encode(errors="surrogateescape")


def _scan(source: str, path: str) -> tuple[Files, Files | None]:
    """The images of both splits, sorted by class and name; says what is not read."""
    unread = collections.Counter()
    found = list(_images(source, path, os.path.realpath(path), unread))
    paths = [tuple(os.path.relpath(p, path).split(os.sep)) for p in found]
    if not paths:
        raise UserError(f"{source}: there are no images ({' '.join(SUFFIXES)}) in {path}{_listed(unread)}")
    try:
        base, train, tests = layout(paths)
    except ValueError as error:
        raise UserError(f"{source}: the folder {error}") from None
    below = lambda *folders: _classes(source, os.path.join(path, *folders), found, paths, folders)
    train_files = below(*base, train) if train else below(*base)
    if base:
        logger.warning("%s: read from %s, which holds all pictures", source, os.path.join(path, *base))
    test_files, taken = _choose_test(source, train_files, {name: below(*base, name) for name in tests})
    for name in tests:
        if name != taken:
            unread[f"pictures in {name}"] = sum(p[: len(base) + 1] == (*base, name) for p in paths)
    if unread:
        logger.warning("%s: not read%s", source, _listed(unread))
    return train_files, test_files


def _listed(unread: collections.Counter) -> str:
    return ": " + ", ".join(f"{n} {what}" for what, n in unread.most_common(8)) if unread else ""


def _classes(source: str, folder: str, found: list[str], paths: list[tuple[str, ...]], lead: tuple) -> Files:
    """The files below the folders `lead`, each with its class: the folder below; None where there are none."""
    lead = tuple(name for name in lead if name)
    own = [(f, p[len(lead) :]) for f, p in zip(found, paths, strict=True) if p[: len(lead)] == lead]
    loose = next((f for f, p in own if len(p) == 1), None)
    if loose and any(len(p) > 1 for _, p in own):
        raise UserError(f"{source}: {folder} holds images beside folders; move {loose} into one")
    return [(f, p[0] if len(p) > 1 else None) for f, p in own]


def _choose_test(source: str, train: Files, tests: dict[str, Files]) -> tuple[Files | None, str]:
    """The first test folder that has labels if train has them: public test sets often have none."""
    fitting = [(f, name) for name, f in tests.items() if f and (f[0][1] is None) == (train[0][1] is None)]
    if tests and not fitting:
        raise UserError(f"{source}: only one of the train and the test folder has class folders")
    return fitting[0] if fitting else (None, "")


def _images(source: str, folder: str, root: str, unread: collections.Counter) -> Iterator[str]:
    """The images below a folder, sorted; counts other files by suffix."""
    for entry in _entries(source, folder, root):
        if entry.is_dir():
            if entry.name not in NOT_DATA:
                found = list(_images(source, entry.path, root, unread))
                if not found:
                    unread["folders without images"] += 1
                yield from found
        elif _is_image(source, entry):
            yield entry.path
        else:
            unread[os.path.splitext(entry.name)[1].lower() or "files without a suffix"] += 1


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
