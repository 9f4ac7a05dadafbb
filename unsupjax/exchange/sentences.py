"""Sentences to vectors, with a model of the library sentence-transformers: an encoder, then a mean or a first token."""

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.errors import UserError
from unsupjax.exchange.files import read_json
from unsupjax.exchange.huggingface import TOKENIZER, load

MODULES = "modules.json"
LENGTHS = "sentence_bert_config.json"
POOLS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}  # their names -> ours
SHORTEST = 16  # of the lengths that texts are filled up to, which double


def sentence_encoder(
    folder: str | pathlib.Path, batch_size: int = 32
) -> Callable[[Sequence[str]], np.ndarray]:
    r"""A function that gives every text a vector: near ones for texts that mean much the same.

        embed = sentence_encoder("all-MiniLM-L6-v2")
        vectors = embed(["A man eats.", "Somebody has lunch.", "The sky is blue."])
        similarity = vectors @ vectors.T

    :math:`z = \frac{1}{n} \sum_t h_t` over the n tokens of a text, or the :math:`h_1` of its first token, as the
    folder says; divided by its norm where the folder says so. Texts beyond the model's length are cut.

    Args:
        folder: as `unsupjax.exchange.huggingface.load` takes it, with the files of sentence-transformers where it is
            of that library: `modules.json`, `1_Pooling/config.json`. Without them: the mean, as it is.
        batch_size: texts that go through at once.

    Returns:
        `(texts) -> float32 [N, D]`.

    Raises:
        UserError: as `load`; a folder without a tokenizer; a way of pooling or a layer that is not known.

    Source: Reimers and Gurevych, "Sentence-BERT", EMNLP 2019.
    """
    folder = pathlib.Path(folder).expanduser()
    network, params, tokenizer = load(folder)
    if tokenizer is None:
        raise UserError(f"{folder} has no {TOKENIZER}: get that of the model as well")
    pool, unit, length = _described(folder, network.length)
    tokenizer.enable_truncation(length)

    @jax.jit
    def encode(params, tokens, real):
        hidden = network.apply({"params": params}, tokens, jnp.where(real, 0, -1))
        share = real / real.sum(1, keepdims=True)
        made = hidden[:, 0] if pool == "cls" else (hidden * share[..., None]).sum(1)
        return made / jnp.maximum(jnp.linalg.norm(made, axis=1, keepdims=True), 1e-12) if unit else made

    return functools.partial(
        _encoded, functools.partial(encode, params), tokenizer, length, network.width, batch_size
    )


def _encoded(
    encode: Callable, tokenizer: Any, length: int, width: int, size: int, texts: Sequence[str]
) -> np.ndarray:
    if isinstance(texts, str):
        raise UserError("one text; give a list of texts: [text]")
    rows = [one.ids for one in tokenizer.encode_batch(list(texts))]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # those of a batch are about as long
    made = np.empty((len(rows), width), np.float32)
    for first in range(0, len(rows), size):
        chosen = order[first : first + size]
        longest = max(len(rows[i]) for i in chosen)
        filled = next(n for n in (SHORTEST * 2**k for k in range(64)) if n >= longest)
        tokens = np.zeros((size, min(filled, length)), np.int32)
        real = np.zeros(tokens.shape, bool)
        real[:, 0] = True  # of rows that are filled up, and of texts without a token
        for row, i in enumerate(chosen):
            tokens[row, : len(rows[i])], real[row, : len(rows[i])] = rows[i], True
        made[chosen] = np.asarray(encode(tokens, real))[: len(chosen)]
    return made


def _described(folder: pathlib.Path, longest: int) -> tuple[str, bool, int]:
    """How tokens are pooled, whether the vectors have norm 1, and at how many tokens texts are cut."""
    pool, unit, length = "mean", False, longest
    if (folder / LENGTHS).exists():
        length = min(read_json(folder / LENGTHS).get("max_seq_length") or longest, longest)
    modules = read_json(folder / MODULES, list) if (folder / MODULES).exists() else []
    for module in modules:
        kind, place = str(module.get("type", "")).rpartition(".")[2], str(module.get("path", ""))
        if kind == "Pooling":
            said = read_json(folder / place / "config.json")
            chosen = {name for name, on in said.items() if name.startswith("pooling_mode") and on is True}
            if isinstance(named := said.get("pooling_mode"), str):
                chosen |= {f"pooling_mode_{named}_token" + "s" * (named == "mean")}
            if len(chosen) != 1 or not chosen <= POOLS.keys():
                raise UserError(
                    f"{folder / place}: {' and '.join(sorted(chosen))} is not known; known: {', '.join(POOLS)}"
                )
            pool = POOLS[chosen.pop()]
        elif kind == "Normalize":
            unit = True
        elif kind != "Transformer":
            raise UserError(
                f"{folder / MODULES} names {module.get('type')!r}, and Pooling and Normalize are known"
            )
    return pool, unit, length
