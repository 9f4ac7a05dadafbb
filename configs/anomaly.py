"""Anomaly detection in a table of numbers: a denoising autoencoder trained on half of the normal rows.

    python train.py --config=configs/anomaly.py --config.data.source=npz:cardio.npz

One CPU core: seconds. AUROC on cardio: 0.964; on twelve tables: benchmarks/RESULTS.md.

The file holds X [N, D] and y [N], 0 for normal rows, as the ADBench data sets do; a csv with a label column works as
well. The score of a row is its squared reconstruction error; the held-out half of the normal rows and all others
are scored.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "npz:cardio.npz", "normal_label": 0, "holdout": 0.5},
        method={
            "name": "denoising",
            "latent_dim": 16,
            "corruption": "gaussian",
            "level": 0.1,
            "code_activation": "identity",
            "likelihood": "squared_error",
        },
        encoder={"name": "mlp", "features": (1024,), "activation": "tanh"},
        decoder={"name": "mlp", "features": (1024,), "activation": "tanh"},
        optimizer={"name": "adam", "learning_rate": 2e-3},
        schedule={"name": "cosine"},
        train={"batch_size": 128, "steps": 150, "log_every": 50},
        evaluate={"run": ("anomaly", "reconstruction"), "figures": ("scores", "reconstructions")},
    )
