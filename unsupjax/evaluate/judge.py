"""What an evaluator or figure is to whoever calls it by name."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from unsupjax.data.kinds import Kind
from unsupjax.evaluate import require

if TYPE_CHECKING:  # which brings all methods with it, and their networks
    from unsupjax.methods.base import Method


OF_DATA = {"labels", "train labels", "normal"}  # needs that no method can fill


class Facts(NamedTuple):
    """What is known of the data of a run before it begins.

    Attributes:
        kind: what an example is.
        train, test: how many examples of each split evaluators will see.
        y_train, y_test: their labels, where these are known without reading the examples; else None.
        label_names: the names of all classes; None where there are no labels.
        normal: the indices of the normal ones; None: not said.
    """

    kind: Kind
    train: int
    test: int
    y_train: np.ndarray | None = None
    y_test: np.ndarray | None = None
    label_names: tuple[str, ...] | None = None
    normal: tuple[int, ...] | None = None


class Judge(NamedTuple):
    """An evaluator or a figure, and what it asks of a run before that begins.

    Attributes:
        run: `(subject, *, ...) -> dict[str, float]`, or for a figure `(subject, path, *, ...) -> None`; its
            keyword-only parameters are its hyperparameters.
        needs: what it cannot do without: "labels", of two classes in the test split, "train labels", of two classes in
            the training split as well, "normal", to know which classes are, "texts", data that are read as such,
            "score", a `surprise` or a `decode`, or an optional function of the method.
        kinds: the kinds of data that it judges, by name; empty: any.
        check: `(arguments, facts)`, which raises a `UserError` for what can be refused before training.
    """

    run: Callable
    needs: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    check: Callable | None = None

    def refuse(self, name: str, arguments: Mapping[str, Any], method: "Method", facts: Facts) -> None:
        """Raises the `UserError` of what it needs; but where there are no labels at all, it is left out."""
        kind = facts.kind
        if self.kinds and kind.name not in self.kinds:
            raise require.missing(
                name,
                f"data of the kind {' or '.join(self.kinds)}, and this is {kind.name} of shape {kind.shape}",
                "choose such data",
            )
        if "texts" in self.needs:
            require.reads(kind, name)
        for need in set(self.needs) - OF_DATA - {"texts"}:
            special = {"conditional": require.conditional, "score": require.score}
            special[need](method, name) if need in special else require.function(method, need, name)
        if facts.label_names is not None:
            self._refuse_labels(name, facts)
        elif OF_DATA & set(self.needs):
            return
        if self.check is not None:
            self.check(arguments, facts)

    def _refuse_labels(self, name: str, facts: Facts) -> None:
        known = {"labels": facts.y_test, "train labels": facts.y_train}
        for need, y in known.items():
            if need in self.needs and y is not None:
                require.labels(y, name)
        if "normal" in self.needs:
            require.normal(facts.normal, facts.label_names, name)
