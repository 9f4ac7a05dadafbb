"""What policies ask of their arguments: a ValueError names the one that is wrong."""

from collections.abc import Sequence

from unsupjax.augment.colour import refuse_without_colour
from unsupjax.augment.geometry import RESAMPLING


def interval(name: str, value: Sequence[float], low: float, high: float) -> None:
    """ValueError unless `low < value[0] <= value[1] <= high`."""
    if len(value) != 2 or not low < value[0] <= value[1] <= high:
        raise ValueError(f"{name}={value}: two numbers, {low} < first <= second <= {high}")


def probabilities(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name}={value}: a probability lies in [0, 1]")


def not_negative(**values: float) -> None:
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name}={value}: must not be negative")


def image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) != 3 or shape[2] not in (1, 3) or min(shape) < 1:
        raise ValueError(f"shape={tuple(shape)}: images are (height, width, channels) with 1 or 3 channels")
    height, width, channels = shape
    return height, width, channels


def crop(area: Sequence[float], aspect: Sequence[float], method: str) -> None:
    interval("area", area, 0, 1)
    interval("aspect", aspect, 0, float("inf"))
    if method not in RESAMPLING:
        raise ValueError(f"method={method!r}: one of {', '.join(RESAMPLING)}")


def jitter(channels: int, hue: float, grey: float, **strengths: float) -> None:
    """`strengths` are those of the blends and "strength", which multiplies them and `hue`."""
    not_negative(hue=hue, **strengths)
    if strengths["strength"] * hue > 0.5:
        raise ValueError(f"hue={hue} times strength={strengths['strength']}: at most 0.5, half the circle")
    refuse_without_colour(channels, saturation=strengths["saturation"], hue=hue, grey=grey)
