"""Images that cannot be read: skipped, named, counted, and refused beyond a fraction."""

import dataclasses
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from unsupjax.data import arrays, open_source
from unsupjax.data.feeds import example_order, streaming
from unsupjax.errors import UserError

N = 40


def truncate(*paths):
    """Leaves what is in the header."""
    for path in paths:
        data = path.read_bytes()
        path.write_bytes(data[:-100])


def write(folder, suffix="png"):
    """N training images in two classes and 2 test images; the paths of the former, in the order of the split."""
    images = np.random.default_rng(0).integers(0, 256, (N + 2, 12, 10, 3), np.uint8)
    paths = [folder / f"train/{'ab'[i * 2 // N]}/{i:02d}.{suffix}" for i in range(N)]
    paths += [folder / f"test/{name}/0.{suffix}" for name in "ab"]
    for path, image in zip(paths, images, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return paths[:N]


@pytest.fixture
def paths(tmp_path):
    return write(tmp_path)


@pytest.fixture
def opened(tmp_path):
    """Opens the folder; each time with a memory of its own."""
    return lambda unreadable=0.5, **options: (
        open_source(f"folder:{tmp_path}", unreadable=unreadable, **options).train
    )


def warned(caplog):
    return [record.message for record in caplog.records if record.name == "unsupjax.data.skipped"]


def test_what_has_no_header_is_dropped_and_named(paths, opened, caplog):
    x, y = arrays(opened())
    paths[0].write_bytes(b"no image")
    paths[7].write_bytes(b"")
    truncate(paths[8])
    split = opened()
    kept = np.delete(np.arange(N), [0, 7])
    assert len(split) == N - 2
    for message, path, count in zip(warned(caplog), (paths[0], paths[7]), (1, 2), strict=True):
        assert f"{path} (of no known format) is unreadable and skipped, {count} of {N}" in message
    np.testing.assert_array_equal(split.labels(), y[kept])
    kept[kept == 8] = 9
    np.testing.assert_array_equal(arrays(split)[0], x[kept])
    assert f"{paths[8]} (image file is truncated" in warned(caplog)[-1] and f"3 of {N}" in warned(caplog)[-1]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_next_readable_example_stands_in(tmp_path, opened, suffix):
    paths = write(tmp_path, suffix)
    x, y = arrays(opened(0.0))
    broken, substitutes = [0, 3, 4, 19, N - 1], [1, 5, 5, 20, 1]
    truncate(*(paths[i] for i in broken))
    expected = np.arange(N)
    expected[broken] = substitutes
    split = opened()
    for index in (np.arange(N), np.arange(N)[::-1], np.array([N - 1, 4, 4, 0])):
        for fresh in (split, opened()):
            got = fresh.gather(index)
            np.testing.assert_array_equal(got[0], x[expected[index]])
            np.testing.assert_array_equal(got[1], y[expected[index]])
    image, label = opened()[-1]
    assert (image == x[1]).all() and label == 0
    np.testing.assert_array_equal(split.labels(), y)  # their own: 19 and the last differ from what stands in


def test_both_feeds_see_the_same(paths, opened):
    truncate(*paths[3:6], paths[-1])
    streamed = list(streaming(opened().gather, N, 8, 0, 3).blocks(0, 12))
    order = example_order(
        np.arange(96).reshape(12, 8), N, 0
    )  # all that the resident feed sends to the device
    for i, whole in enumerate(arrays(opened())):
        np.testing.assert_array_equal(np.concatenate([block[i] for block in streamed]), whole[order])


def test_a_substitute_is_of_the_same_selection(paths, opened):
    x, _ = arrays(opened())
    truncate(paths[3], paths[9])
    chosen = opened().select(np.array([1, 3, 6, 9]))
    np.testing.assert_array_equal(arrays(chosen)[0], x[[1, 6, 6, 1]])
    nothing = opened().select(np.array([3, 9]))
    with pytest.raises(UserError, match="all 2 images"):
        arrays(nothing)


def test_held_out_parts_count_together(tmp_path, paths, caplog):
    truncate(*paths)
    source = open_source(f"folder:{tmp_path / 'train'}", unreadable=0.9, holdout=0.5)
    with pytest.raises(UserError, match="all 20 images"):
        arrays(source.train)
    with pytest.raises(UserError, match="37 of 40 images are unreadable"):
        arrays(source.test)


def test_ten_are_named_and_each_once(paths, opened, caplog):
    truncate(*paths[:15])
    split = opened()
    for _ in range(2):
        arrays(split)
    messages = warned(caplog)
    assert len(messages) == 11 and "further unreadable images are only counted" in messages[10]
    named = {path for path in paths for message in messages if f"{path} (" in message}
    assert len(named) == 10 and named <= set(paths[:15])
    assert all(f"{k} of {N}" in message for k, message in enumerate(messages[:10], 1))


def test_more_than_the_fraction_are_refused(paths, opened):
    truncate(*paths[1:4])
    paths[0].write_bytes(b"no image")
    arrays(opened(0.1))
    truncate(paths[20])
    split = opened(0.1)
    message = (
        rf"5 of {N} images are unreadable so far, 12.50%: .*/00.png \(of no known format\), .*/0[123].png \(image.*…; "
        r"repair or remove them, or allow more than config.data.unreadable=0.1"
    )
    for _ in range(2):
        with pytest.raises(UserError, match=message):
            arrays(split)
    for path in paths[1:5]:
        path.write_bytes(b"no image")
    with pytest.raises(UserError, match=f"5 of {N} images are unreadable"):
        opened(0.1)


def test_a_fraction_of_29_in_100_allows_29(tmp_path, opened):
    for i in range(100):
        path = tmp_path / "train" / f"{i:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(path)
    for i in range(29):
        (tmp_path / "train" / f"{i:02d}.png").write_bytes(b"")
    Image.new("L", (4, 4)).save((tmp_path / "test").mkdir() or tmp_path / "test/0.png")
    assert len(opened(0.29)) == 71


def test_none_is_skipped_where_none_may_be(paths, opened):
    truncate(paths[2])
    with pytest.raises(
        UserError, match=r"^\S*02.png is not a readable image \(image file.*; repair or remove it$"
    ):
        arrays(opened(0.0))
    paths[2].write_bytes(b"no image")
    with pytest.raises(UserError, match=r"^\S*02.png is not a readable image \(of no known format\)"):
        opened(0.0)


def test_other_faults_are_not_skipped(paths, opened):
    """A file that the system fails to read may be there again tomorrow."""
    split = opened()
    paths[5].unlink()
    with pytest.raises(UserError, match=r"05.png cannot be read \(No such file"):
        arrays(split)
    Image.fromarray(np.full((12, 10), 1000, np.uint16)).save(paths[5])
    with pytest.raises(UserError, match="more than 8 bits"):
        arrays(opened())


def test_a_copy_remembers_and_goes_its_own_way(paths, opened, caplog):
    truncate(*paths[:3])
    split = opened(0.075)
    x, y = arrays(split)
    assert len(warned(caplog)) == 3
    copy = pickle.loads(pickle.dumps(split))
    for a, b in zip(arrays(copy), (x, y), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(warned(caplog)) == 3
    truncate(paths[9])
    with pytest.raises(UserError, match=f"4 of {N}"):
        arrays(copy)
    assert len(split.skipped.names) == 3


def test_threads_agree_and_count_once(paths, opened, caplog):
    x, _ = arrays(opened())
    broken = np.random.default_rng(0).permutation(N)[:9]
    truncate(*(paths[i] for i in broken))
    expected = np.array([next(j % N for j in range(i, 2 * N) if j % N not in broken) for i in range(N)])
    for seed in range(5):
        caplog.clear()
        split = opened()
        orders = [np.random.default_rng([seed, i]).integers(0, N, 300) for i in range(8)]
        with ThreadPoolExecutor(8) as pool:
            for order, (got, _) in zip(orders, pool.map(split.gather, orders), strict=True):
                np.testing.assert_array_equal(got, x[expected[order]])
        assert len(warned(caplog)) == len(split.skipped.names) == 9


def test_a_long_run_of_unreadable_images_is_decoded_once(paths, opened):
    """Else each of them would cost the decoding of all that follow."""
    truncate(*paths[5:25])
    split, decoded = opened(0.6), []
    counted = dataclasses.replace(split, decode=lambda record: decoded.append(record) or split.decode(record))
    for i in range(N):
        counted[i]
    assert len(decoded) == 20 + N  # each of the 20 readable once and the 20 others once, and 20 substitutes


def test_two_threads_that_find_the_same_image_count_it_once(paths, opened, caplog):
    truncate(paths[3])
    both, split = threading.Barrier(2, timeout=60), opened()

    def decode(record):
        if record[0] == str(paths[3]):
            both.wait()
        return split.decode(record)

    met = dataclasses.replace(split, decode=decode)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda i: met[i][0], (3, 3))
    assert (one == other).all() and len(warned(caplog)) == 1


@pytest.mark.parametrize("file_format", ["array_record", "tfrecord"])
def test_tfds_record_with_a_damaged_image(tfds_files, tmp_path, images, caplog, file_format):
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=(5, 7, 1)),
        "label": tfds.features.ClassLabel(num_classes=9),
    }
    rows = [{"image": tfds_files.png(image), "label": i} for i, image in enumerate(images[:9])]
    rows[4]["image"] = rows[4]["image"][:60]
    rows[6]["image"] = b"no image"
    made = tfds_files.write(tmp_path / "one", "torn", features, {"train": rows, "test": rows[:2]})
    if file_format == "tfrecord":
        tfds_files.to_tfrecord(made, tmp_path / "other/torn/1.2.0")
    data_dir = str(tmp_path / ("other" if file_format == "tfrecord" else "one"))
    split = open_source("tfds:torn", data_dir=data_dir, unreadable=0.25).train
    own = split.labels().tolist()
    expected = [next(y for y in own[i:] + own[:i] if y not in (4, 6)) for i in range(9)]
    for index in (np.arange(9), np.array([own.index(4), own.index(6)])):
        x, y = split.gather(index)
        assert y.tolist() == [expected[i] for i in index]
        np.testing.assert_array_equal(x, images[y])
    for label, reason in ((4, "image file is truncated"), (6, "of no known format")):
        name = f"split 'train': record {own.index(label)}, an image of tfds:torn ({reason}"
        assert any(name in message for message in warned(caplog))
    with pytest.raises(UserError, match="2 of 9 images are unreadable"):
        arrays(open_source("tfds:torn", data_dir=data_dir, unreadable=0.2).train)
