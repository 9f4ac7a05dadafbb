"""Tiny data sets in the two formats of TensorFlow Datasets, written without TensorFlow."""

import io
import json
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, format="png")
    return buffer.getvalue()


def write_tfds(data_dir, name, features, splits, supervised_keys=("image", "label")):
    """Prepares `splits` ({split: list of examples}) as an array_record directory, and returns its path."""
    import tensorflow_datasets as tfds

    def info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=supervised_keys
        )

    members = {
        "__module__": __name__,
        "VERSION": tfds.core.Version("1.2.0"),
        "_info": info,
        "_split_generators": lambda self, _: {split: enumerate(rows) for split, rows in splits.items()},
        "_generate_examples": lambda self: None,
    }
    bases = (tfds.core.GeneratorBasedBuilder,)
    builder = type(name.capitalize(), bases, members, skip_registration=True)
    builder.name = name
    builder = builder(data_dir=data_dir, file_format="array_record")
    builder.download_and_prepare()
    return data_dir / name / "1.2.0"


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def frame(data: bytes) -> bytes:
    """One record of a TFRecord file."""

    def masked(part):
        crc = crc32c(part)
        return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def to_tfrecord(directory, target, shards=2):
    """Copies a prepared array_record directory to `target` as TFRecord files of several shards."""
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    target.mkdir(parents=True)
    for file in [directory / "features.json", *directory.glob("*.labels.txt")]:
        (target / file.name).write_bytes(file.read_bytes())
    info = json.loads((directory / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    for split in info["splits"]:
        source = directory / f"{info['name']}-{split['name']}.array_record-00000-of-00001"
        source = ArrayRecordDataSource([str(source)])
        blocks = np.array_split(np.arange(len(source)), shards)
        split["shardLengths"] = [str(len(block)) for block in blocks]
        for i, block in enumerate(blocks):
            path = target / f"{info['name']}-{split['name']}.tfrecord-{i:05d}-of-{shards:05d}"
            path.write_bytes(b"".join(frame(source[j]) for j in block))
    (target / "dataset_info.json").write_text(json.dumps(info))
    return target


@pytest.fixture(scope="session")
def tfds_files():
    """The functions above, for tests."""
    return SimpleNamespace(png=png, crc32c=crc32c, frame=frame, write=write_tfds, to_tfrecord=to_tfrecord)


@pytest.fixture(scope="session")
def images():
    """24 greyscale images of 5x7 pixels."""
    return np.random.default_rng(0).integers(0, 256, (24, 5, 7, 1), np.uint8)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory, images):
    """Two data directories that hold the data set `tiny`: {"array_record": path, "tfrecord": path}."""
    import tensorflow_datasets as tfds

    features = {
        "note": tfds.features.Text(),
        "image": tfds.features.Image(shape=(5, 7, 1)),
        "label": tfds.features.ClassLabel(names=["ant", "bee", "cat"]),
    }
    rows = [{"note": "n", "image": png(image), "label": i % 3} for i, image in enumerate(images)]
    root = tmp_path_factory.mktemp("tfds")
    made = write_tfds(root / "array_record", "tiny", features, {"train": rows[:16], "test": rows[16:]})
    to_tfrecord(made, root / "tfrecord" / "tiny" / "1.2.0")
    return {"array_record": root / "array_record", "tfrecord": root / "tfrecord"}
