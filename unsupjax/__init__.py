"""Unsupervised and self-supervised deep learning as pure functions in JAX and Flax."""

__version__ = "0.1.0"
