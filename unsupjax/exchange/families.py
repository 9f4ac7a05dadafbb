"""How Hugging Face's transformers names what our `Transformer` has: GPT-2 and the family of BERT, as tables."""

from collections.abc import Mapping
from typing import Any, NamedTuple

ACTIVATIONS = {"gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "gelu": "gelu_exact"}  # theirs -> ours


class Family(NamedTuple):
    """How a type of model is called and laid out there.

    Attributes:
        fields: their name of each of our fields: width, depth, heads, hidden, length, mlp, epsilon.
        fixed: our fields that are the same in all of them.
        usual: what a `config.json` leaves out.
        only: fields of theirs with other values than these are of another network.
        words, places, types: embeddings of tokens, of positions, and of the kinds of text, whose first is added to all
            positions; "": none.
        norm: the one outside of the blocks.
        layer: of a block, with its number.
        parts: our layers of a block, and theirs, which lie side by side in ours.
        logits: the matrix of logits, where these are no products with the embeddings.
        head: what hidden states pass before them: our names, and theirs.
        turned: whether kernels are [out, in].
        skipped: positions at the beginning that no token has.
    """

    fields: Mapping[str, str]
    fixed: Mapping[str, Any]
    usual: Mapping[str, Any]
    only: Mapping[str, Any]
    words: str
    places: str
    types: str
    norm: str
    layer: str
    parts: Mapping[str, tuple[str, ...]]
    logits: str
    head: Mapping[str, str]
    turned: bool
    skipped: int = 0


_SAME = {"positions": "learned", "norm": "layer", "qk_norm": False, "bias": True, "zero_init": False}

GPT2 = Family(
    fields={
        "width": "n_embd", "depth": "n_layer", "heads": "n_head", "hidden": "n_inner", "length": "n_positions",
        "mlp": "activation_function", "epsilon": "layer_norm_epsilon",
    },
    fixed=_SAME | {"causal": True, "post_norm": False},
    usual={"activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "n_positions": 1024},
    only={"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False},
    words="wte", places="wpe", types="", norm="ln_f", layer="h.{}",
    parts={
        "norm1": ("ln_1",), "qkv": ("attn.c_attn",), "attended": ("attn.c_proj",),
        "norm2": ("ln_2",), "hidden": ("mlp.c_fc",), "output": ("mlp.c_proj",),
    },
    logits="lm_head.weight", head={}, turned=False,
)  # fmt: skip
BERT = Family(
    fields={
        "width": "hidden_size", "depth": "num_hidden_layers", "heads": "num_attention_heads",
        "hidden": "intermediate_size", "length": "max_position_embeddings", "mlp": "hidden_act",
        "epsilon": "layer_norm_eps",
    },
    fixed=_SAME | {"causal": False, "post_norm": True},
    usual={"hidden_act": "gelu", "layer_norm_eps": 1e-12, "max_position_embeddings": 512},
    only={"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False},
    words="embeddings.word_embeddings", places="embeddings.position_embeddings",
    types="embeddings.token_type_embeddings", norm="embeddings.LayerNorm", layer="encoder.layer.{}",
    parts={
        "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
        "attended": ("attention.output.dense",), "norm1": ("attention.output.LayerNorm",),
        "hidden": ("intermediate.dense",), "output": ("output.dense",), "norm2": ("output.LayerNorm",),
    },
    logits="cls.predictions.decoder.weight",
    head={
        "turn": "cls.predictions.transform.dense", "turned": "cls.predictions.transform.LayerNorm",
        "shift": "cls.predictions.bias",
    },
    turned=True,
)  # fmt: skip
DISTILBERT = BERT._replace(
    fields={
        "width": "dim", "depth": "n_layers", "heads": "n_heads", "hidden": "hidden_dim",
        "length": "max_position_embeddings", "mlp": "activation", "epsilon": "layer_norm_eps",
    },
    usual={"activation": "gelu", "layer_norm_eps": 1e-12, "max_position_embeddings": 512},
    only={}, types="", layer="transformer.layer.{}",
    parts={
        "qkv": ("attention.q_lin", "attention.k_lin", "attention.v_lin"), "attended": ("attention.out_lin",),
        "norm1": ("sa_layer_norm",), "hidden": ("ffn.lin1",), "output": ("ffn.lin2",), "norm2": ("output_layer_norm",),
    },
    logits="vocab_projector.weight",
    head={"turn": "vocab_transform", "turned": "vocab_layer_norm", "shift": "vocab_projector.bias"},
)  # fmt: skip
ROBERTA = BERT._replace(
    only=BERT.only | {"pad_token_id": 1}, skipped=2,  # positions begin behind that number
    logits="lm_head.decoder.weight",
    head={"turn": "lm_head.dense", "turned": "lm_head.layer_norm", "shift": "lm_head.bias"},
)  # fmt: skip
FAMILIES = {
    "gpt2": GPT2,
    "bert": BERT,
    "distilbert": DISTILBERT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
}


def names(family: Family, depth: int, transform: bool) -> dict[str, tuple[str, ...]]:
    """Their names for each of ours; several lie side by side. `transform`: with those of a head."""
    norm = "first" if family.fixed["post_norm"] else "last"
    table = {"embed/embedding": (f"{family.words}.weight",), "places": (f"{family.places}.weight",)}
    table |= {f"{norm}/scale": (f"{family.norm}.weight",), f"{norm}/bias": (f"{family.norm}.bias",)}
    if transform:
        turn, turned, shift = (family.head[name] for name in ("turn", "turned", "shift"))
        table |= {"turn/kernel": (f"{turn}.weight",), "turn/bias": (f"{turn}.bias",), "shift": (shift,)}
        table |= {"turned/scale": (f"{turned}.weight",), "turned/bias": (f"{turned}.bias",)}
    for i in range(depth):
        for ours, theirs in family.parts.items():
            weight = "scale" if ours.startswith("norm") else "kernel"
            for leaf, there in ((weight, "weight"), ("bias", "bias")):
                table[f"block{i}/{ours}/{leaf}"] = tuple(
                    f"{family.layer.format(i)}.{n}.{there}" for n in theirs
                )
    return table
