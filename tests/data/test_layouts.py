"""Folders of pictures as people lay them out, and pictures as they come."""

import numpy as np
import pytest
from PIL import Image

from unsupjax.data import arrays, open_source
from unsupjax.data.pictures import decode_image, header
from unsupjax.data.sources.folder import layout
from unsupjax.errors import UserError


def paths(*names):
    return [tuple(name.split("/")) for name in names]


@pytest.mark.parametrize(
    "names, base, train, tests",
    [
        (("cat/1", "dog/1"), (), "", ()),
        (("1", "2"), (), "", ()),
        (("Train/cat/1", "Test/cat/1"), (), "Train", ("Test",)),
        (("training/cat/1", "validation/cat/1"), (), "training", ("validation",)),
        (("train/cat/1", "valid/cat/1", "test/cat/1"), (), "train", ("test", "valid")),
        (("photos/train/cat/1", "photos/test/cat/1"), ("photos",), "train", ("test",)),
        (("a/b/cat/1", "a/b/dog/1"), ("a", "b"), "", ()),
        (("train/1", "test/1"), (), "train", ("test",)),
        (("bus/1", "car/1", "train/1"), (), "", ()),
        (("train/cat/1", "train/dog/1"), ("train",), "", ()),
    ],
)
def test_layouts_are_told_apart(names, base, train, tests):
    assert layout(paths(*names)) == (base, train, tests)


@pytest.mark.parametrize(
    "names, message",
    [
        (("val/cat/1", "test/cat/1"), "holds test and val and no train folder"),
        (("train/1", "test/1", "bus/1"), "holds 'bus' beside train and test"),
        (("train/1", "Training/1", "test/1"), "beside"),
    ],
)
def test_layouts_that_say_two_things_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        layout(paths(*names))


def drawing(mode):
    """A disc in black ink on nothing: its shape lies in the alpha channel alone."""
    y, x = np.mgrid[:8, :8] - 3.5
    alpha = np.where(x**2 + y**2 < 9, 255, 0).astype(np.uint8)
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 3] = alpha
    return Image.fromarray(pixels).convert(mode) if mode != "P" else Image.fromarray(pixels).quantize(
        8
    ), alpha


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_drawings_keep_their_shape(tmp_path, caplog, mode):
    image, alpha = drawing(mode)
    for i in range(4):
        image.save(tmp_path / f"{i}.png")
    open_ = lambda **options: arrays(open_source(f"folder:{tmp_path}", holdout=0.5, **options).train)[0][0]
    np.testing.assert_array_equal(open_()[..., 0], 255 - alpha)
    assert "4 of 4 images are transparent: put on white" in caplog.text
    assert not open_(alpha="black").any()
    kept = open_(alpha="keep")
    assert kept.shape == (8, 8, 4)
    np.testing.assert_array_equal(kept[..., 3], alpha)
    with pytest.raises(UserError, match=r"config.data.alpha='grey'"):
        open_(alpha="grey")


def test_pictures_are_turned_as_the_camera_was_held(tmp_path):
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
    upright, turned = Image.fromarray(pixels), Image.fromarray(np.rot90(pixels))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it a quarter clockwise to see it upright
    upright.save(tmp_path / "0.png")
    turned.save(tmp_path / "1.png", exif=exif)
    assert header("", tmp_path / "1.png").size == (8, 6)
    x, _ = arrays(open_source(f"folder:{tmp_path}", holdout=0.5).train)
    np.testing.assert_array_equal(decode_image("", tmp_path / "1.png", 1)[..., 0], pixels)
    assert x.shape[1:] == (6, 8, 1)


def test_one_deep_picture_among_others_is_refused_before_training(tmp_path):
    for i in range(8):
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / f"{i}.png")
    Image.fromarray(np.full((4, 4), 1000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UserError, match=r"deep.png has more than 8 bits"):
        open_source(f"folder:{tmp_path}")


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_deep_pictures_are_found_by_their_headers(tmp_path, name):
    Image.fromarray(np.full((4, 4), 1000, np.uint16)).save(tmp_path / name)
    with pytest.raises(UserError, match="has more than 8 bits"):
        header(name, tmp_path / name)


def test_a_colour_picture_of_16_bits_is_refused(tmp_path):
    """Pillow reads it as 8 bits without a word."""
    import struct
    import zlib

    chunk = lambda kind, data: (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    )
    rows = b"".join(b"\0" + bytes(12) for _ in range(2))
    head = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(UserError, match=r"deep.png has more than 8 bits"):
        header("deep.png", tmp_path / "deep.png")


def test_what_is_not_read_is_counted(tmp_path, caplog):
    def save(name, **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(path, **options)

    save("all/train/a/0.png")
    save("all/train/a/1.jfif", format="JPEG")
    save("all/test/a/0.png")
    save("all/val/a/0.png")
    (tmp_path / "all/train/a/2.heic").write_bytes(b"")
    (tmp_path / "all/train/a/3.heic").write_bytes(b"")
    (tmp_path / "all/readme").write_text("")
    (tmp_path / "all/train/empty").mkdir()
    (tmp_path / "all/train/.DS_Store").write_bytes(b"")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX/0.png").write_bytes(b"")
    frames = [Image.fromarray(np.full((4, 4), 90 * i, np.uint8)) for i in range(2)]
    frames[0].save(tmp_path / "all/train/a/4.gif", save_all=True, append_images=frames[1:])
    source = open_source(f"folder:{tmp_path}", unreadable=0.5)
    assert (len(source.train), len(source.test)) == (3, 1)
    for said in (
        "2 .heic",
        "1 files without a suffix",
        "1 folders without images",
        "1 pictures in val",
        "1 of 4 files hold several",
        "read from",
    ):
        assert said in caplog.text, said
