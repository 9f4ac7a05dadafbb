"""A codec of photographs for all qualities, learned from your own.

    python train.py --config=configs/codec_pictures.py --config.data.source=folder:PATH
    unsupjax compress RUN PICTURES --out=FOLDER --quality=32
    unsupjax decompress RUN FOLDER --out=PICTURES

On 400 grey pictures of BSDS500 (`--config.data.tile=180 --config.data.grey=True`), half of the steps in 6 minutes of
one CPU core. Kodak 01-12 in grey, BD-rate over PSNR from 29.7 to 40 dB: -38.1 % against JPEG, -5.8 % against WebP; over
MS-SSIM -6.0 % and +6.3 %. In colour, all steps on 200 photographs in 25 minutes of two cores that others used as well:
-42.9 % against JPEG, -11.9 % against WebP, +7.8 % against AVIF, over 29.5 to 38 dB; over MS-SSIM -26.6, -7.4, +30.5 %.

By MS-SSIM, with `--config.method.distortion=ms_ssim`, 1,000 steps on 372 of those grey pictures in 8 minutes of a core:
-28.0 % against JPEG over MS-SSIM, -21.0 % against WebP, +2.6 % against AVIF; over PSNR -28.2, +8.4 and +26.0 %.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "photographs", "tile": 144},
        method={"name": "codec", "crop": 144},
        optimizer={"name": "adam", "learning_rate": 1e-3, "clip_norm": 1.0},
        schedule={"name": "cosine", "warmup": 0.02},
        train={"batch_size": 8, "steps": 3000},
        checkpoint={"every": 500, "keep": 1},
        evaluate={"run": ("rate_distortion",), "figures": ("rate_curves", "compressed")},
    )
