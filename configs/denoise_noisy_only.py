"""A denoiser of photographs of any size, trained on noisy ones alone: your own, of one camera at one setting.

    python train.py --config=configs/denoise_noisy_only.py --config.data.source=folder:PATH \\
        --config.method.simulated=0.0

As it stands, noise is put on clean photographs, the same whenever one is seen, and nothing clean is learnt from.

On 400 grey pictures of BSDS500 (`--config.data.tile=180 --config.data.grey=True`), 560 steps in 6 minutes of one CPU
core: the noise estimated as 25.2 grey levels, Set12 at sigma 25 28.53 dB, SSIM .799.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "photographs", "tile": 128},
        method={"name": "blind_spot", "simulated": 25.0},
        restorer={"name": "unet"},
        optimizer={"name": "muon", "learning_rate": 3e-3, "weight_decay": 0.0, "clip_norm": 1.0},
        schedule={"name": "cosine", "warmup": 0.02},
        train={"batch_size": 16, "steps": 1000},
        checkpoint={"every": 500, "keep": 1},
        cpu_devices=0,
        evaluate={"run": ("denoising",), "denoising": {"sigmas": (25.0,)}, "figures": ("denoised",)},
    )
