"""`toy:NAME`: narrow Gaussians in the plane, on which a generative model shows whether it covers all modes."""

import numpy as np

from unsupjax.data.splits import ArraySplit, Parts
from unsupjax.errors import choose

EXAMPLES = 50_000


def _ring(n: int, radius: float) -> np.ndarray:
    angles = 2 * np.pi * np.arange(n) / n
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _grid(side: int, spacing: float) -> np.ndarray:
    ticks = spacing * (np.arange(side) - (side - 1) / 2)
    return np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)


# Centres `[K, 2]` and the standard deviation. Metz et al., "Unrolled generative adversarial networks", ICLR 2017, and
# Lin et al., "PacGAN: the power of two samples in generative adversarial networks", NeurIPS 2018.
MIXTURES = {"ring8": (_ring(8, 2.0), 0.02), "grid25": (_grid(5, 2.0), 0.05)}


def open_toy(source: str, path: str) -> Parts:
    """50,000 points of a mixture with equal weights, always the same ones; the label is the mode."""
    centers, std = choose("config.data.source", path, MIXTURES)
    rng = np.random.default_rng(0)
    y = rng.integers(0, len(centers), EXAMPLES).astype(np.int32)
    x = centers[y] + std * rng.normal(size=(EXAMPLES, 2))
    return Parts(ArraySplit(x, y), None, tuple(map(str, range(len(centers)))))
