"""TensorFlow Datasets directories, in both formats, without TensorFlow."""

import os
import pickle
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from unsupjax.data import arrays, open_source
from unsupjax.data.members import repeated
from unsupjax.data.sources.tfrecord import TFRecordFiles
from unsupjax.errors import UserError


@pytest.fixture
def offline(monkeypatch):
    """Sends every request to a port where nothing listens."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("file_format", ["array_record", "tfrecord"])
def test_reads_the_examples(prepared, images, file_format):
    source = open_source("tfds:tiny", data_dir=str(prepared[file_format]))
    assert source.label_names == ("ant", "bee", "cat")
    assert source.kind.name == "images"
    assert (len(source.train), len(source.test)) == (16, 8)
    x, y = arrays(source.train)
    # tfds shuffles what it prepares: match each image by its bytes
    where = [next(i for i, image in enumerate(images[:16]) if (image == row).all()) for row in x]
    assert sorted(where) == list(range(16))
    assert (y == np.array(where) % 3).all()
    assert x.dtype == np.uint8 and y.dtype == np.int32
    for i in (0, 7, -1):
        image, label = source.train[i]
        assert (image == x[i]).all() and label == y[i]
    assert (source.train.labels() == y).all()
    assert repeated(source.members(), source.train) == 0, "numbers of records are of their own part"


def test_formats_agree(prepared):
    one, other = (open_source("tfds:tiny", data_dir=str(path)) for path in prepared.values())
    for split in ("train", "test"):
        for a, b in zip(arrays(getattr(one, split)), arrays(getattr(other, split)), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("file_format", ["array_record", "tfrecord"])
def test_splits_can_be_pickled(prepared, file_format):
    split = open_source("tfds:tiny", data_dir=str(prepared[file_format])).train
    copy = pickle.loads(pickle.dumps(split))
    np.testing.assert_array_equal(copy[3][0], split[3][0])


@pytest.mark.parametrize("name", ["tiny:1.2.0", "tiny:1.*.*"])
def test_version_and_environment(prepared, monkeypatch, name):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared["array_record"]))
    assert len(open_source(f"tfds:{name}").train) == 16


def test_image_size_and_one_class(prepared):
    source = open_source(
        "tfds:tiny", data_dir=str(prepared["tfrecord"]), image_size=4, normal_label="bee", split_seed=3
    )
    x, y = arrays(source.train)
    assert x.shape == (5, 4, 4, 1) and (y == 1).all()
    assert len(source.test) == 8


def test_crc_of_the_test_writer(tfds_files):
    assert tfds_files.crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize("cut", [1, 17, 100])
def test_truncated_shard(prepared, tmp_path, cut):
    shutil.copytree(prepared["tfrecord"], tmp_path / "d")
    shard = tmp_path / "d/tiny/1.2.0/tiny-train.tfrecord-00001-of-00002"
    shard.write_bytes(shard.read_bytes()[:-cut])
    with pytest.raises(UserError, match=r"tiny-train.tfrecord-00001-of-00002 is damaged: record \d"):
        open_source("tfds:tiny", data_dir=str(tmp_path / "d"))


def test_file_that_ends_in_a_frame_head(tmp_path, tfds_files):
    (tmp_path / "a").write_bytes(tfds_files.frame(b"abc") + tfds_files.frame(b"de")[:5])
    with pytest.raises(UserError, match=r"a is damaged: record 1, at byte 19,"):
        TFRecordFiles([str(tmp_path / "a")])


@pytest.mark.parametrize("cut", [1, 20, 65536, 131072])
def test_truncated_array_record(prepared, tmp_path, cut):
    shutil.copytree(prepared["array_record"], tmp_path / "d")
    shard = tmp_path / "d/tiny/1.2.0/tiny-train.array_record-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[:-cut])
    with pytest.raises(UserError, match=r"array_record-00000-of-00001 … is damaged .*; prepare it again"):
        open_source("tfds:tiny", data_dir=str(tmp_path / "d"))


def test_shard_of_whole_records_but_too_few(prepared, tmp_path):
    shutil.copytree(prepared["tfrecord"], tmp_path / "d")
    (tmp_path / "d/tiny/1.2.0/tiny-train.tfrecord-00001-of-00002").write_bytes(b"")
    with pytest.raises(UserError, match=r"hold 8 records where dataset_info.json says 16"):
        open_source("tfds:tiny", data_dir=str(tmp_path / "d"))


def test_missing_shard(prepared, tmp_path):
    shutil.copytree(prepared["tfrecord"], tmp_path / "d")
    (tmp_path / "d/tiny/1.2.0/tiny-test.tfrecord-00000-of-00002").unlink()
    with pytest.raises(UserError, match=r"tiny-test.tfrecord-00000-of-00002 is missing"):
        open_source("tfds:tiny", data_dir=str(tmp_path / "d"))


def test_damaged_record(prepared, tmp_path):
    shutil.copytree(prepared["tfrecord"], tmp_path / "d")
    shard = tmp_path / "d/tiny/1.2.0/tiny-train.tfrecord-00000-of-00002"
    data = shard.read_bytes()
    shard.write_bytes(data[:12] + b"\xff" * 8 + data[20:])
    source = open_source("tfds:tiny", data_dir=str(tmp_path / "d"))
    with pytest.raises(UserError, match=r"a record is damaged"):
        source.train[0]


def test_array_record_with_flipped_bits(prepared, tmp_path):
    shutil.copytree(prepared["array_record"], tmp_path / "d")
    shard = tmp_path / "d/tiny/1.2.0/tiny-train.array_record-00000-of-00001"
    data = shard.read_bytes()
    middle = data.index(b"IDAT")
    shard.write_bytes(data[:middle] + b"\xff" * 4 + data[middle + 4 :])
    split = open_source("tfds:tiny", data_dir=str(tmp_path / "d")).train
    for read in (lambda: arrays(split), split.labels, lambda: list(map(split.__getitem__, range(16)))):
        with pytest.raises(
            UserError, match=r"tiny-train.array_record-00000.* is damaged .*; prepare it again"
        ):
            read()


def test_random_access_over_shards(prepared):
    directory = prepared["tfrecord"] / "tiny/1.2.0"
    files = sorted(str(path) for path in directory.glob("tiny-train*"))
    records = TFRecordFiles(files)
    first = TFRecordFiles(files[:1])
    assert len(records) == 16 and len(first) == 8
    assert records[7] == first[7] and records[8] == TFRecordFiles(files[1:])[0] and records[-1] == records[15]
    with pytest.raises(IndexError):
        records[16]


def test_not_prepared_and_offline(prepared, offline):
    start = time.monotonic()
    with pytest.raises(UserError, match=r"no network") as caught:
        open_source("tfds:kmnist", data_dir=str(prepared["array_record"]))
    assert time.monotonic() - start < 10
    directory = str(prepared["array_record"])
    for part in ("tfds:kmnist", directory, "tfds build kmnist", "TFDS_DATA_DIR", "tiny:1.2.0"):
        assert part in str(caught.value)


def test_other_version_and_unknown_name(prepared, offline):
    with pytest.raises(UserError, match=r"did you mean 'tiny:1.2.0'"):
        open_source("tfds:tiny:9.0.0", data_dir=str(prepared["array_record"]))
    with pytest.raises(UserError, match=r"did you mean 'cifar10'"):
        open_source("tfds:cifar01", data_dir=str(prepared["array_record"]))
    with pytest.raises(UserError, match=r"did you mean 'tiny:1.2.0'"):
        open_source("tfds:tinny", data_dir=str(prepared["array_record"]))


def test_failed_download_names_the_mend(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def refuse(name, data_dir):
        raise OSError("connection lost")

    monkeypatch.setattr("unsupjax.data.sources.tfds_dirs.online", lambda: True)
    monkeypatch.setattr(tfds, "builder", refuse)
    with pytest.raises(UserError, match=r"connection lost.*tfds build kmnist"):
        open_source("tfds:kmnist", data_dir=str(tmp_path))


def test_downloads_where_there_is_a_network(prepared, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    class Builder:
        data_dir = tmp_path / "kmnist" / "1.2.0"

        def download_and_prepare(self, file_format):
            assert file_format == "array_record"
            shutil.copytree(prepared["array_record"] / "tiny/1.2.0", self.data_dir)

    monkeypatch.setattr("unsupjax.data.sources.tfds_dirs.online", lambda: True)
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: Builder())
    assert len(open_source("tfds:kmnist", data_dir=str(tmp_path)).train) == 16


def test_unlabelled_test_split_gives_way_to_validation(tfds_files, tmp_path, images):
    import tensorflow_datasets as tfds

    image = tfds.features.Image(shape=(None, None, 3))
    features = {"image": image, "label": tfds.features.ClassLabel(num_classes=2)}
    coloured = [tfds_files.png(np.repeat(image, 3, -1)) for image in images]
    rows = [{"image": image, "label": i % 2} for i, image in enumerate(coloured)]
    unlabelled = [row | {"label": -1} for row in rows[:2]]
    splits = {"train": rows[:4], "validation": rows[4:9], "test": unlabelled}
    tfds_files.write(tmp_path, "hidden", features, splits)
    with pytest.raises(UserError, match=r"config.data.image_size"):
        open_source("tfds:hidden", data_dir=str(tmp_path))
    source = open_source("tfds:hidden", data_dir=str(tmp_path), image_size=5)
    assert len(source.test) == 5
    assert arrays(source.test)[0].shape == (5, 5, 5, 3)


def test_images_of_another_size_than_declared(tfds_files, tmp_path, images):
    """TFDS does not look into encoded images."""
    import tensorflow_datasets as tfds

    features = {"image": tfds.features.Image(shape=(5, 7, 1))}
    rows = [{"image": tfds_files.png(image)} for image in (*images[:3], images[3][:3])]
    tfds_files.write(tmp_path, "liar", features, {"train": rows, "test": rows}, None)
    with pytest.raises(UserError, match=r"\(3, 7, 1\).*config.data.image_size"):
        arrays(open_source("tfds:liar", data_dir=str(tmp_path)).train)


def test_table_without_labels_is_held_out_and_standardised(tfds_files, tmp_path):
    import tensorflow_datasets as tfds

    values = np.random.default_rng(0).normal(5, 3, (20, 4)).astype(np.float32)
    features = {"features": tfds.features.Tensor(shape=(4,), dtype=np.float32), "name": tfds.features.Text()}
    rows = [{"features": row, "name": "n"} for row in values]
    tfds_files.write(tmp_path, "table", features, {"train": rows}, ("features", "name"))
    source = open_source("tfds:table", data_dir=str(tmp_path), holdout=0.25)
    x, y = arrays(source.train)
    assert y is None and source.label_names is None and len(source.test) == 5
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-6)
    with pytest.raises(UserError, match=r"image_size=4 is for images"):
        open_source("tfds:table", data_dir=str(tmp_path), image_size=4)


def test_no_single_input(tfds_files, tmp_path):
    import tensorflow_datasets as tfds

    tfds_files.write(tmp_path, "words", {"text": tfds.features.Text()}, {"train": [{"text": "a"}]}, None)
    with pytest.raises(UserError, match=r"words has no one input .*text"):
        open_source("tfds:words", data_dir=str(tmp_path))


@pytest.mark.thorough
def test_silent_without_tensorflow(prepared):
    """Neither TensorFlow nor a word on the terminal, in a fresh interpreter."""
    code = (
        "import sys\n"
        "from unsupjax.data import arrays, open_source\n"
        "assert not {'tensorflow_datasets', 'array_record', 'sklearn', 'PIL'} & set(sys.modules)\n"
        f"arrays(open_source('tfds:tiny', data_dir={str(prepared['tfrecord'])!r}).train)\n"
        "assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="TFDS_DATA_DIR names no prepared data sets")
@pytest.mark.parametrize("name, shape", [("mnist", (28, 28, 1)), ("cifar10", (32, 32, 3))])
def test_real_data(name, shape):
    source = open_source(f"tfds:{name}")
    assert len(source.test) == 10_000
    x, y = arrays(source.test, limit=300)
    assert x.shape == (300, *shape) and x.dtype == np.uint8
    assert set(y) == set(range(10))
