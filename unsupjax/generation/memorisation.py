"""Whether samples are copies of training examples."""

from typing import NamedTuple

import jax
import numpy as np

from unsupjax.numerics import checks, nearest


class Memorisation(NamedTuple):
    """What `memorisation` finds.

    Attributes:
        distance_ratio: median distance of samples to the nearest training example over that of held-out examples.
        close_share: share of samples nearer to a training example than 99 % of held-out examples are.
    """

    distance_ratio: float
    close_share: float


def memorisation(generated: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> Memorisation:
    """Distances of samples to their nearest training examples, against those of held-out real examples.

    A perfect model's samples are like held-out examples: a ratio of 1 and a share of 0.01. Copies of training
    examples have a ratio of 0 and a share of 1. A ratio well above 1 says that samples are far from all data;
    samples in the middle of the data, as blurred ones are, bring it below 1 without being copies: look at the nearest.

    Args:
        generated: `[N, D]`.
        train: what the model was trained on, `[T, D]`.
        held_out: examples of the same distribution that it was not trained on, `[M, D]`.

    Raises:
        ValueError: no tables of finite numbers, another D.
    """
    generated, train, held_out = (
        checks.rows(a, "memorisation").astype(np.float32, copy=False) for a in (generated, train, held_out)
    )
    if not generated.shape[1] == train.shape[1] == held_out.shape[1]:
        raise ValueError(
            "memorisation needs sets with the same features and got "
            f"{generated.shape}, {train.shape} and {held_out.shape}"
        )
    sample_distances, real_distances = (_to_nearest(a, train) for a in (generated, held_out))
    median = np.median(real_distances)
    if median == 0:
        raise ValueError(
            "memorisation: most held-out rows are training rows, and nothing can be nearer than those"
        )
    # `<=` and not `<`, which copies could not pass where a hundredth of held-out rows are copies themselves.
    close = sample_distances <= np.quantile(real_distances, 0.01)
    return Memorisation(float(np.median(sample_distances) / median), float(close.mean()))


def _to_nearest(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Distance of each row to the nearest training row, `[N]`."""
    return np.asarray(jax.jit(nearest.find)(x, train)[1], np.float64)
