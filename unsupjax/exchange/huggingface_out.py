"""A transformer over texts as a folder of Hugging Face's: GPT-2 or BERT, where its fields are theirs."""

import json
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from unsupjax.data.kinds import Tokens
from unsupjax.data.tokenizers import SPECIAL, exported
from unsupjax.errors import UserError
from unsupjax.exchange import files
from unsupjax.exchange.encoder import flat
from unsupjax.exchange.families import ACTIVATIONS, BERT, GPT2, Family, names

if TYPE_CHECKING:
    from unsupjax.models.transformer import Transformer

ADDED = ("<|start|>", "<|padding|>", "<|hidden|>")  # behind the tokens of texts
NEEDED = {"positions": "learned", "norm": "layer", "qk_norm": False, "bias": True}
USAGE = """from transformers import AutoTokenizer, {auto}

tokenizer = AutoTokenizer.from_pretrained({shown!r})
model = {auto}.from_pretrained({shown!r})
made = model(**tokenizer("A text.", return_tensors="pt"))"""


def network(section: Mapping[str, Any], kind: Tokens, params: dict[str, Any], causal: bool) -> "Transformer":
    """The network that a run has: of its section of the config, its data and its parameters."""
    from unsupjax.models.transformer import transformer

    fields = {name: value for name, value in section.items() if name not in ("name", "weights")}
    made = transformer(vocabulary=len(params["embed"]["embedding"]), context=kind.length, **fields)
    return made.clone(causal=causal)


def write(
    folder: pathlib.Path, network: "Transformer", params: dict[str, Any], kind: Tokens, shown: str
) -> tuple[str, str, int]:
    """Writes `config.json`, `model.safetensors`, `tokenizer.json` and `tokenizer_config.json`.

    Token i of the run is i - 2 there, as its tokenizer counts; the two that stand before them here come behind, and
    then the one that masked tokens are hidden by.

    Args:
        folder: to write into.
        network: the run's.
        params: its parameters.
        kind: of its data.
        shown: the folder's name in the lines that load it.

    Returns:
        The type of model, Python that loads it, and the number of arrays.

    Raises:
        UserError: neither has such a network; the message names the fields that it would need.
    """
    family, name = (GPT2, "gpt2") if network.causal else (BERT, "bert")
    needed = NEEDED | {"post_norm": not network.causal} | ({"transform": False} if network.causal else {})
    flags = [f"--config.network.{k}={v}" for k, v in needed.items() if getattr(network, k) != v]
    activations = {ours: theirs for theirs, ours in ACTIVATIONS.items() if theirs != "gelu_pytorch_tanh"}
    if network.mlp not in activations:
        flags.append("--config.network.mlp=gelu")
    if flags:
        raise UserError(f"{name!r} of Hugging Face's is another network: train one with {' '.join(flags)}")
    arrays = _theirs(family, network, params, kind.size)
    count = kind.size - len(SPECIAL)
    added = ADDED[: network.vocabulary - count]
    (folder / "tokenizer.json").write_text(exported(kind.tokenizer, added), encoding="utf-8")
    marks = dict(zip(("bos_token", "pad_token", "mask_token"), added, strict=False))
    marks |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": network.length}
    files.write_json(folder / "tokenizer_config.json", marks | {"eos_token": ADDED[0]})
    head = network.causal or network.transform
    auto = "AutoModelForCausalLM" if network.causal else "AutoModelForMaskedLM" if head else "AutoModel"
    made = {"GPT2LMHeadModel": network.causal, "BertForMaskedLM": head, "BertModel": True}
    values = {k: getattr(network, k) for k in family.fields if k not in ("mlp", "hidden")}
    values |= {"mlp": activations[network.mlp], "hidden": round(network.mlp_ratio * network.width)}
    config = {theirs: values[ours] for ours, theirs in family.fields.items()}
    config |= {"model_type": name, "architectures": [next(k for k, is_it in made.items() if is_it)]}
    config |= {"vocab_size": network.vocabulary, "tie_word_embeddings": network.tied, "dtype": "float32"}
    config |= {"bos_token_id": count, "eos_token_id": count, "pad_token_id": count + 1}
    files.write_json(folder / files.CONFIG, config)
    files.write(folder / files.WEIGHTS, arrays, {}, format="pt")
    return name, USAGE.format(auto=auto, shown=shown), len(arrays)


def _theirs(
    family: Family, network: "Transformer", params: dict[str, Any], size: int
) -> dict[str, np.ndarray]:
    """The arrays by their names."""
    ours = {name: np.asarray(value, np.float32) for name, value in flat(params).items()}
    order = [*range(len(SPECIAL), size), 1, 0, *range(size, network.vocabulary)]
    for name, axis in (("embed/embedding", 0), ("shift", 0), ("head/kernel", 1)):
        if name in ours:
            ours[name] = np.take(ours[name], order, axis)
    before = "transformer." if network.causal else "bert."
    made = {}
    for name, theirs in names(family, network.depth, network.transform).items():
        turn = family.turned and name.endswith("kernel")
        for part, value in zip(theirs, np.split(ours[name], len(theirs), axis=-1), strict=True):
            inside = "" if part.startswith(("cls.", "lm_head.")) else before
            made[inside + part] = value.T if turn else value
    if family.types:
        made[f"{before}{family.types}.weight"] = np.zeros((2, network.width), np.float32)
    if not network.tied:
        made[family.logits] = ours["head/kernel"].T
    return made


def described(kind: Tokens) -> str:
    """What goes in."""
    kinds = {"trained": "its own words or pieces of them", "chars": "characters", "bytes": "bytes"}
    return f"Texts, as {kinds[json.loads(kind.tokenizer)['type']]}, each led by {ADDED[0]}."
