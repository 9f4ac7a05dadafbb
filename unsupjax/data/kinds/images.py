"""Pictures."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.data.kinds.seen import as_float32, example
from unsupjax.errors import UserError

WHITE = 255
CHANNELS = (1, 2, 3, 4)  # that a picture may have


class Images(NamedTuple):
    """Pictures of one size, seen as float32 in [0, 1]: `(value - low) / (high - low)`.

    uint8 is stored as it is, and always from 0 to 255; anything else is stored as it is seen.

    Attributes:
        shape: (H, W, C) of one.
        low, high: the least and the greatest value that a pixel can have.
        dtype: of the user's pictures: "uint8", another integer one, or "float32" of any floating one.
    """

    shape: tuple[int, ...]
    low: float = 0.0
    high: float = float(WHITE)
    dtype: str = "uint8"
    name = "images"

    def prepare(self, raw: Any) -> np.ndarray:
        """`[N, H, W, C]`, or `[N, H, W]` of one channel, as it is stored.

        Raises:
            UserError: another shape; another dtype than uint8 where the model was trained on that, since floating
                pictures have no range of their own to scale by; or a value that lies outside [low, high].
        """
        x = np.asarray(raw)
        x = x[..., None] if x.shape[1:] == self.shape[:-1] and self.shape[-1] == 1 else x
        known = x.dtype == np.uint8 or (self.dtype != "uint8" and x.dtype.kind in "iuf")
        if not known or x.shape[1:] != self.shape:
            turned = x.shape[1:] == (self.shape[-1], *self.shape[:-1])
            raise UserError(
                f"pictures are {x.dtype} of shape {x.shape[1:]}, where {self.dtype} {self.shape} belong"
                + ("; move the channels last: np.moveaxis(x, 1, -1)" if turned else "")
            )
        if x.dtype == np.uint8:
            return x
        low, high = (float(f(x)) if x.size else self.low for f in (np.min, np.max))
        slack = 1e-6 * (self.high - self.low)
        if not self.low - slack <= low <= high <= self.high + slack:
            raise UserError(
                f"pictures reach from {low:.6g} to {high:.6g}, where [{self.low:g}, {self.high:g}] belongs"
            )
        return ((x.astype(np.float64) - self.low) / (self.high - self.low)).astype(np.float32)

    def see(self, stored: jax.Array) -> jax.Array:
        """Float32: uint8 divided by 255; floating numbers, which are seen already, as they are.

        Raises:
            UserError: other integers, whose range is not known, or another shape; floating numbers of another range
                than [0, 1], by more than a half, where they can be looked at (under `jit` they cannot).
        """
        if stored.dtype == jnp.uint8:
            return as_float32(self, stored) / WHITE
        if not jnp.issubdtype(stored.dtype, jnp.floating):
            raise UserError(
                f"pictures are {stored.dtype}; give uint8, or what `kind.prepare` of the model makes of them"
            )
        if not isinstance(stored, jax.core.Tracer) and stored.size:
            low, high = float(stored.min()), float(stored.max())
            if low < -0.5 or high > 1.5:
                raise UserError(
                    f"pictures reach from {low:.6g} to {high:.6g}, and the model sees [0, 1]: give uint8, or what "
                    "`kind.prepare` of the model makes of them"
                )
        return as_float32(self, stored)

    def restore(self, seen: np.ndarray) -> np.ndarray:
        """In the user's range and dtype, integers rounded; what leaves [0, 1] is clipped, as a file would."""
        values = self.low + np.clip(np.asarray(seen), 0, 1) * (self.high - self.low)
        return (values if self.dtype == "float32" else np.rint(values)).astype(self.dtype)

    def example(self) -> jax.ShapeDtypeStruct:
        """Of one seen example."""
        return example(self)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": self.name} | self._asdict() | {"shape": list(self.shape)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Images":
        """The inverse of `to_json`, less the name."""
        usual = cls(tuple(int(n) for n in fields["shape"]))
        low, high = (float(fields.get(name, getattr(usual, name))) for name in ("low", "high"))
        return usual._replace(low=low, high=high, dtype=np.dtype(fields.get("dtype", "uint8")).name)


def is_of_pictures(shape: Sequence[int]) -> bool:
    """Whether an array of that shape is `[N, H, W, C]`."""
    return len(shape) == 4 and shape[-1] in CHANNELS


def is_channels_first(shape: Sequence[int]) -> bool:
    """Whether it looks like `[N, C, H, W]`."""
    return len(shape) == 4 and shape[1] in CHANNELS and not set(shape[2:]) & set(CHANNELS)


def fit(source: str, x: np.ndarray, value_range: Sequence[float] = ()) -> Images:
    """The kind of pictures `[N, H, W, C]` that are not uint8.

    Args:
        source: names them in errors.
        x: integers, or floating.
        value_range: the values of black and of white; (): floating ones that lie in [0, 1] are as they are.

    Raises:
        UserError: a range is needed, or the one given is none.
    """
    low, high = float(x.min()), float(x.max())
    floating = x.dtype.kind == "f"
    if not value_range and floating and 0 <= low <= high <= 1:
        value_range = (0.0, 1.0)
    if not value_range:
        usual = ((-1, 1), (0, 255)) if floating else ((0, np.iinfo(x.dtype).max),)
        black, white = next((r for r in usual if r[0] <= low and high <= r[1]), (low, high))
        raise UserError(
            f"{source}: pictures of {x.dtype} reach from {low:g} to {high:g}; say which values are black and white, "
            f"such as config.data.value_range=({black:g}, {white:g}), or set config.data.as_arrays=True to take them "
            "as they are"
        )
    if len(value_range) != 2 or not value_range[0] < value_range[1]:
        raise UserError(f"config.data.value_range={value_range!r} must be two numbers, the second greater")
    return Images(tuple(x.shape[1:]), *map(float, value_range), "float32" if floating else x.dtype.name)
