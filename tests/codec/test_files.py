"""Compressed pictures as files: what goes in comes out, and what is no such file is refused."""

import struct
import zlib

import numpy as np
import pytest
from test_range_coder import drawn

from unsupjax.codec import contexts, files, synthesis
from unsupjax.codec.coder import STEPS
from unsupjax.data.sources.photographs import photographs
from unsupjax.errors import UserError
from unsupjax.methods.parts import lapped

PICTURE = photographs(3)[0, 100:150, 200:277]


@pytest.fixture(scope="module")
def codec():
    return files.Codec(drawn(3), 3)


@pytest.fixture(scope="module")
def content(codec):
    return codec.compress(PICTURE, 40)


def sealed(content):
    """With a checksum that fits."""
    return content[:-4] + struct.pack("<I", zlib.crc32(content[:-4]))


@pytest.mark.parametrize("shape", [(1, 1, 1), (16, 16, 3), (17, 5, 3), (50, 33, 1)])
def test_pictures_of_any_size_come_back_alike(codec, shape):
    x = PICTURE[: shape[0], : shape[1], : shape[2]]
    made = codec.decompress(codec.compress(x, 64))
    assert made.shape == shape and made.dtype == np.uint8
    assert (
        np.abs(made.astype(int) - x).mean() < 12
    )  # of a transform that starts as analytic and a filter at random


def test_what_is_decoded_is_what_was_encoded(codec):
    """The decoder's whole numbers are the transform and the filter in floating point."""
    import jax.numpy as jnp

    quality = 20
    q, _ = codec._quantised(PICTURE, quality)
    made = lapped.pictures(codec.params, jnp.asarray(q[None], jnp.float32), jnp.array([quality / STEPS]))
    expected = np.clip(np.asarray(made)[0, :50, :77], 0, 255)
    found = codec.decompress(codec.compress(PICTURE, quality))
    assert np.abs(found - expected).max() < 1


def test_more_bytes_are_nearer_to_the_picture(codec):
    found = []
    for quality in (0, 24, 48):
        made = codec._quantised(PICTURE[..., :1], quality), codec.compress(PICTURE[..., :1], quality)
        found.append((len(made[1]), np.abs(made[0][0]).sum()))
    assert found == sorted(found) and found[0] < found[-1]


def test_strips_do_not_show(codec, monkeypatch):
    """Whatever is held at once, the pixels are the same; and so with many strips of coefficients."""
    x = np.tile(PICTURE, (3, 1, 1))
    whole = codec.decompress(codec.compress(x, 30))
    monkeypatch.setattr(synthesis, "_STRIP", 2)
    np.testing.assert_array_equal(codec.decompress(codec.compress(x, 30)), whole)
    monkeypatch.setattr(synthesis, "_PIECE", 64)
    np.testing.assert_array_equal(codec.decompress(codec.compress(x, 30)), whole)
    monkeypatch.setattr(files, "_STRIP", 10)  # 5 blocks a row
    again = codec.decompress(codec.compress(x, 30))
    assert np.abs(again.astype(int) - whole).mean() < 3


@pytest.mark.parametrize("place", [0, 4, 5, 13, 17, 21, 22, 30, 60, -5, -1])
def test_a_flipped_bit_is_noticed(codec, content, place):
    broken = bytearray(content)
    broken[place] ^= 4
    with pytest.raises(UserError, match=r"a\.ujpc (is damaged|is no picture)"):
        codec.decompress(bytes(broken), "a.ujpc")


@pytest.mark.parametrize("length", [0, 3, 10, 27, 31, 100, -1])
def test_a_file_that_ends_too_soon_is_noticed(codec, content, length):
    with pytest.raises(UserError, match=r"is damaged|is no picture"):
        codec.decompress(content[:length])
    if length > 31:
        with pytest.raises(UserError, match="is damaged"):
            codec.decompress(sealed(content[:length]))


def test_another_model_is_named(codec, content):
    other = drawn(3)
    other["gains"] = other["gains"] + 0.1
    other = files.Codec(other, 3)
    words = f"by the model {codec.fingerprint.hex()}, and this is {other.fingerprint.hex()}"
    with pytest.raises(UserError, match=words):
        other.decompress(content)


@pytest.mark.parametrize(
    ("place", "form", "value", "words"),
    [
        (4, "B", 9, "of version 9"),
        (13, "I", 2**31, "is forged"),
        (13, "I", 0, "is forged"),
        (13, "I", 2**13, "is damaged"),  # within bounds, and its strips are not there
        (13, "I", 40, "is damaged"),
        (17, "I", 2**13, "is damaged"),
        (21, "B", 2, "is forged"),
        (21, "B", 1, "is damaged"),
        (22, "B", 200, "is forged"),
        (23, "I", 2**30, "is damaged"),
    ],
)
def test_forged_numbers_are_refused(codec, content, place, form, value, words):
    forged = bytearray(content)
    struct.pack_into("<" + form, forged, place, value)
    with pytest.raises(UserError, match=words):
        codec.decompress(sealed(bytes(forged)))


def test_foreign_files_are_refused(codec):
    for content in (b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"UJPC"):
        with pytest.raises(UserError, match=r"no picture that|is damaged"):
            codec.decompress(content)


@pytest.mark.parametrize(
    ("picture", "quality", "words"),
    [
        (PICTURE.astype(np.uint16), 20, "8 bits"),
        (PICTURE / 255, 20, "8 bits"),
        (PICTURE[..., :2], 20, "of shape"),
        (PICTURE[:0], 20, "of shape"),
        (PICTURE, 65, "quality=65"),
        (PICTURE, 2.5, "quality=2.5"),
    ],
)
def test_pictures_that_it_cannot_take_are_refused(codec, picture, quality, words):
    with pytest.raises(UserError, match=words):
        codec.compress(picture, quality)


def test_a_model_of_grey_pictures_takes_no_colours():
    with pytest.raises(UserError, match="trained on grey"):
        files.Codec(drawn(1), 1).compress(PICTURE, 20)
    assert contexts.layout(1, 40).channels == 256


def test_threads_and_precisions_change_nothing(codec, content):
    import jax
    from threadpoolctl import threadpool_limits

    found = codec.decompress(content)
    for threads in (1, 2, 4):
        with threadpool_limits(threads), jax.enable_x64(threads > 1):
            np.testing.assert_array_equal(files.Codec(codec.params, 3).decompress(content), found)
            assert codec.compress(PICTURE, 40) == content
