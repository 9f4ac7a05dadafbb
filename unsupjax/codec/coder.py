"""Coefficients to bits and back, by the contexts' network in whole numbers.

Weights are rounded to multiples of 2^-10, activations to multiples of 2^-8. What is multiplied and summed are whole
numbers below 2^53 in float64: every product and sum is exact, in whatever order, by whatever library and thread.
"""

from typing import NamedTuple

import numpy as np

from unsupjax.codec import contexts, tables
from unsupjax.codec.contexts import BEFORE, Layout
from unsupjax.codec.transform import ANCHORS
from unsupjax.errors import UserError

STEPS = 8  # qualities from one anchor to the next
QUALITIES = range(STEPS * (ANCHORS - 1) + 1)
MOST = 4095  # magnitude of a coefficient
_WEIGHT, _LARGEST = 2**10, 2.0**6  # units and bound of weights
_ACTIVATION = 2.0**24  # bound of activations


class Whole(NamedTuple):
    """The network in whole numbers, for one quality; C channels of which the first may be coded alone.

    Attributes:
        order: the layout.
        hidden: `[F, H]`; hidden_bias: `[H]`.
        outputs: `[H, 2 C]`, of scales and of locations; output_bias: `[2 C]`.
        around: `[4, 2 C]`.
        masked: what the levels of `unsupjax.codec.masking` of a block and those around it add to hidden units `[9, H]`
            and to outputs `[9, 2 C]`; None where there are no such levels.
        probabilities: float32 `[rows, SYMBOLS]`, whole multiples of 2^-20.
    """

    order: Layout
    hidden: np.ndarray
    hidden_bias: np.ndarray
    outputs: np.ndarray
    output_bias: np.ndarray
    around: np.ndarray
    masked: tuple[np.ndarray, np.ndarray] | None
    probabilities: np.ndarray


def whole(params: dict, order: Layout, quality: int) -> Whole:
    """The network of float32 parameters at a quality of `QUALITIES`."""
    first, second = contexts.masks(order)
    outputs = np.concatenate([params["scale"] * second, params["location"] * second], axis=1)
    scale_bias = interpolated(params["scale_bias"], quality)
    masked = None
    if "masking" in params:
        masked = integers(params["masked_hidden"], _WEIGHT), integers(params["masked_outputs"], _WEIGHT)
    return Whole(
        order,
        integers(params["hidden"] * first, _WEIGHT),
        integers(interpolated(params["hidden_bias"], quality), _WEIGHT * 16),
        integers(outputs, _WEIGHT),
        integers(np.concatenate([scale_bias, np.zeros(order.channels)]), _WEIGHT * 2**8),
        integers(params["around"], _WEIGHT),
        masked,
        (tables.tables(*map(float, params["mixture"])) / tables.TOTAL).astype(np.float32),
    )


def integers(x: np.ndarray, unit: float) -> np.ndarray:
    """Multiples of 1 / unit, as whole numbers in float64."""
    return np.rint(np.clip(np.asarray(x, np.float64), -_LARGEST, _LARGEST) * unit)


