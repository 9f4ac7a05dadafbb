"""How well a self-organizing map represents held-out examples, and keeps their neighbourhoods."""

from collections.abc import Callable

import numpy as np

from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.subject import Subject, lasting, map_batches, random_subset
from unsupjax.som import Map, quality
from unsupjax.som.grid import usual_neighbours


def som(subject: Subject, *, neighbours: int = 0, k: int = 10, examples: int = 5000) -> dict[str, float]:
    """Scores of a self-organizing map on the test examples, in the space of its units.

    The quantization error is the mean distance of an example to its best-matching unit; the topographic error
    the fraction of examples whose best and second-best units are no neighbours on the grid (Kiviluoto 1996); the
    topographic product compares neighbour ranks on the grid and between codebook vectors, below 0 for a grid of
    too few dimensions and above 0 for one of too many (Bauer and Pawelzik 1992); the trustworthiness is 1 where
    examples that are neighbours on the map are neighbours in the data (Venna and Kaski 2001).

    Args:
        subject: what is judged.
        neighbours: which units are neighbours: 4 or 8 around one on a rectangular grid, 6 on a hexagonal one;
            0: 8 or 6.
        k: number of neighbours that trustworthiness looks at; lowered to below half the examples where they are few.
        examples: at most so many test examples, drawn at random, enter the trustworthiness, whose cost is
            quadratic.

    Returns:
        `som_quantization_error`, `som_topographic_error_{neighbours}`, `som_topographic_product`,
        `som_trustworthiness` (left out where entries are missing).

    Raises:
        UserError: the method has no map; the grid has no such neighbourhood.
    """
    found, points = located(subject, subject.x_test, "som")
    count, missing = neighbours or usual_neighbours(found.grid), bool(np.isnan(points).any())
    try:
        topographic_error = quality.topographic_error(found, points, count, missing)
    except ValueError as error:
        raise UserError(f"config.evaluate.som.neighbours={neighbours}: {error}") from error
    results = {
        "som_quantization_error": quality.quantization_error(found, points, missing),
        f"som_topographic_error_{count}": topographic_error,
        "som_topographic_product": quality.topographic_product(found),
    }
    if not missing:
        some = points[random_subset(subject.key, len(points), examples)]
        score = quality.trustworthiness(found, some, min(k, (len(some) - 1) // 2))
        results["som_trustworthiness"] = score
    return results


def located(subject: Subject, x: np.ndarray, user: str) -> tuple[Map, np.ndarray]:
    """The map of a method, and examples x in the space of its units: float32 `[N, D]`.

    Raises:
        UserError: the method has no map; `user` is the evaluator or figure that wants one.
    """
    locate = require.function(subject.method, "map", user)
    points = map_batches(_points(locate), x, 512, subject.state)
    return locate(subject.state, x[:1])[0], points


@lasting
def _points(locate: Callable) -> Callable:
    return lambda state, x: locate(state, x)[1]
