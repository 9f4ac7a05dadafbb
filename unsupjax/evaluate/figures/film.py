"""Pictures joined into an animation."""

import pathlib
from collections.abc import Sequence


def animate(frames: Sequence[pathlib.Path], path: str | pathlib.Path, *, milliseconds: int = 200) -> None:
    """Writes PNG files, in their order, as a GIF that runs for ever and rests on the last.

    Args:
        frames: the files, at least one; all are scaled to the size of the first.
        path: the GIF to write.
        milliseconds: each frame is shown for.
    """
    from PIL import Image

    images = [Image.open(frame).convert("RGB") for frame in frames]
    images = [image.resize(images[0].size) for image in images]
    durations = [milliseconds] * (len(images) - 1) + [8 * milliseconds]
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0)
