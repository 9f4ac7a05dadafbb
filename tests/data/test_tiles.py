"""Pictures of any size, cut into tiles."""

import numpy as np
import pytest
from PIL import Image

from unsupjax.data import open_source
from unsupjax.data.kinds import Images
from unsupjax.data.splits import ArraySplit
from unsupjax.data.tiles import cut, tiles, whole
from unsupjax.errors import UserError

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path):
    for i, (h, w) in enumerate(((20, 33), (16, 16), (40, 17), (9, 30), (25, 25))):
        Image.fromarray(RNG.integers(0, 256, (h, w, 3), np.uint8)).save(tmp_path / f"{i}.png")
    return tmp_path


def test_tiles_cover_a_picture_and_are_parts_of_it():
    x = np.arange(20 * 33).reshape(20, 33, 1)
    found = tiles(x, 16)
    assert found.shape == (2 * 3, 16, 16, 1)
    assert set(found.ravel()) == set(x.ravel())
    np.testing.assert_array_equal(found[0], x[:16, :16])
    np.testing.assert_array_equal(found[-1], x[4:, 17:])
    np.testing.assert_array_equal(found[1][:, 0, 0] - found[1][0, 0, 0], 33 * np.arange(16))


def test_a_picture_without_room_gives_none():
    assert tiles(np.zeros((15, 40, 3)), 16).shape == (0, 16, 16, 3)


def test_tiles_keep_the_label_of_their_picture(caplog):
    pictures = np.zeros((3, 20, 16, 1), np.uint8)
    found = cut("here", ArraySplit(pictures, np.array([4, 5, 6], np.int32)), 16)
    np.testing.assert_array_equal(found.y, [4, 4, 5, 5, 6, 6])
    with pytest.raises(UserError, match="no picture of a split has room"):
        cut("here", ArraySplit(pictures), 17)


def test_a_folder_of_pictures_of_any_size(folder, caplog):
    source = open_source(f"folder:{folder}", tile=16, holdout=0.4)
    assert source.kind == Images((16, 16, 3))
    assert len(source.train) + len(source.test) == 6 + 1 + 6 + 4
    assert "1 of" in caplog.text and "smaller than a tile" in caplog.text
    grey = open_source(f"folder:{folder}", tile=16, holdout=0.4, grey=True)
    assert grey.kind.shape == (16, 16, 1)
    with pytest.raises(UserError, match="image_size"):
        open_source(f"folder:{folder}")


def test_what_is_held_out_are_whole_pictures(folder):
    for path in folder.glob("*.png"):
        shade = 40 * int(path.stem)
        Image.fromarray(np.full((32, 32), shade, np.uint8)).save(path)
    source = open_source(f"folder:{folder}", tile=16, holdout=0.4)
    assert set(np.unique(source.train.x)).isdisjoint(np.unique(source.test.x))
    assert len(source.test) == 2 * 4


def test_a_single_picture_is_all_there_is(folder):
    for path in sorted(folder.glob("*.png"))[1:]:
        path.unlink()
    source = open_source(f"folder:{folder}", tile=16)
    assert len(source.train) == len(source.test) == 6
    again = open_source(f"folder:{folder}", tile=16, known=source.members())
    np.testing.assert_array_equal(again.train.x, source.train.x)


def test_photographs():
    source = open_source("photographs", tile=64)
    assert source.train.x.dtype == np.uint8 and source.train.x.shape == (2 * 7 * 7, 64, 64, 3)
    assert source.test.x.shape == (2 * 7 * 3, 64, 64, 3)
    found = whole("photographs", 1)
    assert list(found) == ["china", "flower"] and found["china"].shape == (427, 192, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tile": 4}, "at least 8"),
        ({"tile": 16, "image_size": 8}, "leave one out"),
        ({}, "set config.data.tile"),
    ],
)
def test_bad_settings_are_named(options, words):
    with pytest.raises(UserError, match=words):
        open_source("photographs", **options)


def test_a_tile_is_for_pictures():
    with pytest.raises(UserError, match="tile"):
        open_source("digits", tile=8)


def test_whole_pictures_of_a_folder_have_their_names(folder):
    found = whole(f"folder:{folder}", 1)
    assert list(found) == [f"{i}.png" for i in range(5)]
    assert found["3.png"].shape == (9, 30, 1)
    one = whole(str(folder / "2.png"), 3)
    np.testing.assert_array_equal(next(iter(one.values())), np.asarray(Image.open(folder / "2.png")))
    with pytest.raises(UserError, match="no folder"):
        whole("nowhere", 3)
