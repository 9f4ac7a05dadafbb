"""Texts to tokens and back: bytes, characters, or a tokenizer of Hugging Face's `tokenizers`, trained here or given.

What a tokenizer knows is plain values, which go with a model as JSON. Every one has two tokens that no text holds: 0
fills up short examples, 1 stands before every document.
"""

import functools
import json
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from unsupjax.errors import UserError, choose

PAD, START = 0, 1
SPECIAL = ("<pad>", "<start>")
UNKNOWN = "<unk>"
_NO_UTF8 = re.compile("[\udc80-\udcff]")
# Letters of the byte level that stand for bytes beyond ASCII: themselves, and from 290 on those that are not printed.
_HIGH_BYTES = {chr(b) for b in range(161, 256) if b != 173} | {chr(c) for c in range(290, 324)}


class Bytes:
    """Token b + 2 is the byte b of UTF-8; any text has a form."""

    size = 258

    @classmethod
    def fit(cls, texts: Iterable[str], vocabulary: int) -> dict[str, Any]:
        """Nothing is learnt."""
        return {"type": "bytes"}

    def __init__(self, content: Mapping[str, Any]):
        """Of what `fit` gave."""

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Of each text its tokens, int32."""
        return [
            np.frombuffer(t.encode(errors="surrogateescape"), np.uint8).astype(np.int32) + 2 for t in texts
        ]

    def decode(self, tokens: np.ndarray) -> str:
        """A text; bytes that are none stand as they are written in Python."""
        return bytes((tokens[tokens > START] - 2).astype(np.uint8).tolist()).decode(errors="backslashreplace")

    def lengths(self) -> np.ndarray:
        """How many bytes each token stands for, int64 `[V]`."""
        return np.array([0, 0] + [1] * 256)

    def joins(self) -> np.ndarray:
        """Letters, digits and all that is not ASCII join both sides, bool `[2, V]`."""
        wordy = [False, False, *(b > 127 or chr(b).isalnum() for b in range(256))]
        return np.array([wordy, wordy])


class Characters:
    """A token for every character of the training texts, in the order of their code points."""

    @classmethod
    def fit(cls, texts: Iterable[str], vocabulary: int) -> dict[str, Any]:
        """The characters that there are; UserError where they are more than `vocabulary`."""
        found = sorted(set().union(*map(set, texts)))
        if vocabulary and len(found) + len(SPECIAL) > vocabulary:
            raise UserError(
                f"config.data.tokenizer='chars': the texts have {len(found)} characters, more than "
                f"config.data.vocabulary={vocabulary} less two; raise it, or take 'bytes' or 'bpe'"
            )
        return {"type": "chars", "characters": "".join(found)}

    def __init__(self, content: Mapping[str, Any]):
        """Of what `fit` gave."""
        self._characters = content["characters"]
        self.size = len(self._characters) + len(SPECIAL)
        codes = np.frombuffer(self._characters.encode("utf-32-le"), np.uint32)
        self._codes, self._places = codes, np.arange(len(codes), dtype=np.int32) + len(SPECIAL)

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Of each text its tokens, int32; UserError for a character that was in no training text."""
        return [self._encode(text, i) for i, text in enumerate(texts)]

    def _encode(self, text: str, number: int) -> np.ndarray:
        codes = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), np.uint32)
        at = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        strange = self._codes[at] != codes
        if strange.any():
            where = int(strange.argmax())
            raise UserError(
                f"text {number} (from 0), character {where} is {text[where]!r}, which is in no text that the model was "
                "trained on; leave it out, or train with config.data.tokenizer='bytes' or 'bpe'"
            )
        return self._places[at]

    def decode(self, tokens: np.ndarray) -> str:
        """A text."""
        return "".join(self._characters[t] for t in tokens[tokens > START] - len(SPECIAL))

    def lengths(self) -> np.ndarray:
        """How many bytes each token stands for, int64 `[V]`."""
        return np.array([0, 0, *(len(c.encode(errors="surrogatepass")) for c in self._characters)])

    def joins(self) -> np.ndarray:
        """Letters and digits of any script join both sides, with what combines with them, bool `[2, V]`."""
        wordy = [False, False, *(c.isalnum() or unicodedata.combining(c) > 0 for c in self._characters)]
        return np.array([wordy, wordy])


