"""A masked autoencoder on CIFAR-10 with a ViT-Tiny whose patches are of 2 x 2 pixels, 64 of 256 of them visible.

    python train.py --config=configs/masked_patches_cifar10.py --config.dtype=bfloat16

That is for an accelerator, and has not been run. The same size of network and of patches, pre-trained for 2,000 epochs:
89.77 % when it is fine-tuned on all labels, and 74.13 % from scratch (github.com/IcarusWizard/MAE). On a CPU, a narrow
network with patches of 4 x 4:

    python train.py --config=configs/masked_patches_cifar10.py --config.network.patch_size=4 \\
        --config.network.width=128 --config.network.depth=4 --config.network.heads=4 --config.network.mlp_ratio=2 \\
        --config.network.decoder_width=64 --config.network.decoder_depth=1 --config.network.norm=rms \\
        --config.network.mlp=relu2 --config.train.batch_size=64 --config.train.epochs=8 \\
        --config.optimizer.learning_rate=2e-3 --config.evaluate.fine_tune.epochs=10 \\
        --config.evaluate.fine_tune.fractions="(0.01, 0.1)" --workdir=runs/masked_cifar10_small

Test accuracy, seed 0, an hour on a core: linear probe 55.3 %, kNN 46.1 %; fine-tuned on 1 % of the labels 34.1 %, the
same network from scratch 30.0 %; on 10 % 52.6 and 41.7 %.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "tfds:cifar10"},
        method={"name": "masked_patches"},
        network={
            "name": "patches",
            "patch_size": 2,
            "width": 192,
            "depth": 12,
            "heads": 3,
            "decoder_width": 192,
            "decoder_depth": 4,
        },
        optimizer={"name": "adamw", "learning_rate": 1.5e-3, "b2": 0.95, "weight_decay": 0.05},
        schedule={"name": "cosine", "warmup": 0.05},
        train={"batch_size": 512, "epochs": 400.0},
        cpu_devices=0,
        evaluate={
            "run": ("completion", "knn", "linear_probe", "rank_me", "fine_tune"),
            "fine_tune": {
                "fractions": (0.01, 0.1, 1.0),
                "from_scratch": True,
                "epochs": 50,
                "learning_rate": 1e-3,
                "weight_decay": 0.05,
            },
            "figures": ("completions", "label_efficiency", "tsne"),
        },
    )
