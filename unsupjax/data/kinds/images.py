"""Pictures."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.data.kinds.seen import as_float32, example
from unsupjax.errors import UserError

WHITE = 255


class Images(NamedTuple):
    """Pictures of one size: stored as uint8 `[N, H, W, C]`, seen as float32 in [0, 1].

    Attributes:
        shape: (H, W, C) of one.
    """

    shape: tuple[int, ...]
    name = "images"

    def prepare(self, raw: Any) -> np.ndarray:
        """uint8 `[N, H, W, C]`, or `[N, H, W]` of one channel, as it is stored.

        Raises:
            UserError: another shape, or another dtype: floating pictures have no range of their own to scale by.
        """
        x = np.asarray(raw)
        x = x[..., None] if x.shape[1:] == self.shape[:-1] and self.shape[-1] == 1 else x
        if x.dtype != np.uint8 or x.shape[1:] != self.shape:
            raise UserError(f"pictures are {x.dtype} of shape {x.shape[1:]}, where uint8 {self.shape} belong")
        return x

    def see(self, stored: jax.Array) -> jax.Array:
        """Float32: uint8 divided by 255; floating numbers, which are seen already, as they are.

        Raises:
            UserError: other integers, whose range is not known, or another shape.
        """
        if stored.dtype == jnp.uint8:
            return as_float32(self, stored) / WHITE
        if not jnp.issubdtype(stored.dtype, jnp.floating):
            raise UserError(f"pictures are {stored.dtype}; give uint8, or floating numbers in [0, 1]")
        return as_float32(self, stored)

    def restore(self, seen: np.ndarray) -> np.ndarray:
        """uint8, rounded; what leaves [0, 1] is clipped, as a file would."""
        return np.rint(WHITE * np.clip(seen, 0, 1)).astype(np.uint8)

    def example(self) -> jax.ShapeDtypeStruct:
        """Of one seen example."""
        return example(self)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": self.name, "shape": list(self.shape)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Images":
        """The inverse of `to_json`, less the name."""
        return cls(tuple(int(n) for n in fields["shape"]))
