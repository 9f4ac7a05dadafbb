"""Time to compress and to decompress a megapixel, beside WebP and AVIF in the same run.

    python -m benchmarks.pictures RUN PICTURE [--quality=32]

The picture is tiled to 1024 x 1024. Peers are written by Pillow at the quality whose size is nearest. Seconds are of
this process's CPU, all threads together, the best of three.
"""

import argparse
import io
import time

import numpy as np
from PIL import Image

import unsupjax
from unsupjax.data.pictures import decode_image
from unsupjax.evaluate.fidelity.picture_scores import psnr
from unsupjax.evaluate.fidelity.rate_distortion import PEERS


def seconds(use):
    """Of the CPU, the best of three, and what it gives."""
    best, made = np.inf, None
    for _ in range(3):
        start = time.process_time()
        made = use()
        best = min(best, time.process_time() - start)
    return best, made


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("picture")
    parser.add_argument("--quality", type=int, default=32)
    options = parser.parse_args()
    model = unsupjax.load(options.run)
    x = decode_image(options.picture, options.picture, model.kind.shape[-1])
    x = np.tile(x, (-(-1024 // x.shape[0]), -(-1024 // x.shape[1]), 1))[:1024, :1024]
    encode, content = seconds(lambda: model.compress(x, options.quality))
    decode, made = seconds(lambda: model.decompress(content))
    line = "{:10} {:>9} bytes  {:6.2f} dB  encode {:7.3f} s  decode {:7.3f} s".format
    print(line("codec", len(content), psnr(made, x), encode, decode))
    image = Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x)
    for name in ("webp", "avif"):
        form, arguments, _ = PEERS[name]
        sizes = {}
        for quality in range(5, 100, 5):
            file = io.BytesIO()
            image.save(file, form, **arguments(quality))
            sizes[quality] = abs(file.tell() - len(content))
        quality = min(sizes, key=sizes.get)

        def write(quality=quality, form=form, arguments=arguments):
            file = io.BytesIO()
            image.save(file, form, **arguments(quality))
            return file.getvalue()

        encode, written = seconds(write)
        decode, back = seconds(
            lambda written=written: np.asarray(Image.open(io.BytesIO(written)).convert(image.mode))
        )
        print(line(name, len(written), psnr(back.reshape(x.shape), x), encode, decode))


if __name__ == "__main__":
    main()
