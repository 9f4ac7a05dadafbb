"""What an evaluator or figure is to whoever calls it by name."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from unsupjax.data.kinds import Kind
from unsupjax.evaluate import require

if TYPE_CHECKING:  # which brings all methods with it, and their networks
    from unsupjax.methods.base import Method


class Judge(NamedTuple):
    """An evaluator or a figure, and what it asks of a run before that begins.

    Attributes:
        run: `(subject, *, ...) -> dict[str, float]`, or for a figure `(subject, path, *, ...) -> None`; its
            keyword-only parameters are its hyperparameters.
        needs: what it cannot do without: "labels", or an optional function of the method.
        kinds: the kinds of data that it judges, by name; empty: any.
        check: `(arguments, kind)`, of the data, which raises a `UserError` for what can be refused before training.
    """

    run: Callable
    needs: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    check: Callable | None = None

    def refuse(self, name: str, arguments: Mapping[str, Any], method: "Method", kind: Kind) -> None:
        """Raises the `UserError` of what it needs but labels, whose lack leaves it out."""
        if self.kinds and kind.name not in self.kinds:
            raise require.missing(
                name,
                f"data of the kind {' or '.join(self.kinds)}, and this is {kind.name} of shape {kind.shape}",
                "choose such data",
            )
        for function in set(self.needs) - {"labels"}:
            require.function(method, function, name)
        if self.check is not None:
            self.check(arguments, kind)
