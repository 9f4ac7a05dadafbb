"""What an evaluator or figure may need of its subject, or the `UserError` that says what is missing."""

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from unsupjax.errors import UserError

if TYPE_CHECKING:  # which brings all methods with it, and their networks
    from unsupjax.evaluate.judge import Facts
    from unsupjax.methods.base import Method


def missing(user: str, what: str, mend: str) -> UserError:
    """The error of an evaluator or figure `user` that lacks `what`."""
    return UserError(f"config.evaluate.run: {user!r} needs {what}; {mend}, or take {user!r} out of the list")


def labels(y: np.ndarray | None, user: str) -> np.ndarray:
    """The labels `[N]`, of at least two classes."""
    if y is None:
        raise missing(user, "labels, and this data set has none", "choose a labelled data set")
    if len(np.unique(y)) < 2:
        raise missing(user, "two classes, and all labels are the same", "choose data with more classes")
    return np.asarray(y)


def normal(indices: tuple[int, ...] | None, names: Iterable, user: str) -> tuple[int, ...]:
    """The labels of normal examples, where somebody said which these are: nobody can guess it."""
    if indices is None:
        listed = ", ".join(str(name) for name in list(names)[:20])
        raise missing(
            user,
            f"to know which class is normal, of {listed}",
            "set config.data.normal_label to one or several",
        )
    return indices


def reads(kind: Any, user: str) -> None:
    """Refuses data that new texts cannot become."""
    if kind.name != "tokens" and not getattr(kind, "words", ""):
        raise missing(user, f"texts, and this is {kind.name} of none", "choose a source of texts")


def texts(kind: Any, x: np.ndarray) -> np.ndarray:
    """What examples of texts say, strings `[N]`: of rows of words, these words."""
    found = kind.restore(np.asarray(x))
    made = np.empty(len(found), object)
    for i, text in enumerate(found):
        counts = (
            text.items()
            if isinstance(text, Mapping)
            else ()
            if isinstance(text, str)
            else ((w, 1) for w in text)
        )
        made[i] = text if isinstance(text, str) else " ".join(word for word, n in counts for _ in range(n))
    return made


def function(method: "Method", name: str, user: str) -> Callable:
    """The optional function `name` of the method (`"decode"`, `"sample"`, `"log_prob"`)."""
    fn = getattr(method, name)
    if fn is None:
        raise missing(user, f"a method with `{name}`, and this one has none", "choose a method that has it")
    return fn


def score(method: "Method", user: str) -> None:
    """Refuses a method that says of no example how strange it is."""
    if method.surprise is None:
        function(method, "decode", user)


def conditional(method: "Method", user: str) -> int:
    """How many classes the method models, whose samples are then of known classes."""
    if not method.wants.labels:
        raise missing(
            user,
            "a model of classes, and this one sees no labels",
            "set config.method.labels to the number of classes, of a method that has it",
        )
    return method.wants.labels


def package(name: str, user: str) -> None:
    """Raises the `UserError` of a Python package that is not installed, with the command that installs it."""
    if importlib.util.find_spec(name) is None:
        raise missing(user, f"the package {name}, which is not installed", f"`pip install {name}`")


def images(x: np.ndarray, user: str) -> tuple[int, int, int]:
    """The shape (H, W, C) of inputs that can be shown as images."""
    if not is_image(x):
        raise missing(user, f"images of 1 or 3 channels, and one input is {x.shape[1:]}", "choose image data")
    return x.shape[1:]


def check_images(arguments: Mapping[str, Any], facts: "Facts") -> None:
    """Refuses, at the start of a run, inputs that cannot be shown as images."""
    shape = facts.kind.shape
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise UserError(
            f"a figure of config.evaluate needs images of 1 or 3 channels, and one input is {shape}; choose image "
            "data, or take 'filters' and 'views' out of the lists"
        )


def is_image(x: np.ndarray) -> bool:
    """Whether x is `[N, H, W, C]` with 1 or 3 channels."""
    return x.ndim == 4 and x.shape[-1] in (1, 3)
