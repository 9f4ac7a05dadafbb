"""Texts as rows of tokens."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.data import tokenizers
from unsupjax.data.tokenizers import PAD, START
from unsupjax.errors import UserError

LAYOUTS = ("documents", "packed")


class Tokens(NamedTuple):
    """Rows of L tokens, int32: they never pass through a float.

    Attributes:
        length: L.
        tokenizer: what it knows, of `unsupjax.data.tokenizers.fit`, as JSON.
        layout: "documents", a row for each, its first L tokens, filled up with PAD; or "packed": all documents behind
            each other, cut into rows, which overlap by the one token that the next row predicts from.
        size: V, of the vocabulary.
    """

    length: int
    tokenizer: str
    layout: str = "documents"
    size: int = 0
    name = "tokens"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        return (self.length,)

    def prepare(self, raw: Sequence[str] | np.ndarray) -> np.ndarray:
        """Texts, a row each (`packed` for all rows of all of them), or rows of tokens as they are, `[N, L]`.

        Raises:
            UserError: neither, or tokens beyond the vocabulary.
        """
        if isinstance(raw, np.ndarray) and raw.dtype.kind in "iu":
            known = not raw.size or 0 <= raw.min() <= raw.max() < self.size
            if raw.ndim != 2 or raw.shape[1] != self.length or not known:
                raise UserError(
                    f"tokens are of shape {raw.shape}, where [N, {self.length}] belong, each from 0 to {self.size - 1}"
                )
            return raw.astype(_stored(self.size))
        texts = self._texts(raw)
        rows = np.full((len(texts), self.length), PAD, _stored(self.size))
        for row, tokens in zip(rows, tokenizers.of(self.tokenizer).encode(texts), strict=True):
            kept = tokens[: self.length - 1]
            row[0], row[1 : 1 + len(kept)] = START, kept
        return rows

    def packed(self, raw: Sequence[str]) -> np.ndarray:
        """All documents behind each other, each led by START, as rows `[N, L]`; the last is filled up with PAD."""
        stream = self.stream(raw)
        step = self.length - 1
        n = max(1, -(-(len(stream) - 1) // step))
        filled = np.full(n * step + 1, PAD, stream.dtype)
        filled[: len(stream)] = stream
        return np.lib.stride_tricks.sliding_window_view(filled, self.length)[::step].copy()

    def stream(self, raw: Sequence[str]) -> np.ndarray:
        """The tokens of all documents, each led by START, `[T]`."""
        encoded = tokenizers.of(self.tokenizer).encode(self._texts(raw))
        parts = [part for tokens in encoded for part in (np.array([START]), tokens)]
        return np.concatenate(parts).astype(_stored(self.size))

    def _texts(self, raw: Any) -> list[str]:
        texts = _texts(raw)
        if not isinstance(tokenizers.of(self.tokenizer), tokenizers.Bytes):
            tokenizers.check_unicode(texts)
        return texts

    def see(self, stored: jax.Array) -> jax.Array:
        """Int32; UserError for another shape, or for floats."""
        if stored.shape[1:] != self.shape or not jnp.issubdtype(stored.dtype, jnp.integer):
            raise UserError(
                f"examples are {stored.dtype} of shape {stored.shape[1:]}, where the model takes tokens {self.shape}"
            )
        return stored.astype(jnp.int32)

    def restore(self, seen: np.ndarray) -> np.ndarray:
        """Texts `[N]`, an array of Python strings."""
        made = tokenizers.of(self.tokenizer)
        texts = np.empty(len(seen), object)
        texts[:] = [made.decode(np.asarray(row)) for row in seen]
        return texts

    def bytes(self, tokens: np.ndarray) -> np.ndarray:
        """How many bytes of text each token stands for."""
        return tokenizers.of(self.tokenizer).lengths()[tokens]

    def joins(self) -> np.ndarray:
        """Which tokens are of one word with the one before them and with the one behind, bool `[2, V]`.

        Two neighbours are of one word where the first joins what is behind it and the second what is before.
        """
        return tokenizers.of(self.tokenizer).joins()

    def example(self) -> jax.ShapeDtypeStruct:
        """Of one seen example."""
        return jax.ShapeDtypeStruct(self.shape, jnp.int32)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": self.name} | self._asdict()

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Tokens":
        """The inverse of `to_json`, less the name."""
        return fit_tokens(int(fields["length"]), json.loads(fields["tokenizer"]), str(fields["layout"]))


def fit_tokens(length: int, tokenizer: dict[str, Any], layout: str) -> Tokens:
    """The kind of rows of `length` tokens of a tokenizer."""
    text = json.dumps(tokenizer, sort_keys=True)
    return Tokens(length, text, layout, tokenizers.of(text).size)


def _stored(size: int) -> np.dtype:
    """The narrowest that holds all tokens."""
    return np.min_scalar_type(size - 1)


def _texts(raw: Any) -> list[str]:
    if isinstance(raw, str):
        raise UserError("one text; give a list of texts: [text]")
    texts = list(raw)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(
                f"text {i} (from 0) is {type(text).__name__} {str(text)[:40]!r}, where texts belong"
            )
    return texts
