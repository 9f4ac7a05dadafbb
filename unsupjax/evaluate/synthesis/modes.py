"""Which classes of a labelled mixture the samples of a method reach."""

import numpy as np

from unsupjax import generation as measures
from unsupjax.evaluate import require
from unsupjax.evaluate.subject import Subject, flat
from unsupjax.evaluate.synthesis.generation import drawn


def modes(
    subject: Subject, *, n: int = 10_000, deviations: float = 3.0, least: float = 0.1
) -> dict[str, float]:
    """How samples spread over the classes, each taken for a Gaussian, in the space of inputs.

    For data that is such a mixture, as rings and grids of Gaussians are. The centres are the means of the classes of
    the training set, and one standard deviation along each axis is pooled over elements and classes.

    Args:
        subject: what is judged.
        n: number of samples.
        deviations: a sample within so many standard deviations of its nearest centre is of high quality.
        least: a mode is covered by that part of its uniform share of all samples, or more, near it.

    Returns:
        `modes_covered`, of `modes_total`; `modes_high_quality`, a share of all samples, beside
        `modes_high_quality_real`, the same of the test examples, and `modes_high_quality_ideal`, that of Gaussians in
        so many dimensions; and `modes_kl`, the divergence of the samples' modes from uniform, in nats.

    Raises:
        UserError: the method cannot sample; there are no labels, or fewer than two classes.

    Source: as `unsupjax.generation.mode_coverage` says.
    """
    y = require.labels(subject.y_train, "modes")
    x, test = (flat(a).astype(np.float64) for a in (subject.x_train, subject.x_test))
    classes, own = np.unique(y, return_inverse=True)
    centers = np.stack([x[own == i].mean(axis=0) for i in range(len(classes))])
    std = float(np.sqrt(np.mean(np.square(x - centers[own]))))
    if std == 0:
        raise require.missing(
            "modes", "classes that spread", "choose data whose examples differ within classes"
        )
    samples = drawn(subject, n, "modes").reshape(n, -1)
    found, real = (
        measures.mode_coverage(a, centers, std, deviations=deviations, least=least) for a in (samples, test)
    )
    return {
        "modes_covered": float(found.covered),
        "modes_total": float(len(classes)),
        "modes_high_quality": found.high_quality,
        "modes_high_quality_real": real.high_quality,
        "modes_high_quality_ideal": measures.share_within(x.shape[1], deviations),
        "modes_kl": found.kl,
    }
