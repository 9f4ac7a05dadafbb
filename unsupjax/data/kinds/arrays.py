"""Arrays of any meaning: embeddings, measurements, what is neither a picture nor a table."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from unsupjax.data.kinds.seen import as_float32, example
from unsupjax.errors import UserError


class Arrays(NamedTuple):
    """Float32 as it is; nothing is scaled or guessed.

    Attributes:
        shape: of one example.
    """

    shape: tuple[int, ...]
    name = "arrays"

    def prepare(self, raw: Any) -> np.ndarray:
        """Numbers `[N, *shape]` to float32; UserError for another shape or dtype."""
        x = np.asarray(raw)
        if x.dtype.kind not in "biuf" or x.shape[1:] != self.shape:
            raise UserError(
                f"examples are {x.dtype} of shape {x.shape[1:]}, where numbers {self.shape} belong"
            )
        return x.astype(np.float32)

    def see(self, stored: jax.Array) -> jax.Array:
        """Float32; UserError for another shape."""
        return as_float32(self, stored)

    def restore(self, seen: np.ndarray) -> np.ndarray:
        """As they are."""
        return np.asarray(seen)

    def example(self) -> jax.ShapeDtypeStruct:
        """Of one seen example."""
        return example(self)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": self.name, "shape": list(self.shape)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Arrays":
        """The inverse of `to_json`, less the name."""
        return cls(tuple(int(n) for n in fields["shape"]))
