"""The machinery of one run's folder: what a config stands for, its loop, its checkpoints."""
