"""Trains what a config describes: `python train.py --config=configs/NAME.py --workdir=runs/NAME`.

The same as `unsupjax train`. Fields are changed on the command line: `--config.method.latent_dim=16`. The same command
resumes an interrupted run; `--workdir=runs/NAME --evaluate_only` judges one that is there. On several hosts the same
command runs on each of them: docs/pods.md.
"""

import sys

from unsupjax.__main__ import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
