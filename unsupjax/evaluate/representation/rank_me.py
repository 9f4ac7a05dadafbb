"""How many dimensions the codes use, without labels."""

import numpy as np

from unsupjax.evaluate.subject import Subject, random_subset


def rank_me(subject: Subject, *, examples: int = 10_000) -> dict[str, float]:
    r"""Effective rank of the test codes and their spread on the unit sphere: both fall when codes collapse.

    RankMe is the exponential of the entropy of the singular values :math:`\sigma_k` of the codes, not centred:
    :math:`\exp(-\sum_k p_k \log p_k)` with :math:`p_k = \sigma_k / \sum_j \sigma_j + 10^{-7}`; about D where
    all directions are used alike, 1 where all codes are multiples of one. `code_std` is the standard deviation
    over examples of each feature of :math:`z / \|z\|`, averaged over features, times :math:`\sqrt D`: near 1
    where codes fill the sphere, 0 where all point the same way.

    Args:
        subject: what is judged.
        examples: at most so many test examples, drawn at random; the cost is theirs times the square of D.

    Returns:
        `rank_me`, from about 1 to the smaller of the number of codes and D, and `code_std`, in [0, 1].

    Source: Garrido et al., "RankMe: assessing the downstream performance of pretrained self-supervised
    representations by their rank", ICML 2023.
    """
    z = subject.z_test[random_subset(subject.key, len(subject.z_test), examples)].astype(np.float64)
    singular = np.linalg.svd(z, compute_uv=False)
    p = singular / max(singular.sum(), np.finfo(np.float64).tiny) + 1e-7
    length = np.linalg.norm(z, axis=1, keepdims=True)
    direction = z / np.where(length > 0, length, 1)
    return {
        "rank_me": float(np.exp(-np.sum(p * np.log(p)))),
        "code_std": float(direction.std(axis=0).mean() * np.sqrt(z.shape[1])),
    }
