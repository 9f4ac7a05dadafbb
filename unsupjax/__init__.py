"""Unsupervised and self-supervised deep learning as pure functions in JAX and Flax."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unsupjax.model import Model as Model
    from unsupjax.model import load as load

__version__ = "0.2.0"
_LAZY = ("load", "Model")  # of `unsupjax.model`, which is imported when they are asked for


def __getattr__(name: str):
    if name in _LAZY:
        from unsupjax import model

        return getattr(model, name)
    raise AttributeError(f"module 'unsupjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_LAZY]
