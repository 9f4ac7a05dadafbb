"""Whether a method samples copies of its training examples."""

from unsupjax import generation as measures
from unsupjax.errors import UserError
from unsupjax.evaluate.subject import Subject, random_subset
from unsupjax.evaluate.synthesis import reference
from unsupjax.evaluate.synthesis.generation import drawn


def memorisation(subject: Subject, *, encoder: str = "inputs", n: int = 10_000) -> dict[str, float]:
    """Distances of samples to their nearest training examples, against those of test examples.

    Args:
        subject: what is judged.
        encoder: as `generation` has it.
        n: samples, and at most so many test examples.

    Returns:
        `memorisation_ratio`, of the median distances: 1 for new examples, 0 for copies; and `memorisation_share`
        of samples nearer to a training example than 99 % of test examples are: 0.01 for new examples, 1 for copies.
        The names end as those of `generation` do.

    Raises:
        UserError: the method cannot sample; samples are not finite; no such encoder, or one for inputs of another
            shape; most test examples are training examples.
    """
    judge = reference.load(encoder)
    x_test = subject.x_test[random_subset(subject.key, len(subject.x_test), n)]
    sets = (drawn(subject, n, "memorisation"), subject.x_train, x_test)
    try:
        found = measures.memorisation(*map(judge.encode, sets))
    except ValueError as error:
        raise UserError(f"config.evaluate.run: {error}; take 'memorisation' out of the list") from error
    return {
        f"memorisation_ratio_{judge.label}": found.distance_ratio,
        f"memorisation_share_{judge.label}": found.close_share,
    }
