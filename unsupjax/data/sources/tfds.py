"""`tfds:NAME[/CONFIG][:VERSION]`: data sets that TensorFlow Datasets prepared, read without TensorFlow."""

import functools
import io
import os
from collections.abc import Callable, Sequence

import numpy as np

from unsupjax.data.checks import clean_inputs
from unsupjax.data.pictures import MODES, decode_image
from unsupjax.data.skipped import Skipped
from unsupjax.data.sources.tfds_dirs import find_or_prepare
from unsupjax.data.sources.tfrecord import TFRecordFiles
from unsupjax.data.splits import ArraySplit, LazySplit, Parts
from unsupjax.errors import UserError

TEST_SPLITS = ("test", "validation")


def open_tfds(source: str, path: str, *, image_size: int, data_dir: str, unreadable: float) -> Parts:
    """The train split, and the first of test and validation that has labels (if train has them)."""
    import tensorflow_datasets as tfds

    info = tfds.builder_from_directory(find_or_prepare(source, path, data_dir)).info
    if "train" not in info.splits:
        raise UserError(f"{source} has no train split, but {', '.join(info.splits)}")
    x_key, y_key = _keys(source, info)
    decode, label, shape = _decoders(source, info.features, x_key, y_key, image_size)
    open_split = functools.partial(_split, source, decode=decode, label=label, unreadable=unreadable)
    train = open_split(info.splits["train"])
    tests = (open_split(info.splits[name]) for name in TEST_SPLITS if name in info.splits)
    test = next((split for split in tests if y_key is None or label(split.records[0]) >= 0), None)
    names = None if y_key is None else tuple(info.features[y_key].names)
    if isinstance(info.features[x_key], tfds.features.Image):
        return Parts(train, test, names, shape=shape)
    if image_size:
        raise UserError(f"config.data.image_size={image_size} is for images; {source} holds numbers")
    return Parts(_in_memory(source, train), test and _in_memory(source, test), names)


def _in_memory(source: str, split: LazySplit) -> ArraySplit:
    x, y = split.gather(np.arange(len(split)))
    return ArraySplit(clean_inputs(source, x), y)


def _keys(source: str, info) -> tuple[str, str | None]:
    """The names of the input feature and of the ClassLabel, if there is one."""
    from tensorflow_datasets import features

    supervised = info.supervised_keys or (None, None)
    images = [key for key, feature in info.features.items() if isinstance(feature, features.Image)]
    labels = [key for key, feature in info.features.items() if isinstance(feature, features.ClassLabel)]
    x_key = supervised[0] if isinstance(supervised[0], str) else (images[0] if len(images) == 1 else None)
    if x_key is None or not _is_input(info.features[x_key]):
        raise UserError(f"{source} has no one input that is an image or numbers, but {dict(info.features)}")
    if supervised[1] in labels:
        return x_key, supervised[1]
    return x_key, labels[0] if info.supervised_keys is None and len(labels) == 1 else None


def _is_input(feature) -> bool:
    from tensorflow_datasets import features

    if isinstance(feature, features.Image):
        return feature.np_dtype == np.uint8
    plain = type(feature) is features.Tensor and np.dtype(feature.np_dtype).kind in "biuf"
    return plain and len(feature.shape) > 0 and None not in feature.shape


def _decoders(source, features, x_key, y_key, size):
    """`(record -> (x, label), record -> label, shape of x)`; they parse only the two features that are used."""
    import tensorflow_datasets as tfds

    wanted = tfds.features.FeaturesDict({key: features[key] for key in (x_key, y_key) if key})
    decode = functools.partial(_decode_tensor, source, wanted, x_key, y_key)
    shape = tuple(features[x_key].shape)
    if isinstance(features[x_key], tfds.features.Image):
        height, width, channels = features[x_key].shape
        if not size and None in (height, width):
            raise UserError(f"the images of {source} differ in size; set config.data.image_size")
        raw = {x_key: tfds.decode.SkipDecoding()}
        channels = channels if channels in MODES else 3
        shape = (size or height, size or width, channels)
        decode = functools.partial(_decode_image, source, wanted, raw, x_key, y_key, channels, size)
    if y_key is None:
        return decode, None, shape
    label_only = tfds.features.FeaturesDict({y_key: features[y_key]})
    return decode, functools.partial(_label, source, label_only, y_key), shape


def _decode_image(source, features, raw, x_key, y_key, channels, size, record):
    example = _parse(source, features, record, raw)
    image = decode_image(f"an image of {source}", io.BytesIO(example[x_key]), channels, size)
    return image, example.get(y_key)


def _decode_tensor(source, features, x_key, y_key, record):
    example = _parse(source, features, record)
    return example[x_key], example.get(y_key)


def _label(source, features, y_key, record) -> int:
    return _parse(source, features, record)[y_key]


def _parse(source, features, record, decoders=None) -> dict:
    from google.protobuf.message import DecodeError

    try:
        return features.deserialize_example_np(record, decoders=decoders)
    except (DecodeError, KeyError) as error:
        raise UserError(f"{source}: a record is damaged ({error}); prepare it again") from error


def _split(source: str, split, decode, label, unreadable: float) -> LazySplit:
    records = _records(source, split)
    if len(records) != split.num_examples or not len(records):
        raise UserError(
            f"{source}: the files of split {split.name!r} hold {len(records)} records where "
            f"dataset_info.json says {split.num_examples}; prepare it again"
        )
    where = f"{source}, split {split.name!r}"
    skipped = Skipped(where, len(records), unreadable, "record {}, ")
    return LazySplit(records, decode, label, skipped, np.arange(len(records)))


def _records(source: str, split) -> Sequence[bytes]:
    paths = [os.fspath(path) for path in split.filepaths]
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        raise UserError(f"{source}: {missing[0]} is missing; copy or prepare the data set again")
    file_format = split.filename_template.filetype_suffix
    if file_format == "tfrecord":
        return TFRecordFiles(paths)
    if file_format != "array_record":
        raise UserError(f"{source} is stored as {file_format}; prepare it as array_record or tfrecord")
    return ArrayRecords(source, paths)


class ArrayRecords(Sequence):
    """The records of array_record files; damage, found when they are opened or read, is a UserError."""

    def __init__(self, source: str, paths: list[str]):
        """Opens the files of a split of `source`."""
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        self._where = f"{source}: a file of {paths[0]} …"
        self._records = self._sound(lambda: ArrayRecordDataSource(paths))

    def _sound(self, read: Callable):
        try:
            return read()
        except Exception as error:  # array_record raises plain Exceptions of its C++ status
            raise UserError(f"{self._where} is damaged ({error}); prepare it again") from error

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, i: int) -> bytes:
        return self._sound(lambda: self._records[i])

    def __getitems__(self, index: list[int]) -> list[bytes]:
        """Many records at once."""
        return self._sound(lambda: self._records.__getitems__(index))
