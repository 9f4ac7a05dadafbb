"""Folders of images."""

import os
import pickle

import numpy as np
import pytest
from PIL import Image

from unsupjax.data import arrays, open_source
from unsupjax.data.pictures import decode_image
from unsupjax.errors import UserError


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def colours():
    """10 RGB images of 6x8 pixels."""
    return np.random.default_rng(0).integers(0, 256, (10, 6, 8, 3), np.uint8)


@pytest.fixture
def classes(tmp_path, colours):
    for i, image in enumerate(colours):
        save(tmp_path / ["ant", "bee"][i % 2] / f"{i}.png", image)
    return tmp_path


def rows(split):
    return [image.tobytes() for image in arrays(split)[0]]


def test_class_folders_are_held_out(classes, colours):
    (classes / ".hidden.png").write_bytes(b"")
    (classes / "ant" / "notes.txt").write_text("no image")
    source = open_source(f"folder:{classes}", holdout=0.3)
    assert source.label_names == ("ant", "bee") and (len(source.train), len(source.test)) == (7, 3)
    numbers = {image.tobytes(): i for i, image in enumerate(colours)}
    for split in (source.train, source.test):
        assert [numbers[row] % 2 for row in rows(split)] == arrays(split)[1].tolist()
    assert sorted(numbers[row] for row in rows(source.train) + rows(source.test)) == list(range(10))
    copy = pickle.loads(pickle.dumps(source.train))
    np.testing.assert_array_equal(copy[0][0], source.train[0][0])


def test_flat_folder_has_no_labels(tmp_path, colours):
    for i, image in enumerate(colours):
        save(tmp_path / f"{i}.PNG", image)
    source = open_source(f"folder:{tmp_path}")
    assert source.label_names is None and source.train[0][1] is None
    x, y = arrays(source.train)
    assert y is None and x.shape == (8, 6, 8, 3) and x.dtype == np.uint8


@pytest.mark.parametrize("test_name", ["test", "val", "validation"])
def test_split_folders(tmp_path, colours, test_name):
    for i, image in enumerate(colours):
        save(tmp_path / ("train" if i < 7 else test_name) / "ab"[i % 2] / "deep" / f"{i}.png", image)
    source = open_source(f"folder:{tmp_path}")
    assert (len(source.train), len(source.test)) == (7, 3) and source.label_names == ("a", "b")
    assert arrays(source.train)[1].tolist() == [0] * 4 + [1] * 3


def test_unlabelled_test_folder_gives_way_to_val(tmp_path, colours):
    save(tmp_path / "train/a/0.png", colours[0])
    save(tmp_path / "test/0.png", colours[1])
    with pytest.raises(UserError, match=r"only one of the train and the test folder has class folders"):
        open_source(f"folder:{tmp_path}")
    save(tmp_path / "val/a/0.png", colours[2])
    assert rows(open_source(f"folder:{tmp_path}").test) == [colours[2].tobytes()]


def test_greyscale_unless_one_is_coloured(tmp_path, colours):
    for i, image in enumerate(colours):
        save(tmp_path / f"{i}.png", image[..., 0])
    assert arrays(open_source(f"folder:{tmp_path}").train)[0].shape == (8, 6, 8, 1)
    save(tmp_path / "9.png", colours[9])
    for size in (0, 5):
        assert arrays(open_source(f"folder:{tmp_path}", image_size=size).train)[0].shape[-1] == 3


def test_different_sizes_need_image_size(classes, colours):
    save(classes / "bee" / "odd.png", colours[0][:5])
    with pytest.raises(UserError, match=r"0.png is 8x6 and .*odd.png is 8x5 .* config.data.image_size"):
        open_source(f"folder:{classes}")
    assert arrays(open_source(f"folder:{classes}", image_size=4).train)[0].shape[1:] == (4, 4, 3)


def test_resize_is_antialiased_and_crops_the_centre(tmp_path):
    """Stripes one pixel wide average to grey; the outer quarters of a wide image are cut off."""
    wide = np.zeros((32, 64), np.uint8)
    wide[:, ::2] = 255
    wide[:, :12] = 255
    wide[:, -12:] = 255
    save(tmp_path / "wide.png", wide)
    image = decode_image("wide", tmp_path / "wide.png", 1, 8)
    assert image.shape == (8, 8, 1)
    assert np.abs(image.astype(int) - 127).max() <= 20
    assert (decode_image("wide", tmp_path / "wide.png", 1, 32)[..., 0] == wide[:, 16:48]).all()


