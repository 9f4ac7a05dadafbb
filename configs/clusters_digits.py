"""k-means, hierarchical clustering and density-based clustering of digits, side by side: on pixels, and on the codes of
an autoencoder.

    python train.py --config=configs/clusters_digits.py

One CPU core of a busy machine: 25 seconds. NMI on pixels and on codes: k-means 0.737, 0.677; Ward 0.826, 0.739; DBSCAN
0.713, 0.657 (a quarter of the digits noise); HDBSCAN 0.631, 0.529; single linkage near 0.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "digits", "holdout": 0.5},
        method={"name": "autoencoder", "latent_dim": 10},
        encoder={"name": "mlp", "features": (256, 128)},
        decoder={"name": "mlp", "features": (128, 256)},
        optimizer={"name": "adam", "learning_rate": 1e-3},
        schedule={"name": "cosine"},
        train={"batch_size": 128, "steps": 2000},
        evaluate={
            "run": ("clusterings",),
            "figures": ("clustering_panels", "dendrogram", "tsne"),
        },
    )
