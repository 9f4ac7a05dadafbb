"""Transformers from Hugging Face's folders: GPT-2 and the family of BERT as our `Transformer`, by renaming alone.

A folder holds `config.json`, `model.safetensors` (or shards and their index) and `tokenizer.json`. Nothing is fetched:
`hf download NAME --local-dir FOLDER` makes one.
"""

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from unsupjax.data.tokenizers import plain_tokenizer
from unsupjax.errors import UserError, choose
from unsupjax.exchange import files
from unsupjax.exchange.encoder import flat, nested
from unsupjax.exchange.families import ACTIVATIONS, FAMILIES, Family, names

if TYPE_CHECKING:
    from unsupjax.models.transformer import Transformer

INDEX = "model.safetensors.index.json"
TOKENIZER = "tokenizer.json"
PICKLE = "pytorch_model.bin"
BUFFERS = ("position_ids", "token_type_ids", ".attn.bias", ".attn.masked_bias")  # no weights, in older files
SHOWN = 3  # names in a message


class Loaded(NamedTuple):
    """What a folder holds.

    Attributes:
        network: a `Transformer` of its fields.
        params: its parameters, float32; `network.apply({"params": params}, tokens, segments)`.
        tokenizer: of the package `tokenizers`, without padding, cut at the network's length; None: the folder has none.
    """

    network: "Transformer"
    params: dict[str, Any]
    tokenizer: Any


def load(folder: str | pathlib.Path) -> Loaded:
    """A network with its weights and its tokenizer, for code of your own.

    Logits are `network.apply({"params": params}, tokens, method="both")`: GPT-2's of the next token, and of the family
    of BERT those of masked tokens, where the folder has that head. Poolers and classifiers are left out. Tokens are the
    tokenizer's own, without the two that runs of this package put before them. Padding is seen by no token of another
    segment:

        network, params, tokenizer = load("all-MiniLM-L6-v2")
        one = tokenizer.encode("A sentence.")
        hidden = network.apply({"params": params}, np.array([one.ids]), np.array([one.attention_mask]))

    Args:
        folder: with `config.json`, `model.safetensors` or shards of it and their index, and `tokenizer.json`.

    Raises:
        UserError: no such folder; a file that is missing or damaged, weights that are pickled, a type of model that
            is not known, or weights that are not those of the config.

    Source: Radford et al., "Language models are unsupervised multitask learners", 2019; Devlin et al., "BERT", NAACL
    2019; Liu et al., "RoBERTa", 2019; Sanh et al., "DistilBERT", 2019.
    """
    from unsupjax.models.transformer import Transformer

    folder = pathlib.Path(folder).expanduser()
    family, fields = described(folder)
    network, arrays = read(folder, family, Transformer(**fields, tied=True))
    path = folder / TOKENIZER
    tokenizer = plain_tokenizer(path, network.length) if path.is_file() else None
    return Loaded(network, nested(arrays), tokenizer)


def described(folder: pathlib.Path) -> tuple[Family, dict[str, Any]]:
    """The family of a folder's model, and the fields of our `Transformer` as its `config.json` says."""
    if not folder.is_dir():
        raise UserError(
            f"{folder} is no folder: make one, such as `hf download {folder} --local-dir {folder.name}`, and name that"
        )
    said = files.read_json(folder / files.CONFIG)
    if "model_type" not in said:
        raise UserError(
            f"{folder / files.CONFIG} has no model_type: it is no config of Hugging Face's transformers"
        )
    family = choose(f"{folder / files.CONFIG}: model_type", str(said["model_type"]), FAMILIES)
    for name, value in family.only.items():
        if said.get(name, value) != value:
            raise UserError(
                f"{folder / files.CONFIG}: {name}={said[name]!r}, and only {value!r} is supported"
            )
    found = {ours: said.get(theirs, family.usual.get(theirs)) for ours, theirs in family.fields.items()}
    found["vocabulary"] = said.get("vocab_size")
    if found["hidden"] is None and isinstance(found["width"], int):
        found["hidden"] = 4 * found["width"]
    for name, value in found.items():
        theirs = family.fields.get(name, "vocab_size")
        if name not in ("mlp", "epsilon") and (type(value) is not int or value < 1):
            raise UserError(f"{folder / files.CONFIG}: {theirs}={value!r} must be an integer of at least 1")
    if not isinstance(found["epsilon"], int | float) or not found["epsilon"] > 0:
        theirs = family.fields["epsilon"]
        raise UserError(f"{folder / files.CONFIG}: {theirs}={found['epsilon']!r} must be a number above 0")
    found["mlp"] = choose(f"{folder / files.CONFIG}: {family.fields['mlp']}", str(found["mlp"]), ACTIVATIONS)
    if found["width"] % found["heads"]:
        raise UserError(f"{folder / files.CONFIG}: {found['heads']} heads do not divide {found['width']}")
    found |= {"mlp_ratio": found.pop("hidden") / found["width"], "length": found["length"] - family.skipped}
    return family, found | dict(family.fixed)


