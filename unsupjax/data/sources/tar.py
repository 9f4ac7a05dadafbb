"""`tar:PATH`: shards of pictures as webdataset writes them, with or without labels."""

import glob
import io
import json
import os
import re
import tarfile
from typing import NamedTuple

import numpy as np

from unsupjax.data.checks import encode_labels
from unsupjax.data.sources import encoded
from unsupjax.data.sources.folder import SUFFIXES
from unsupjax.data.splits import Parts
from unsupjax.errors import UserError

LABEL_KEYS = ("label", "cls", "class", "class_name")  # of a .json beside a picture
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_LABEL = 2**16  # bytes of a label


class Record(NamedTuple):
    """A picture in an archive: bytes `start` to `start + size` of the file `path`."""

    path: str
    start: int
    size: int
    name: str


def open_tar(source: str, path: str, *, image_size: int, unreadable: float, alpha: str) -> Parts:
    """An archive, a folder of them, or `shards-{000..012}.tar`, `shards-*.tar`; file names tell the splits.

    Members of one name up to the first dot are an example: a picture, and its class in `.cls` or in `.json`.
    """
    base, names = _shards(source, path)
    splits = encoded.split_by_name(source, names)
    found = [members(source, [os.path.join(base, n) for n in names]) for names in splits.values() if names]
    has = [[label is not None for _, label in examples] for examples in found]
    for examples, labelled in zip(found, has, strict=True):
        if any(labelled) and not all(labelled):
            record, _ = examples[labelled.index(False)]
            raise UserError(f"{source}: {record.name} in {record.path} has no label, and others have one")
    label_names, ys = None, [None] * len(found)
    if all(labelled[0] for labelled in has):
        label_names, ys = encode_labels(f"{source}, labels", *(np.array([y for _, y in e]) for e in found))
    records = [([record for record, _ in e], y) for e, y in zip(found, ys, strict=True)]
    options = {"image_size": image_size, "unreadable": unreadable, "alpha": alpha}
    return encoded.parts(source, records, read, label_names, key=_key, **options)


def records(source: str, path: str) -> list[Record]:
    """All pictures, whatever split they are of, in order."""
    base, names = _shards(source, path)
    return [record for record, _ in members(source, [os.path.join(base, name) for name in names])]


def _shards(source: str, path: str) -> tuple[str, list[str]]:
    """A folder, and the archives in it."""
    braces = _BRACES.search(path)
    if braces:
        first, last = braces.groups()
        filled = [f"{i:0{len(first)}d}" for i in range(int(first), int(last) + 1)]
        paths = [path[: braces.start()] + number + path[braces.end() :] for number in filled]
    elif os.path.isdir(path):
        paths = sorted(glob.glob(os.path.join(glob.escape(path), "**", "*.tar"), recursive=True))
    else:
        paths = sorted(glob.glob(path)) or [path]
    missing = [p for p in paths if not os.path.isfile(p)]
    if missing or not paths:
        raise UserError(
            f"{source}: there is no file {missing[0]}" if missing else f"{source}: no .tar files in {path}"
        )
    base = path if os.path.isdir(path) else os.path.dirname(paths[0])
    return base, [os.path.relpath(p, base or ".").replace(os.sep, "/") for p in paths]


def members(source: str, paths: list[str]) -> list[tuple[Record, int | str | None]]:
    """The pictures of archives and their labels, in order; only headers are read, and labels."""
    found, unread = [], 0
    for path in paths:
        pictures, labels = {}, {}
        try:
            with tarfile.open(path, "r:") as archive:
                for member in archive:
                    if not member.isfile():
                        continue
                    folder, _, file = member.name.rpartition("/")
                    stem, _, suffix = file.partition(".")
                    key, suffix = f"{folder}/{stem}", "." + suffix.lower()
                    if suffix.endswith(SUFFIXES):
                        if key in pictures:
                            raise UserError(
                                f"{source}: {path} holds two pictures named {key.lstrip('/')}; rename one"
                            )
                        pictures[key] = Record(path, member.offset_data, member.size, member.name)
                    elif suffix in (".cls", ".json") and member.size <= _MOST_LABEL:
                        label = _label(source, path, member.name, suffix, archive.extractfile(member).read())
                        labels[key] = label if label is not None else labels.get(key)
                    else:
                        unread += 1
        except tarfile.TarError as error:
            raise UserError(
                f"{source}: {path} is damaged, or compressed ({error}); unpack or mend it"
            ) from error
        found += [(record, labels.get(key)) for key, record in pictures.items()]
    if not found:
        raise UserError(f"{source}: there are no pictures ({' '.join(SUFFIXES)}) in {paths[0]}")
    if unread:
        encoded.logger.warning(
            "%s: not read: %d members that are neither pictures nor labels", source, unread
        )
    return found


def _label(source: str, path: str, name: str, suffix: str, content: bytes) -> int | str | None:
    try:
        text = content.decode().strip()
        if suffix == ".cls":
            return int(text) if re.fullmatch(r"-?\d+", text) else text
        fields = json.loads(text)
        found = (
            next((fields[key] for key in LABEL_KEYS if key in fields), None)
            if isinstance(fields, dict)
            else fields
        )
        return found if isinstance(found, int | str) else None
    except (UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{source}: {name} in {path} is no label ({error}); mend or remove it") from error


def read(record: Record) -> tuple[str, io.BytesIO]:
    with open(record.path, "rb") as file:
        file.seek(record.start)
        return f"{record.name} in {record.path}", io.BytesIO(file.read(record.size))


def _key(record: Record) -> bytes:
    return f"{record.name} {record.size}".encode(errors="surrogateescape")
