"""Image files to uint8 arrays, with Pillow."""

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from unsupjax.errors import UserError

MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by number of channels
GREY_MODES = ("1", "L")
DEEP_MODES = ("I", "F")  # more than 8 bits a channel, as "I;16": Pillow would clip them


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


def header(path: str) -> tuple[tuple[int, int], bool]:
    """(width, height) of an image file and whether it is greyscale, without decoding it; raises as `decode_image`."""
    from PIL import Image

    with _reading(path), Image.open(path) as image:
        return image.size, image.mode in GREY_MODES


def decode_image(where: str, file: str | os.PathLike | BinaryIO, channels: int, size: int = 0) -> np.ndarray:
    """Decodes one image.

    Args:
        where: names the image in errors.
        file: a path or an open binary file.
        channels: 1 (greyscale), 3 (RGB) or 4 (RGBA), to which the image is converted.
        size: 0 leaves the image as large as it is; else its shorter side is resized to this many pixels
            (bilinear, antialiased) and the centre is cropped.

    Returns:
        uint8 `[H, W, channels]`; H = W = size if that is given.

    Raises:
        UnreadableImage: not an image, or a damaged one.
        UserError: one of more than 8 bits a channel, or a file that cannot be read at all.
    """
    from PIL import Image

    with _reading(where), Image.open(file) as image:
        if image.mode.startswith(DEEP_MODES):
            raise UserError(f"{where} has more than 8 bits a channel ({image.mode}); convert it to 8")
        image = image if image.mode == MODES[channels] else image.convert(MODES[channels])
        pixels = np.asarray(_resize(image, size) if size else image)
    return pixels[..., None] if channels == 1 else pixels


def _resize(image, size: int):
    from PIL import Image

    shorter = min(image.size)
    width, height = (max(size, round(side * size / shorter)) for side in image.size)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))