def read(
    folder: pathlib.Path, family: Family, network: "Transformer"
) -> tuple["Transformer", dict[str, np.ndarray]]:
    """The weights by our names, "block0/qkv/kernel", each of the shape that the network has, and the network.

    This one has the fields `tied` and `transform` as the weights ask for.

    Raises:
        UserError: no safetensors there, names that are missing, or other shapes.
    """
    arrays = _stripped(_arrays(folder), family)
    network = network.clone(transform=bool(family.head) and f"{family.head['turn']}.weight" in arrays)
    table = names(family, network.depth, network.transform)
    theirs = {name for part in table.values() for name in part}
    faults = [f"{name} is missing" for name in sorted(theirs - arrays.keys())]
    layers = family.layer.partition("{}")[0]
    faults += [f"{name} has no place" for name in arrays if name.startswith(layers) and name not in theirs]
    made = {} if faults else {ours: _joined(arrays, ours, part, family) for ours, part in table.items()}
    tokens = jax.ShapeDtypeStruct((1, 1), np.int32)
    shapes = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, method="both"), tokens)["params"]
    for name, like in flat(shapes).items():
        if made and getattr(made[name], "shape", None) != like.shape:
            there = " and ".join(f"{part} {arrays[part].shape}" for part in table[name])
            faults.append(f"{there} where {files.CONFIG} asks for {like.shape}")
    if faults:
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise UserError(
            f"the weights in {folder} are not those of its config: " + "; ".join(faults[:SHOWN]) + more
        )
    head = arrays.get(family.logits, made["embed/embedding"])
    if not np.array_equal(head, made["embed/embedding"]):
        made["head/kernel"] = head.T
    return network.clone(tied="head/kernel" not in made), made


def _joined(arrays: Mapping[str, np.ndarray], ours: str, theirs: tuple[str, ...], family: Family) -> Any:
    """Ours of theirs; None where theirs do not fit each other."""
    turn = family.turned and ours.endswith("kernel")
    try:
        made = np.concatenate([arrays[name].T if turn else arrays[name] for name in theirs], axis=-1)
        if ours == "places":
            types = arrays.get(f"{family.types}.weight")  # every text is of the first kind
            made = made[family.skipped :] + (0 if types is None else types[:1])
    except (ValueError, IndexError):
        return None
    return made


def _arrays(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """All arrays of a folder, by their names."""
    shards = [files.WEIGHTS]
    if not (folder / files.WEIGHTS).exists():
        if (folder / INDEX).exists():
            listed = files.read_json(folder / INDEX).get("weight_map")
            if not isinstance(listed, dict) or not listed:
                raise UserError(f"{folder / INDEX} names no files: get it anew")
            shards = sorted({pathlib.Path(str(name)).name for name in listed.values()})
        elif (folder / PICKLE).exists():
            files.refuse_pickle(folder / PICKLE, folder / files.WEIGHTS)
        else:
            raise UserError(f"{folder} has no {files.WEIGHTS}: get that of the model as well")
    found: dict[str, np.ndarray] = {}
    for shard in shards:
        if not (folder / shard).exists():
            raise UserError(f"{folder} has no {shard}, which {INDEX} names: get it as well")
        found |= files.read(folder / shard, BUFFERS)[0]
    return found


def _stripped(arrays: Mapping[str, np.ndarray], family: Family) -> dict[str, np.ndarray]:
    """Without what stands before every name ("transformer.", "bert.", "model.") and with the newer names of norms."""
    words = family.words + ".weight"
    before = next((name.removesuffix(words) for name in arrays if name.endswith("." + words)), "")
    newer = lambda name: name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )
    return {newer(name.removeprefix(before)): value for name, value in arrays.items()}