class Trained:
    """Byte pairs or word pieces of Hugging Face's `tokenizers`."""

    def __init__(self, content: Mapping[str, Any]):
        """Of what `bpe`, `wordpiece` or `from_file` gave; token i of its own is i + 2 here."""
        self._tokenizer = of_json(content["json"])
        self._tokenizer.no_padding()  # which some files ask for
        self._tokenizer.no_truncation()
        self.size = self._tokenizer.get_vocab_size() + len(SPECIAL)

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Of each text its tokens, int32."""
        found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [np.array(one.ids, np.int32) + len(SPECIAL) for one in found]

    def decode(self, tokens: np.ndarray) -> str:
        """A text."""
        return self._tokenizer.decode(
            (tokens[tokens > START] - len(SPECIAL)).tolist(), skip_special_tokens=True
        )

    def lengths(self) -> np.ndarray:
        """How many bytes each token stands for, int64 `[V]`; of word pieces without the blanks between words."""
        count = len if self._byte_level else (lambda name: len(name.removeprefix("##").encode()))
        return np.array([0, 0, *(0 if name == UNKNOWN else count(name) for name in self._names)])

    def joins(self) -> np.ndarray:
        """Of word pieces those with "##" go on; of byte pairs those that begin with a letter, a digit or a byte that is
        not ASCII, behind one that ends with such; bool `[2, V]`."""
        if self._byte_level:
            wordy = lambda c: (c.isascii() and c.isalnum()) or c in _HIGH_BYTES
            ends = [(bool(n) and wordy(n[0]), bool(n) and wordy(n[-1])) for n in self._names]
        else:
            ends = [(name.startswith("##"), True) for name in self._names]
        return np.array([(False, False)] * len(SPECIAL) + ends).T

    @functools.cached_property
    def _names(self) -> list[str]:
        return [self._tokenizer.id_to_token(i) or "" for i in range(self.size - len(SPECIAL))]

    @functools.cached_property
    def _byte_level(self) -> bool:
        return '"ByteLevel"' in self._tokenizer.to_str()


def bpe(texts: Iterable[str], vocabulary: int) -> dict[str, Any]:
    """Byte pairs: any text has a form, and comes back as it was.

    Source: Sennrich et al., "Neural machine translation of rare words with subword units", ACL 2016; over bytes:
    Radford et al., 2019.
    """
    library = _library()
    made = library.Tokenizer(library.models.BPE())
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocabulary - len(SPECIAL),
        initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return {"type": "trained", "json": made.to_str()}


def wordpiece(texts: Iterable[str], vocabulary: int) -> dict[str, Any]:
    """Word pieces as BERT has them: lower case, without accents; what comes back is no exact copy.

    Source: Devlin et al., "BERT", NAACL 2019.
    """
    library = _library()
    made = library.Tokenizer(library.models.WordPiece(unk_token=UNKNOWN))
    made.normalizer = library.normalizers.BertNormalizer()
    made.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    made.decoder = library.decoders.WordPiece()
    trainer = library.trainers.WordPieceTrainer(
        vocab_size=vocabulary - len(SPECIAL), special_tokens=[UNKNOWN], show_progress=False
    )
    made.train_from_iterator(texts, trainer)
    return {"type": "trained", "json": made.to_str()}


def from_file(path: str) -> dict[str, Any]:
    """A `tokenizer.json` of somebody's.

    Raises:
        UserError: no such file, or no tokenizer in it.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
        _library().Tokenizer.from_str(text)
    except OSError as error:
        raise UserError(f"config.data.tokenizer={path!r} cannot be read ({error.strerror})") from error
    except Exception as error:  # the library has no type of its own
        raise UserError(f"config.data.tokenizer={path!r} holds no tokenizer ({error})") from error
    return {"type": "trained", "json": text}


def of_json(text: str):
    """The `tokenizers.Tokenizer` of what a `tokenizer.json` holds."""
    return _library().Tokenizer.from_str(text)


