"""A codec of photographs for all qualities, learned from your own.

python train.py --config=configs/codec_pictures.py --config.data.source=folder:PATH
unsupjax compress RUN PICTURES --out=FOLDER --quality=32
unsupjax decompress RUN FOLDER --out=PICTURES
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
