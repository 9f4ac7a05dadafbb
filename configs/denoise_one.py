"""A denoiser for one noisy photograph, trained on it alone.

    python train.py --config=configs/denoise_one.py --config.data.source=folder:PATH --config.method.simulated=0.0
    unsupjax denoise RUN PATH --out=FOLDER

PATH holds one picture, of at least 129 pixels a side, which is trained on and denoised; its noise is independent from
pixel to pixel. As it stands, noise is put on two clean photographs, and nothing clean is learnt from.

In 42 to 52 seconds of a CPU core for each of four pictures of Set12 (01, 04, 07, 10) as 8-bit files, sigma 25: mean
28.01 dB; of the same files wavelets with shifts make 27.50, non-local means 28.11, both told sigma.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "photographs", "tile": 128},
        method={"name": "blind_spot", "pairs": "neighbours", "simulated": 25.0, "ema": 0.99},
        restorer={"name": "dncnn", "features": 32, "layers": 5},
        optimizer={"name": "muon", "learning_rate": 5e-3, "weight_decay": 0.0, "clip_norm": 1.0},
        schedule={"name": "cosine", "warmup": 0.02},
        train={"batch_size": 4, "steps": 1000, "log_every": 100},
        checkpoint={"every": 1000, "keep": 1},
        evaluate={"run": (), "figures": ()},
    )