def plain_tokenizer(path: pathlib.Path, length: int):
    """The `tokenizers.Tokenizer` of a file, without padding, that cuts texts at `length` tokens; its own tokens.

    Raises:
        UserError: no tokenizer in it, or the package is not there.
    """
    try:
        made = of_json(path.read_text(encoding="utf-8"))
    except UserError:
        raise
    except Exception as error:  # the library has no type of its own
        raise UserError(f"{path} holds no tokenizer ({error}): get it anew") from error
    made.no_padding()
    made.enable_truncation(length)
    return made


def exported(text: str, added: Sequence[str]) -> str:
    """A `tokenizer.json` of what `fit` gave, as JSON: token i here is i - 2 there.

    Args:
        text: what the tokenizer knows.
        added: names of tokens that come behind all others; the first is put before every text.

    Raises:
        UserError: the tokenizer has one of these names already.
    """
    library, content = _library(), json.loads(text)
    if content["type"] == "trained":
        made = of_json(content["json"])
    elif content["type"] == "chars":
        made = library.Tokenizer(
            library.models.WordLevel({c: i for i, c in enumerate(content["characters"])})
        )
        made.pre_tokenizer = library.pre_tokenizers.Split(library.Regex(r"[\s\S]"), "isolated")
        made.decoder = library.decoders.Fuse()
    else:
        made = library.Tokenizer(library.models.BPE({_shown(byte): byte for byte in range(256)}, []))
        made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        made.decoder = library.decoders.ByteLevel()
    first = made.get_vocab_size()
    made.add_special_tokens(list(added))
    if [made.token_to_id(name) for name in added] != list(range(first, first + len(added))):
        raise UserError(f"the tokenizer has {' or '.join(added)} already, which mean something else here")
    pair = f"{added[0]} $A {added[0]} $B"
    made.post_processor = library.processors.TemplateProcessing(
        single=f"{added[0]} $A", pair=pair, special_tokens=[(added[0], first)]
    )
    made.no_padding()
    made.no_truncation()
    return made.to_str(pretty=True)


def _shown(byte: int) -> str:
    """The character that a byte is written as in byte-level vocabularies: itself, or one from 256 on."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return chr(byte) if byte in own else chr(256 + [b for b in range(256) if b not in own].index(byte))


FITS = {"bytes": Bytes.fit, "chars": Characters.fit, "bpe": bpe, "wordpiece": wordpiece}
TYPES = {"bytes": Bytes, "chars": Characters, "trained": Trained}


def check_unicode(
    texts: Sequence[str], source: str = "the texts", mend: str = ", or take config.data.tokenizer='bytes'"
) -> None:
    """Raises the `UserError` of a byte that is not UTF-8, for which `errors="surrogateescape"` left a substitute."""
    for i, text in enumerate(texts):
        if found := _NO_UTF8.search(text):
            offset = len(text[: found.start()].encode(errors="surrogateescape"))
            raise UserError(
                f"{source}: byte {offset} (from 0) of text {i} (from 0) is not UTF-8: save the file in that encoding"
                + mend
            )


def fit(name: str, texts: Sequence[str], vocabulary: int) -> dict[str, Any]:
    """What the tokenizer of that name learns of texts: plain values, for `of`.

    Args:
        name: "bytes", "chars", "bpe", "wordpiece", or the path of a `tokenizer.json`.
        texts: of the training split.
        vocabulary: the most tokens that there may be; 0: as many as there are ("chars"), else 4,096.
    """
    if name.endswith(".json"):
        return from_file(name)
    choose("config.data.tokenizer", name, FITS)
    if name in ("bpe", "wordpiece"):
        vocabulary = vocabulary or 4096
        if vocabulary < 300:
            raise UserError(
                f"config.data.vocabulary={vocabulary} is too small for {name!r}, which needs 300; or take 'bytes'"
            )
    return FITS[name](texts, vocabulary)


@functools.lru_cache(maxsize=8)
def of(text: str) -> Bytes | Characters | Trained:
    """The tokenizer that knows what `fit` gave, as JSON."""
    content = json.loads(text)
    try:
        return TYPES[content["type"]](content)
    except (KeyError, TypeError) as error:
        raise UserError(f"no tokenizer of this version ({error})") from error


def _library():
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.normalizers
        import tokenizers.pre_tokenizers
        import tokenizers.processors
        import tokenizers.trainers
    except ImportError as error:
        raise UserError("this tokenizer needs a package: pip install 'unsupjax[text]'") from error
    return tokenizers
