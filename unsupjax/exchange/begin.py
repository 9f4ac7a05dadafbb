"""What a run over texts starts from: weights of Hugging Face's, beside the two tokens that runs put before theirs."""

import json
import pathlib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unsupjax.data.kinds import Tokens
from unsupjax.data.tokenizers import SPECIAL, of_json
from unsupjax.errors import UserError
from unsupjax.exchange import files, huggingface

BEGINS = ("<|endoftext|>", "[CLS]", "<s>")  # what stands before a text there
FILLS = ("[PAD]", "<pad>", "<|endoftext|>")
HIDES = ("[MASK]", "<mask>")
STRUCTURE = ("width", "depth", "heads", "mlp_ratio", "positions", "norm", "mlp", "qk_norm", "bias", "tied", "epsilon",
             "post_norm", "transform")  # fmt: skip


def started(
    folder: pathlib.Path, section: Mapping[str, Any], kind: Tokens, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """The parameters of a run's `Transformer`, of the weights in a folder of Hugging Face's.

    Token i of the folder's tokenizer is i + 2 in the run. The token that stands before every text gets the vector of
    <|endoftext|>, [CLS] or <s>, padding that of [PAD], <pad> or <|endoftext|>, and what masked tokens are hidden by
    that of [MASK] or <mask>; where the tokenizer has none of these, the mean of all. Positions are the first ones.

    Args:
        folder: as `unsupjax.exchange.huggingface.load` takes it.
        section: the name and the arguments of the run's network.
        kind: of its data.
        shapes: of its parameters, by our names: "block0/qkv/kernel".

    Raises:
        UserError: nothing there, damaged, or of another network; of fields that differ, with those to set.
    """
    from unsupjax.models.transformer import Transformer

    family, fields = huggingface.described(folder)
    network, arrays = huggingface.read(folder, family, Transformer(**fields, tied=True))
    fields |= {"tied": network.tied, "transform": network.transform}
    flags = [*_fields(section, fields), *_data(folder, kind, fields)]
    if flags:
        raise UserError(f"{folder} has another network than the run: add {' '.join(flags)}")
    rows = _rows(kind, shapes["embed/embedding"][0])
    words = arrays["embed/embedding"]
    arrays["embed/embedding"] = _taken(words, rows)
    arrays["places"] = arrays["places"][: shapes["places"][0]]
    if "shift" in arrays:
        arrays["shift"] = _taken(arrays["shift"], rows)
    if "head/kernel" in arrays:
        arrays["head/kernel"] = _taken(arrays["head/kernel"].T, rows).T
    return arrays


def differing(section: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a network that are others in its section, with the values that they should have."""
    return {name: fields[name] for name in STRUCTURE if section.get(name) != fields[name]}


def _fields(section: Mapping[str, Any], fields: Mapping[str, Any]) -> list[str]:
    return [f"--config.network.{name}={value}" for name, value in differing(section, fields).items()]


def _data(folder: pathlib.Path, kind: Tokens, fields: Mapping[str, Any]) -> list[str]:
    """What the data should be read with."""
    flags, path = [], folder / huggingface.TOKENIZER
    if not path.is_file():
        raise UserError(f"{folder} has no {path.name}: get that of the model as well")
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): get it anew") from error
    if json.loads(json.loads(kind.tokenizer).get("json", "null")) != theirs:
        flags.append(f"--config.data.tokenizer={shlex.quote(str(path))}")
    elif kind.size - len(SPECIAL) > fields["vocabulary"]:
        raise UserError(
            f"{path} has {kind.size - len(SPECIAL)} tokens, and {folder / files.CONFIG} has vocab_size="
            f"{fields['vocabulary']}: get both of one model"
        )
    if kind.length > fields["length"]:  # a token more than the context
        flags.append(f"--config.data.context={fields['length'] - 1}")
    return flags


def _rows(kind: Tokens, size: int) -> list[int | None]:
    """Of each token of the run, the token there; None: there is none."""
    tokenizer = of_json(json.loads(kind.tokenizer)["json"])
    first = lambda named: next((i for n in named if (i := tokenizer.token_to_id(n)) is not None), None)
    count = kind.size - len(SPECIAL)
    rows = [first(FILLS), first(BEGINS), *range(count)]
    return rows + [first(HIDES)] * (size - len(rows))


def _taken(table: np.ndarray, rows: Sequence[int | None]) -> np.ndarray:
    mean = table.mean(0)
    return np.stack([mean if row is None else table[row] for row in rows])
