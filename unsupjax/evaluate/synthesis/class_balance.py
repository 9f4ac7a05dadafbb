"""Whether a method samples all classes alike, as a classifier sees them."""

import numpy as np

from unsupjax import generation as measures
from unsupjax.evaluate import require
from unsupjax.evaluate.representation.linear_probe import standardized
from unsupjax.evaluate.subject import Subject, random_subset
from unsupjax.evaluate.synthesis import reference
from unsupjax.evaluate.synthesis.generation import drawn


def class_balance(
    subject: Subject,
    *,
    encoder: str = "inputs",
    n: int = 10_000,
    examples: int = 10_000,
    max_iter: int = 1000,
) -> dict[str, float]:
    """The classes of samples by logistic regression on features of labelled training examples.

    Args:
        subject: what is judged.
        encoder: as `generation` has it.
        n: number of samples.
        examples: labelled training examples that the classifier is fitted to, at most, drawn at random.
        max_iter: limit on L-BFGS iterations; scikit-learn warns where it is reached.

    Returns:
        `class_balance_accuracy`, of the classifier on test examples: it bounds what the rest can tell;
        `class_balance_smallest` and `class_balance_largest`, the shares of the rarest and the most frequent of the
        K classes times K, both 1 for balanced samples and the former 0 where a class is missing; and
        `class_balance_kl`, the divergence of the shares from uniform, in nats. The names end as those of
        `generation` do.

    Raises:
        UserError: the method cannot sample; samples are not finite; there are no labels, or fewer than two classes;
            no such encoder, or one for inputs of another shape.
    """
    from sklearn.linear_model import LogisticRegression

    y_train, y_test = (require.labels(y, "class_balance") for y in (subject.y_train, subject.y_test))
    judge = reference.load(encoder)
    rows = random_subset(subject.key, len(y_train), examples)
    classes, y = np.unique(require.labels(y_train[rows], "class_balance"), return_inverse=True)
    samples = judge.encode(drawn(subject, n, "class_balance"))
    train, others = standardized(
        judge.encode(subject.x_train[rows]), np.concatenate([judge.encode(subject.x_test), samples])
    )
    classifier = LogisticRegression(max_iter=max_iter).fit(train, y)
    test_class, sample_class = np.split(classifier.predict(others), [len(y_test)])
    share = np.bincount(sample_class, minlength=len(classes)) / n
    results = {
        "accuracy": float(np.mean(classes[test_class] == y_test)),
        "smallest": float(len(classes) * share.min()),
        "largest": float(len(classes) * share.max()),
        "kl": measures.kl_from_uniform(share),
    }
    return {f"class_balance_{name}_{judge.label}": value for name, value in results.items()}