def interpolated(table: np.ndarray, quality: int) -> np.ndarray:
    """Rows of a float32 table `[ANCHORS, n]`, float64 `[n]`."""
    low, part = min(quality // STEPS, ANCHORS - 2), quality - min(quality // STEPS, ANCHORS - 2) * STEPS
    table = np.asarray(table, np.float64)
    return (table[low] * (STEPS - part) + table[low + 1] * part) / STEPS


_LOGARITHMS = tables.logarithms(MOST)


def levels_of(q: np.ndarray) -> np.ndarray:
    """What contexts see, in sixteenths: `[..., 2 C]` of `[..., C]`."""
    magnitude = _LOGARITHMS[np.abs(q)]
    return np.concatenate([magnitude, magnitude * np.sign(q)], axis=-1)


def _biases(net: Whole, masking: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Of hidden units `[n, H]` and outputs `[n, 2 C]`, n the blocks of levels `[h, w]`, or 1 without them."""
    hidden, output = net.hidden_bias[None], net.output_bias[None]
    if masking is None:
        return hidden, output
    around = 16.0 * contexts.around_of(masking).reshape(-1, 9)
    return hidden + around @ net.masked[0], output + around @ net.masked[1] * 16


def _outputs(net: Whole, q: np.ndarray, masking: np.ndarray | None = None, dtype=np.float64) -> np.ndarray:
    """All outputs `[h, w, 2 C]` where all coefficients are known; exact in float64, and about right in float32."""
    levels = levels_of(q).astype(dtype)
    inputs = contexts.inputs_of(levels, net.order)
    bias = [
        b.astype(dtype).reshape(*((1, 1) if masking is None else masking.shape), -1)
        for b in _biases(net, masking)
    ]
    hidden = _activated(inputs @ net.hidden.astype(dtype) + bias[0])
    skip = (contexts.neighbours_of(levels) * net.around[:, None, None].astype(dtype)).sum(axis=0)
    return hidden @ net.outputs.astype(dtype) + skip * 16 + bias[1]


def _activated(x: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(x / 64), 0, _ACTIVATION)


def _distributions(scale: np.ndarray, location: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the tables, the whole numbers that locations are nearest to, and the bits written as they are."""
    level = np.clip(np.rint(scale / 2**16) + tables.FIRST, 0, tables.LEVELS - 1).astype(np.int64)
    eighths = np.clip(np.rint(location / 2**15), -(2**15), 2**15).astype(np.int64)
    centre = (eighths + 4) >> 3
    return tables.row_of(level, eighths - 8 * centre), centre, tables.shift_of(level)


def predictions(
    net: Whole, q: np.ndarray, masking: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Location and scale of each coefficient `[h, w, C]`, as floats, for an encoder that weighs alternatives."""
    out = _outputs(net, q, masking, np.float32)
    c = net.order.channels
    scale = np.clip(out[..., :c] / 2**18, -4, 9)
    return out[..., c:] / 2**18, np.exp2(scale)


def _waves(h: int, w: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Blocks (rows, columns) that can be decoded at once: all before them in the order of a page are decoded."""
    waves = []
    for t in range(w + 2 * (h - 1)):
        i = np.arange(max(0, -(-(t - w + 1) // 2)), min(h - 1, t // 2) + 1)
        waves.append((i, t - 2 * i))
    return [(i, j) for i, j in waves if len(i)]


def _groups(order: Layout, channels: int) -> list[np.ndarray]:
    """The channels of each group that is coded."""
    groups = order.groups[:channels]
    return [np.flatnonzero(groups == g) for g in range(groups.max() + 1)]


def encode(
    net: Whole, q: np.ndarray, channels: int, masking: np.ndarray | None = None
) -> tuple[bytes, bytes]:
    """The first `channels` of coefficients int `[h, w, C]`, at most `MOST`: a range coder's words, and bits beside.

    `masking` are the levels of the blocks, `[h, w]`, where the network takes them.
    """
    c = net.order.channels
    out = _outputs(net, q, masking)
    row, centre, shift = _distributions(out[..., :c], out[..., c:])
    rows, columns = (np.concatenate(x) for x in zip(*_waves(*q.shape[:2]), strict=True))
    flat = lambda x: np.concatenate([x[rows, columns][:, g].ravel() for g in _groups(net.order, channels)])
    row, r, shift = flat(row), flat(q - centre), flat(shift)
    a = (r + ((1 << shift) >> 1)) >> shift
    escaped = np.abs(a) > tables.MOST
    symbols = np.where(escaped, tables.SYMBOLS - 1, a + tables.MOST).astype(np.int32)
    coder, family = constriction().stream.queue.RangeEncoder(), categorical()
    for start in range(0, len(symbols), 2**16):
        part = slice(start, start + 2**16)
        coder.encode(symbols[part], family, net.probabilities[row[part]])
    return coder.get_compressed().astype("<u4").tobytes(), _packed(a, r, shift, escaped)


def constriction():
    """The package of that name.

    Raises:
        UserError: it is not installed.
    """
    try:
        import constriction
    except ImportError:
        raise UserError(
            "pictures are coded by the package constriction, which is not installed: `pip install 'unsupjax[codec]'`"
        ) from None
    return constriction


def categorical():
    """The family of distributions that `probabilities` are of."""
    return constriction().stream.model.Categorical(perfect=False)


def _packed(a, r, shift, escaped) -> bytes:
    """The lowest bits, and the magnitudes that are no symbols in Elias gamma code with their signs."""
    bits = []
    for i in np.flatnonzero(escaped | (shift > 0)):
        if escaped[i]:
            n = int(abs(a[i])) - tables.MOST
            size = n.bit_length()
            bits += [0] * (size - 1) + [n >> k & 1 for k in reversed(range(size))] + [int(a[i] < 0)]
        low = int(r[i] + ((1 << shift[i]) >> 1)) & ((1 << int(shift[i])) - 1)
        bits += [low >> k & 1 for k in reversed(range(int(shift[i])))]
    return np.packbits(np.array(bits, np.uint8)).tobytes()


class _Bits:
    """Reads what `_packed` wrote."""

    def __init__(self, content: bytes):
        self.bits, self.at = np.unpackbits(np.frombuffer(content, np.uint8)), 0

    def number(self, size: int) -> int:
        """Of so many bits."""
        found = self.bits[self.at : self.at + size]
        if len(found) < size:
            raise ValueError("ends too soon")
        self.at += size
        return int("".join(map(str, found)) or "0", 2)

    def magnitude(self) -> int:
        """That is no symbol, with its sign."""
        size = 1
        while not self.number(1):
            size += 1
            if size > 16:
                raise ValueError("holds a number that is too large")
        n = (1 << size - 1) + self.number(size - 1) + tables.MOST
        return -n if self.number(1) else n


def decode(
    net: Whole,
    shape: tuple[int, int],
    channels: int,
    words: bytes,
    beside: bytes,
    masking: np.ndarray | None = None,
) -> np.ndarray:
    """The inverse of `encode`: int64 `[h, w, C]`.

    Raises:
        ValueError: what `encode` did not write.
    """
    if len(words) % 4:
        raise ValueError("ends too soon")
    coder = constriction().stream.queue.RangeDecoder(np.frombuffer(words, "<u4").astype(np.uint32))
    bits, family, order, c = _Bits(beside), categorical(), net.order, net.order.channels
    h, w = shape
    q = np.zeros((h, w, c), np.int64)
    levels = np.zeros((h + 2, w + 2, 2 * c))
    hidden = np.zeros((h * w, len(order.hidden)))
    waves, bias = _waves(h, w), _biases(net, masking)
    for g, own in enumerate(_groups(order, channels)):
        ahead = _Ahead(net, g, own, levels, hidden, (h, w), bias)
        for i, j in waves:
            out = ahead.outputs(i, j)
            row, centre, shift = _distributions(out[:, : len(own)], out[:, len(own) :])
            symbols = coder.decode(family, net.probabilities[row.ravel()]).reshape(row.shape)
            found = centre + _numbers(symbols.astype(np.int64), shift, bits)
            if np.abs(found).max() > MOST:
                raise ValueError("holds a number that is too large")
            q[i[:, None], j[:, None], own[None]] = found
            magnitude = _LOGARITHMS[np.abs(found)]
            levels[i[:, None] + 1, j[:, None] + 1, own[None]] = magnitude
            levels[i[:, None] + 1, j[:, None] + 1, own[None] + c] = magnitude * np.sign(found)
    if not coder.maybe_exhausted() or bits.at + 7 < len(bits.bits):
        raise ValueError("holds more than its picture")
    return q


def _numbers(symbols: np.ndarray, shift: np.ndarray, bits: _Bits) -> np.ndarray:
    a = symbols - tables.MOST
    odd = (symbols == tables.SYMBOLS - 1) | (shift > 0)
    if not odd.any():
        return a
    for place in zip(*np.nonzero(odd), strict=True):
        if symbols[place] == tables.SYMBOLS - 1:
            a[place] = bits.magnitude()
        k = int(shift[place])
        a[place] = (int(a[place]) << k) - ((1 << k) >> 1) + bits.number(k)
    return a


class _Ahead:
    """Of one group: what can be computed for all blocks before any of them is decoded, and what is left for each."""

    def __init__(
        self, net: Whole, g: int, own: np.ndarray, levels: np.ndarray, hidden: np.ndarray, shape, bias
    ):
        order = net.order
        c = order.channels
        self.levels, self.hidden, self.width, self.own = levels, hidden, shape[1], own
        units = np.flatnonzero(order.hidden == g)
        self.units = slice(units[0], units[-1] + 1)
        columns = np.concatenate([own, own + c])
        group = order.inputs - ~order.before  # of the channel
        known, here = group < g, (group == g) & order.before
        self.before = self._sums(net, known, shape) + bias[0][:, self.units]
        self.weights = net.hidden[here, self.units]
        self.last = net.outputs[self.units][:, columns]
        self.skipped = net.around[:, columns] * 16
        self.base = (
            hidden[:, : self.units.start] @ net.outputs[: self.units.start][:, columns] + bias[1][:, columns]
        )
        self.columns = columns
        starts = np.cumsum([0] + [len(s) for s in order.seen])
        self.seen = [order.seen[k][here[starts[k] : starts[k + 1]]] for k in range(len(BEFORE))]

    def _sums(self, net: Whole, known: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Of the inputs that are known everywhere, place by place."""
        h, w = shape
        total, start = np.zeros((h * w, self.units.stop - self.units.start)), 0
        for (i, j), index in zip(BEFORE + contexts.AFTER, net.order.seen, strict=True):
            there = known[start : start + len(index)]
            x = self.levels[1 + i : 1 + i + h, 1 + j : 1 + j + w, index[there]]
            total += x.reshape(h * w, -1) @ net.hidden[start : start + len(index)][there, self.units]
            start += len(index)
        return total

    def outputs(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Scales and locations of the group in blocks (i, j)."""
        at = i * self.width + j
        around = [self.levels[i + 1 + di, j + 1 + dj] for di, dj in BEFORE]
        x = np.concatenate([a[:, index] for a, index in zip(around, self.seen, strict=True)], axis=1)
        units = _activated(self.before[at] + x @ self.weights)
        self.hidden[at, self.units] = units
        skip = sum(a[:, self.columns] * s[None] for a, s in zip(around, self.skipped, strict=True))
        return self.base[at] + units @ self.last + skip