def test_more_than_8_bits(tmp_path):
    for i in range(4):
        save(tmp_path / f"{i}.png", np.full((4, 4), 1000, np.uint16))
    with pytest.raises(UserError, match=r"more than 8 bits"):
        arrays(open_source(f"folder:{tmp_path}", holdout=0.5).train)


def test_symbolic_links_do_not_lead_out(tmp_path, classes, colours, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    save(outside / "secret.png", colours[0])
    link = classes / "bee" / "link.png"
    link.symlink_to(classes / "ant" / "0.png")
    assert len(open_source(f"folder:{classes}").train) == 9
    link.unlink()
    link.symlink_to(outside / "secret.png")
    with pytest.raises(UserError, match=r"link.png is a symbolic link"):
        open_source(f"folder:{classes}")
    link.unlink()
    (classes / "wasp").symlink_to(outside)
    with pytest.raises(UserError, match=r"wasp is a symbolic link"):
        open_source(f"folder:{classes}")
    (classes / "wasp").unlink()
    (classes / "wasp").symlink_to(classes / "ant")
    with pytest.raises(UserError, match=r"wasp is a symbolic link"):
        open_source(f"folder:{classes}")


def test_links_through_links_to_nothing_and_in_circles(classes, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    hop, link = classes / "bee" / "hop.png", classes / "bee" / "link.png"
    hop.symlink_to(classes / "ant" / "0.png")
    link.symlink_to(hop)
    assert len(open_source(f"folder:{classes}", holdout=0.5).train) == 6
    (outside / "back.png").symlink_to("/dev/zero")
    for target in (outside / "back.png", "/dev/zero", "nothing.png", "hop.png", "link.png"):
        hop.unlink()
        hop.symlink_to(target)
        with pytest.raises(UserError, match=r"(hop|link).png is a symbolic link, and not to a file in"):
            open_source(f"folder:{classes}")


@pytest.mark.parametrize("by_link", [False, True])
def test_pipes_are_refused_before_they_are_opened(classes, by_link):
    os.mkfifo(classes / "bee" / ("pipe" if by_link else "pipe.png"))
    if by_link:
        (classes / "bee" / "link.png").symlink_to("pipe")
    with pytest.raises(UserError, match="symbolic link" if by_link else "pipe.png is a pipe or a device"):
        open_source(f"folder:{classes}")


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".TGZ", ".7z", ".rar"])
def test_archives_are_not_unpacked(tmp_path, suffix):
    archive = tmp_path / f"photos{suffix}"
    archive.write_bytes(b"")
    with pytest.raises(UserError, match=r"photos.* is an archive; unpack it"):
        open_source(f"folder:{archive}")
    archive.unlink()
    archive.mkdir()
    with pytest.raises(UserError, match="there are no images"):
        open_source(f"folder:{archive}")


def test_layouts_that_are_refused(tmp_path, colours):
    with pytest.raises(UserError, match=r"there is no folder"):
        open_source(f"folder:{tmp_path / 'none'}")
    with pytest.raises(UserError, match=r"there are no images"):
        open_source(f"folder:{tmp_path}")
    save(tmp_path / "a" / "0.png", colours[0])
    save(tmp_path / "1.png", colours[1])
    with pytest.raises(UserError, match=r"holds images beside folders"):
        open_source(f"folder:{tmp_path}")
    (tmp_path / "1.png").unlink()
    save(tmp_path / "train" / "a" / "0.png", colours[0])
    save(tmp_path / "test" / "b" / "0.png", colours[0])
    with pytest.raises(UserError, match=r"holds 'a' beside train and test"):
        open_source(f"folder:{tmp_path}")
    (tmp_path / "a" / "0.png").unlink()
    with pytest.raises(UserError, match=r"the class 'b' of .* is not among the classes of train"):
        open_source(f"folder:{tmp_path}")
