"""A compressed picture as a file: which model, size and quality, the coefficients in strips, and a checksum.

    magic "UJPC", version (1 byte), model (8 bytes), width, height (4 each), planes, quality (1 each)
    of a model that masks (`unsupjax.codec.masking`) the length (4) of the words of its levels, and these
    for each strip of rows of blocks: lengths of the range coder's words and of the bits beside (4 each), both
    CRC-32 of all that

Numbers are little-endian. A strip is coded on its own: memory is bounded by the picture that comes out.
"""

import functools
import hashlib
import struct
import zlib

import numpy as np

from unsupjax.codec import coder, contexts, masking, synthesis
from unsupjax.codec.contexts import BLOCK, KEPT
from unsupjax.codec.transform import COARSEST, LAMBDA, SLOW, YCBCR, analyse, cells_of
from unsupjax.errors import UserError

MAGIC, VERSION = b"UJPC", 1
SUFFIX = ".ujpc"
MOST_PIXELS = 2**26  # of a picture
_HEADER = struct.Struct("<4sB8sIIBB")
_LENGTH = struct.Struct("<I")
_LENGTHS = struct.Struct("<II")
_STRIP = 2**12  # blocks, about
_ROUNDS = 2  # of weighing alternatives
_THRIFT = 1.15  # what a bit counts for there: larger numbers also make what comes behind them look larger


