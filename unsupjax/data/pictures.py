"""Image files to uint8 arrays, with Pillow."""

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from unsupjax.errors import UserError

MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by number of channels
GREY_MODES = ("1", "L", "LA", "La")
ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
ALPHAS = ("white", "black", "keep")  # what becomes of transparency
DEEP_MODES = ("I", "F")  # more than 8 bits a channel, as "I;16": Pillow would clip them
_ORIENTATION = 0x0112  # in EXIF: 1 upright, from 5 on with its sides exchanged


class UnreadableImage(UserError):
    """`(where, reason)`: a file or record that is damaged or no image, where others may be sound."""

    def __str__(self) -> str:
        return "{} is not a readable image ({}); repair or remove it".format(*self.args)


@contextlib.contextmanager
def _reading(where: str) -> Iterator[None]:
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow's errors have no number, and seeking as a damaged file says is EINVAL. All others are the disk's, and
        # may pass: were such an image skipped, the next run would see other examples.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise UserError(f"{where} cannot be read ({error.strerror}); mend that and try again") from error
        unknown = isinstance(error, UnidentifiedImageError)  # whose words name an object's address
        raise UnreadableImage(where, "of no known format" if unknown else str(error)) from error


class Header(NamedTuple):
    """What an image file says of itself.

    Attributes:
        size: (width, height) in pixels, as it is looked at.
        grey: it has no colours.
        transparent: it has an alpha channel, or a colour that stands for transparency.
        frames: how many pictures it holds.
    """

    size: tuple[int, int]
    grey: bool
    transparent: bool
    frames: int


def header(where: str, file: str | os.PathLike | BinaryIO) -> Header:
    """The `Header` of an image file, without decoding it; arguments and errors as of `decode_image`."""
    from PIL import Image

    with _reading(where), Image.open(file) as image:
        _check_depth(where, image)
        turned = _orientation(image) >= 5
        size = image.size[::-1] if turned else image.size
        return Header(size, image.mode in GREY_MODES, _is_transparent(image), _frames(image))


def decode_image(
    where: str,
    file: str | os.PathLike | BinaryIO,
    channels: int,
    size: int = 0,
    alpha: str = "white",
) -> np.ndarray:
    """Decodes one image, the first of several; turned upright where its EXIF orientation says so.

    Args:
        where: names the image in errors.
        file: a path or an open binary file.
        channels: 1 (greyscale), 3 (RGB) or 4 (RGBA), to which the image is converted.
        size: 0 leaves the image as large as it is; else its shorter side is resized to this many pixels
            (bilinear, antialiased) and the centre is cropped.
        alpha: what shows through where the image is transparent, "white" or "black"; of 4 channels nothing does.

    Returns:
        uint8 `[H, W, channels]`; H = W = size if that is given.

    Raises:
        UnreadableImage: not an image, or a damaged one.
        UserError: one of more than 8 bits a channel, or a file that cannot be read at all.
    """
    from PIL import Image, ImageOps

    with _reading(where), Image.open(file) as image:
        _check_depth(where, image)
        if _orientation(image) != 1:
            image = ImageOps.exif_transpose(image)
        if channels != 4 and _is_transparent(image):
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, alpha), image)
        image = image if image.mode == MODES[channels] else image.convert(MODES[channels])
        pixels = np.asarray(_resize(image, size) if size else image)
    return pixels[..., None] if channels == 1 else pixels


def read_picture(where: str, file: str | os.PathLike | BinaryIO) -> np.ndarray:
    """A picture as its file has it: uint8, or of grey ones of 16 bits uint16, `[H, W, 1]` or `[H, W, 3]`.

    Turned upright, and put on white where it is transparent, as `decode_image` does.

    Raises:
        UnreadableImage: not an image, or a damaged one.
        UserError: colours of more than 8 bits, several pictures, or a file that cannot be read at all.
    """
    from PIL import Image, ImageOps

    with _reading(where), Image.open(file) as image:
        if (frames := _frames(image)) > 1:
            raise UserError(
                f"{where} holds {frames} pictures, of which the first alone would be read; save each as its own file"
            )
        if image.mode.startswith("I;16") or image.mode == "I":
            x = np.asarray(ImageOps.exif_transpose(image))[..., None]
            if x.min() < 0 or x.max() > np.iinfo(np.uint16).max:
                raise UserError(f"{where} has more than 16 bits a pixel; convert it to 16 or 8")
            return x.astype(np.uint16)
        grey = image.mode in GREY_MODES
    return decode_image(where, file, 1 if grey else 3)


def _check_depth(where: str, image) -> None:
    """Refuses more than 8 bits a channel, of which Pillow would keep 8 or fewer without a word."""
    raw = str([tile[3] for tile in image.tile])  # as the file holds it: "RGB;16B"
    if image.mode.startswith(DEEP_MODES) or ";16" in raw or ";12" in raw:
        raise UserError(f"{where} has more than 8 bits a channel ({image.mode}); convert it to 8")


def _orientation(image) -> int:
    """As EXIF numbers it; of a PNG, what stands before the pixels, which are read to look behind them."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return image.getexif().get(_ORIENTATION, 1)


def _frames(image) -> int:
    # The second picture of a camera's MPO file is a preview.
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def _is_transparent(image) -> bool:
    return image.mode in ALPHA_MODES or "transparency" in image.info


def _resize(image, size: int):
    from PIL import Image

    shorter = min(image.size)
    width, height = (max(size, round(side * size / shorter)) for side in image.size)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))
