"""Image files to uint8 arrays, with Pillow."""

import os
from typing import BinaryIO

import numpy as np

from unsupjax.errors import UserError

MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by number of channels
GREY_MODES = ("1", "L")
DEEP_MODES = ("I", "F")  # more than 8 bits a channel, as "I;16": Pillow would clip them


def header(path: str) -> tuple[tuple[int, int], bool]:
    """(width, height) of an image file and whether it is greyscale, without decoding it."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size, image.mode in GREY_MODES
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} is not a readable image ({error}); repair or remove it") from error


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
        UserError: not an image, a damaged one, or one of more than 8 bits a channel.
    """
    from PIL import Image

    try:
        with Image.open(file) as image:
            if image.mode.startswith(DEEP_MODES):
                raise UserError(f"{where} has more than 8 bits a channel ({image.mode}); convert it to 8")
            image = image if image.mode == MODES[channels] else image.convert(MODES[channels])
            pixels = np.asarray(_resize(image, size) if size else image)
    except UserError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{where} is not a readable image ({error}); repair or remove it") from error
    return pixels[..., None] if channels == 1 else pixels


def _resize(image, size: int):
    from PIL import Image

    shorter = min(image.size)
    width, height = (max(size, round(side * size / shorter)) for side in image.size)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))