class Codec:
    """A trained codec; `compress` and `decompress` are each other's inverses but for what is lost.

    Attributes:
        planes: 3: of colours, or 1: of grey pictures alone.
        fingerprint: of the model, 8 bytes: what other models wrote is refused.
    """

    def __init__(self, params: dict, planes: int):
        """Of float32 parameters on the host, as the method `codec` trains them."""
        self.params, self.planes = params, planes
        self._levels = masking.probabilities(params["map"]) if "map" in params else None
        self.order = contexts.layout(planes, params["hidden"].shape[1])
        digest = hashlib.sha256()
        for name, x in sorted(_named(params)):
            if not name.startswith("analysis"):
                digest.update(name.encode() + np.ascontiguousarray(x, "<f4").tobytes())
        self.fingerprint = digest.digest()[:8]
        self._net = functools.lru_cache(maxsize=4)(lambda quality: coder.whole(params, self.order, quality))
        self._decoder = functools.lru_cache(maxsize=4)(
            lambda planes, quality: synthesis.decoder(params, planes, quality)
        )

    def compress(self, picture: np.ndarray, quality: int) -> bytes:
        """A file of a picture, uint8 `[H, W]`, `[H, W, 1]` or `[H, W, 3]`, at a quality from 0 to 64.

        Raises:
            UserError: another type or shape, a colour picture for a model of grey ones, or another quality.
        """
        x = np.asarray(picture)
        x = x[..., None] if x.ndim == 2 else x
        self._check(x, quality)
        height, width, planes = x.shape
        q, levels = self._quantised(x, quality)
        channels, net = q.shape[-1], self._net(quality)
        q = np.pad(q, ((0, 0), (0, 0), (0, self.order.channels - channels)))
        out = [_HEADER.pack(MAGIC, VERSION, self.fingerprint, width, height, planes, quality)]
        if levels is not None:
            words = masking.encode(self._levels, levels)
            out += [_LENGTH.pack(len(words)), words]
        for rows in _strips(*q.shape[:2]):
            words, beside = coder.encode(net, q[rows], channels, _part(levels, rows))
            out += [_LENGTHS.pack(len(words), len(beside)), words, beside]
        content = b"".join(out)
        return content + struct.pack("<I", zlib.crc32(content))

    def decompress(self, content: bytes, name: str = "the file") -> np.ndarray:
        """The picture of a file, uint8 `[H, W, 1]` or `[H, W, 3]`.

        Raises:
            UserError: it is none of this model's, or damaged; `name` says which in errors.
        """
        width, height, planes, quality = self._header(content, name)
        h, w = -(-height // BLOCK), -(-width // BLOCK)
        channels = sum(KEPT[:1] + KEPT[1:] * (planes - 1))
        at, net, q = _HEADER.size, self._net(quality), np.zeros((h, w, channels), np.int16)
        levels = None
        try:
            if self._levels is not None:
                (size,) = _LENGTH.unpack_from(content, at)
                at += _LENGTH.size + size
                if at > len(content) - 4:
                    raise ValueError("ends too soon")
                levels = masking.decode(self._levels, (h, w), content[at - size : at])
            for rows in _strips(h, w):
                sizes = _LENGTHS.unpack_from(content, at)
                at += _LENGTHS.size
                if at + sum(sizes) > len(content) - 4:
                    raise ValueError("ends too soon")
                words, beside = content[at : at + sizes[0]], content[at + sizes[0] : at + sum(sizes)]
                at += sum(sizes)
                shape = (rows.stop - rows.start, w)
                found = coder.decode(net, shape, channels, words, beside, _part(levels, rows))
                q[rows] = found[..., :channels]
            if at != len(content) - 4:
                raise ValueError("holds more than its picture")
        except (ValueError, AssertionError, struct.error) as error:
            raise UserError(f"{name} is damaged ({error}); take another copy") from error
        return synthesis.picture(self._decoder(planes, quality), q, height, width, levels)

    def _header(self, content: bytes, name: str) -> tuple[int, int, int, int]:
        if content[: len(MAGIC)] != MAGIC:
            raise UserError(f"{name} is no picture that `compress` wrote; give files of the suffix {SUFFIX}")
        if (
            len(content) < _HEADER.size + 4
            or zlib.crc32(content[:-4]) != struct.unpack("<I", content[-4:])[0]
        ):
            raise UserError(f"{name} is damaged: its checksum is not that of its content; take another copy")
        _, version, model, width, height, planes, quality = _HEADER.unpack_from(content)
        if version != VERSION:
            raise UserError(
                f"{name} is of version {version}, and this reads {VERSION}; use the release that wrote it"
            )
        if model != self.fingerprint:
            raise UserError(
                f"{name} was compressed by the model {model.hex()}, and this is {self.fingerprint.hex()}; give the run "
                "and the step that wrote it"
            )
        good = planes in (1, self.planes) and quality in coder.QUALITIES and width and height
        if not good or width * height > MOST_PIXELS:
            raise UserError(
                f"{name} says it holds {width} x {height} pixels of {planes} planes at quality {quality}, which "
                "`compress` never writes: it is forged"
            )
        return width, height, planes, quality

    def _check(self, x: np.ndarray, quality: int) -> None:
        if quality not in coder.QUALITIES:
            raise UserError(
                f"{quality=} must be a whole number from 0 (small) to {coder.QUALITIES[-1]} (good)"
            )
        if x.dtype != np.uint8:
            raise UserError(f"the picture is {x.dtype}, and the codec takes 8 bits (uint8); convert it to 8")
        if x.ndim != 3 or x.shape[2] not in (1, 3) or not x.size:
            raise UserError(f"the picture is of shape {x.shape}; give [H, W], [H, W, 1] or [H, W, 3]")
        if x.shape[2] > self.planes:
            raise UserError(
                "the picture has colours, and the model was trained on grey ones; convert it to grey"
            )
        if x.shape[0] * x.shape[1] > MOST_PIXELS:
            raise UserError(f"the picture has more than {MOST_PIXELS:,} pixels; cut it")

    def _quantised(self, x: np.ndarray, quality: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Whole coefficients `[h, w, C]`, each what costs least in bits and error together; levels of masking."""
        height, width, planes = x.shape
        pads = (0, -height % BLOCK), (0, -width % BLOCK), (0, 0)
        x = np.pad(x, pads, mode="edge").astype(np.float32)
        x = x - 128 if planes == 1 else x @ YCBCR.T.astype(np.float32) - np.array([128, 0, 0], np.float32)
        levels = None
        if self._levels is not None:
            levels = masking.levels_of(x[None, ..., 0])[0].astype(np.int64)
        steps = self._decoder(planes, quality).steps[0 if levels is None else levels] / 2**10
        weights, y = [], []
        for i in range(planes):
            kind = "luma" if i == 0 else "chroma"
            matrix = self.params[f"analysis_{kind}"] / np.float32(SLOW)
            y.append(analyse(cells_of(x[None, ..., i], BLOCK), matrix)[0])
            weights.append(np.square(self.params[f"synthesis_{kind}"] / SLOW).sum(axis=(0, 2)))
        y = np.concatenate(y, axis=-1) / steps
        y = np.clip(y, 1 - coder.MOST, coder.MOST - 1)
        coarse = COARSEST * 2.0 ** (-quality / coder.STEPS / 2)
        worth = LAMBDA / _THRIFT  # of MS-SSIM: steps are as large as errors matter
        if levels is None:
            worth = worth / coarse**2 * np.concatenate(weights) * steps**2
        return self._weighed(y, worth, quality, levels), levels

    def _weighed(self, y: np.ndarray, worth, quality: int, levels: np.ndarray | None) -> np.ndarray:
        q = np.sign(y) * np.floor(np.abs(y) + 0.4)
        net, mixture = self._net(quality), self.params["mixture"]
        pad = self.order.channels - y.shape[-1]
        for rows in _strips(*y.shape[:2]):
            near = np.rint(y[rows])
            for _ in range(_ROUNDS):
                known = np.pad(q[rows], ((0, 0), (0, 0), (0, pad))).astype(np.int64)
                location, scale = (
                    p[..., : y.shape[-1]] for p in coder.predictions(net, known, _part(levels, rows))
                )
                best = np.full(near.shape, np.inf)
                for tried in (near, near - np.sign(near)):
                    cost = worth * np.square(y[rows] - tried) - np.log2(
                        _likelihood(tried, location, scale, mixture)
                    )
                    q[rows] = np.where(cost < best, tried, q[rows])
                    best = np.minimum(best, cost)
        return q.astype(np.int64)


def _likelihood(q, location, scale, mixture):
    """About the probability of whole numbers, as `unsupjax.codec.tables` has it."""
    share = 1 / (1 + np.exp(-float(mixture[0])))
    d, found = np.abs(q - location), 1e-7
    for part, b in ((share, scale), (1 - share, scale * 2.0 ** float(mixture[1]))):
        tail = 0.5 * np.exp((0.5 - np.maximum(d, 0.5)) / b) * (1 - np.exp(-1 / b))
        inner = np.minimum(d, 0.5)
        middle = 1 - 0.5 * (np.exp((inner - 0.5) / b) + np.exp((-inner - 0.5) / b))
        found = found + part * np.where(d >= 0.5, tail, middle)
    return found


def _part(levels: np.ndarray | None, rows: slice) -> np.ndarray | None:
    return None if levels is None else levels[rows]


def _strips(h: int, w: int) -> list[slice]:
    rows = max(1, _STRIP // w)
    return [slice(start, min(start + rows, h)) for start in range(0, h, rows)]


def _named(params: dict, lead: str = ""):
    """Arrays of nested dicts and lists, by name."""
    items = params.items() if isinstance(params, dict) else enumerate(params)
    for name, x in items:
        if isinstance(x, dict | list | tuple):
            yield from _named(x, f"{lead}{name}.")
        else:
            yield f"{lead}{name}", np.asarray(x)
