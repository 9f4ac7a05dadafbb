"""A DCGAN on MNIST with a relativistic loss and zero-centred gradient penalties.

    python train.py --config=configs/gan_mnist.py

The plain DCGAN that it is compared with:

    python train.py --config=configs/gan_mnist.py --config.method.loss=non_saturating --config.method.penalty="" \\
        --config.method.ema=0.0 --config.discriminator.norm=batch \\
        --config.generator_optimizer.learning_rate=2e-4 --config.discriminator_optimizer.learning_rate=2e-4 \\
        --workdir=runs/gan_mnist_plain

On one CPU core 12 minutes. Fréchet distance in the packaged encoder 0.019 against 0.052 of the plain one (real training
images 0.009), area under the ROC curve of the two-sample test .654 against .712 (.542), precision .78 and recall .94;
seed 0.
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={"source": "tfds:mnist"},
        method={"name": "gan", "loss": "relativistic", "penalty": "r1_r2", "penalty_weight": 0.5},
        generator={"name": "dcgan", "width": 32},
        discriminator={"name": "dcgan", "width": 32, "dense": (256,), "norm": "none"},
        generator_optimizer={"name": "adam", "learning_rate": 5e-4, "b1": 0.5, "b2": 0.99},
        discriminator_optimizer={"name": "adam", "learning_rate": 5e-4, "b1": 0.5, "b2": 0.99},
        schedule={"name": "cosine"},
        train={"batch_size": 64, "epochs": 10.0},
        checkpoint={"every": 938, "best_metric": ""},
        evaluate={
            "run": ("generation", "class_balance", "memorisation"),
            "figures": ("samples", "interpolations"),
            "film": ("samples",),
            "generation": {"encoder": "mnist"},
            "class_balance": {"encoder": "mnist"},
            "memorisation": {"encoder": "mnist"},
        },
    )
