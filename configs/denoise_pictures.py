"""A blind denoiser of photographs of any size, trained on clean ones of your own.

    python train.py --config=configs/denoise_pictures.py --config.data.source=folder:PATH
    unsupjax denoise RUN PICTURES --out=FOLDER

On 400 grey pictures of BSDS500 (`--config.data.tile=180 --config.data.grey=True`), 18 minutes of one CPU core. Set12 at
sigma 15, 25 and 50: PSNR 31.90, 29.57 and 26.23 dB, SSIM .887, .840 and .744.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "photographs", "tile": 128},
        method={"name": "denoiser"},
        restorer={"name": "unet"},
        optimizer={"name": "muon", "learning_rate": 3e-3, "weight_decay": 0.0, "clip_norm": 1.0},
        schedule={"name": "cosine", "warmup": 0.02},
        train={"batch_size": 16, "steps": 3000},
        checkpoint={"every": 500, "keep": 1},
        cpu_devices=0,
        evaluate={"run": ("denoising",), "figures": ("denoised",)},
    )
