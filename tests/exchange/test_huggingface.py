"""GPT-2 and BERT of Hugging Face's folders against their published formulas in float64, and, where it is installed,
against transformers; sentences to vectors; runs that start from such folders; what is refused."""

import importlib.util
import json
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("safetensors")
from safetensors.numpy import load_file, save_file

import unsupjax
from unsupjax.commands import main
from unsupjax.config import experiment
from unsupjax.data import tokenizers
from unsupjax.errors import UserError
from unsupjax.exchange import sentence_encoder
from unsupjax.exchange.huggingface import load
from unsupjax.models import Transformer
from unsupjax.run import experiment as experiments
from unsupjax.run.fit import fit
from unsupjax.run.plan import resolve

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "then",
    "it",
    "went",
    "to",
    "see",
    "some",
    "more",
    "of",
    "world",
]
SPECIAL = {"bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "gpt2": ["<|endoftext|>", "[UNK]"]}
CONFIGS = {
    "gpt2": {
        "model_type": "gpt2", "vocab_size": 24, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 12,
        "n_inner": None, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
    },
    "bert": {
        "model_type": "bert", "vocab_size": 24, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 24, "max_position_embeddings": 12, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
    },
}  # fmt: skip
TOKENS = np.random.default_rng(2).integers(0, 24, (3, 12))
REAL = np.arange(12)[None] < np.array([12, 7, 1])[:, None]


def drawn(shapes):
    rng = np.random.default_rng(0)
    draw = lambda name, shape: rng.normal(size=shape) * 0.4 + (len(shape) == 1 and name.endswith("weight"))
    return {name: draw(name, shape).astype(np.float32) for name, shape in shapes.items()}


def gpt2_arrays():
    shapes = {"wte.weight": (24, 16), "wpe.weight": (12, 16), "ln_f.weight": (16,), "ln_f.bias": (16,)}
    parts = {"attn.c_attn": (16, 48), "attn.c_proj": (16, 16), "mlp.c_fc": (16, 64), "mlp.c_proj": (64, 16)}
    for i in range(2):
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"h.{i}.{norm}.weight": (16,), f"h.{i}.{norm}.bias": (16,)}
        for name, shape in parts.items():
            shapes |= {f"h.{i}.{name}.weight": shape, f"h.{i}.{name}.bias": shape[1:]}
    return drawn(shapes)


def bert_arrays():
    shapes = {
        f"embeddings.{n}_embeddings.weight": (k, 16)
        for n, k in (("word", 24), ("position", 12), ("token_type", 2))
    }
    norms = ["embeddings.LayerNorm"]
    for i in range(2):
        at = f"encoder.layer.{i}."
        norms += [at + "attention.output.LayerNorm", at + "output.LayerNorm"]
        dense = {f"attention.self.{n}": (16, 16) for n in ("query", "key", "value")}
        dense |= {
            "attention.output.dense": (16, 16),
            "intermediate.dense": (24, 16),
            "output.dense": (16, 24),
        }
        for name, shape in dense.items():
            shapes |= {f"{at}{name}.weight": shape, f"{at}{name}.bias": shape[:1]}
    shapes |= {f"{name}.{leaf}": (16,) for name in norms for leaf in ("weight", "bias")}
    return drawn(shapes)


ARRAYS = {"gpt2": gpt2_arrays(), "bert": bert_arrays()}


def norm(x, p, name, epsilon):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * p[name + ".weight"] + p[name + ".bias"]


def attend(q, k, v, sees):
    """Of one text `[T, 16]`, a head and a query at a time."""
    out = np.zeros_like(q)
    for h in range(4):
        part = slice(4 * h, 4 * h + 4)
        for t in range(len(q)):
            seen = [s for s in range(len(q)) if sees(t, s)]
            weights = np.exp([q[t, part] @ k[s, part] / 2 for s in seen])
            out[t, part] = weights @ v[seen, part] / weights.sum()
    return out


def gpt2(p, tokens):
    """Hidden states of one text, float64. Radford et al., 2019: pre-norm, GELU in its tanh form."""
    gelu = lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    conv = lambda x, name: x @ p[name + ".weight"] + p[name + ".bias"]
    x = p["wte.weight"][tokens] + p["wpe.weight"][: len(tokens)]
    for i in range(2):
        q, k, v = np.split(conv(norm(x, p, f"h.{i}.ln_1", 1e-5), f"h.{i}.attn.c_attn"), 3, axis=1)
        x = x + conv(attend(q, k, v, lambda t, s: s <= t), f"h.{i}.attn.c_proj")
        x = x + conv(gelu(conv(norm(x, p, f"h.{i}.ln_2", 1e-5), f"h.{i}.mlp.c_fc")), f"h.{i}.mlp.c_proj")
    return norm(x, p, "ln_f", 1e-5)


def bert(p, tokens):
    """Hidden states of one text, float64. Devlin et al., 2019: post-norm, GELU of the error function."""
    gelu = lambda x: x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    linear = lambda x, name: x @ p[name + ".weight"].T + p[name + ".bias"]
    x = p["embeddings.word_embeddings.weight"][tokens] + p["embeddings.token_type_embeddings.weight"][0]
    x = norm(x + p["embeddings.position_embeddings.weight"][: len(tokens)], p, "embeddings.LayerNorm", 1e-12)
    for i in range(2):
        at = f"encoder.layer.{i}."
        q, k, v = (linear(x, f"{at}attention.self.{name}") for name in ("query", "key", "value"))
        y = linear(attend(q, k, v, lambda t, s: True), at + "attention.output.dense")
        x = norm(x + y, p, at + "attention.output.LayerNorm", 1e-12)
        y = linear(gelu(linear(x, at + "intermediate.dense")), at + "output.dense")
        x = norm(x + y, p, at + "output.LayerNorm", 1e-12)
    return x


HEAD = drawn({"transform.dense.weight": (16, 16), "transform.dense.bias": (16,), "transform.LayerNorm.weight": (16,),
              "transform.LayerNorm.bias": (16,), "bias": (24,)})  # fmt: skip


def masked(p, hidden):
    """Logits of hidden states."""
    h = {k: v.astype(np.float64) for k, v in HEAD.items()}
    y = hidden @ h["transform.dense.weight"].T + h["transform.dense.bias"]
    y = y / 2 * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
    return norm(y, h, "transform.LayerNorm", 1e-12) @ p["embeddings.word_embeddings.weight"].T + h["bias"]


def made(folder, name, tokenizer=True, before="", arrays=None, **changes):
    """A folder as transformers writes it, with random weights."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIGS[name] | changes))
    arrays = ARRAYS[name] if arrays is None else arrays
    save_file({before + k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / "model.safetensors")
    if tokenizer:
        lib = pytest.importorskip("tokenizers")
        vocabulary = {word: i for i, word in enumerate(SPECIAL[name] + WORDS)}
        one = lib.Tokenizer(lib.models.WordLevel(vocabulary, unk_token="[UNK]"))
        one.pre_tokenizer = lib.pre_tokenizers.Whitespace()
        one.add_special_tokens([t for t in SPECIAL[name] if t != "[UNK]"])
        if name == "bert":
            ends = [("[CLS]", 2), ("[SEP]", 3)]
            one.post_processor = lib.processors.TemplateProcessing(
                single="[CLS] $A [SEP]", special_tokens=ends
            )
            one.enable_padding(length=9, pad_id=0, pad_token="[PAD]")  # as files of sentence-transformers do
        one.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize(
    ("name", "before"), [("gpt2", ""), ("gpt2", "transformer."), ("bert", ""), ("bert", "bert.")]
)
def test_hidden_states_are_those_of_the_published_formulas(name, before, tmp_path):
    rest = {f"cls.predictions.{k}": v for k, v in HEAD.items()} if before == "bert." else {}
    network, params, _ = load(made(tmp_path / "x", name, before=before))
    if rest:  # heads and buffers, that encoders do not have, in the form of older files
        arrays = {
            "bert." + k.replace("LayerNorm.weight", "LayerNorm.gamma"): v for k, v in ARRAYS[name].items()
        }
        arrays |= rest | {"bert.embeddings.position_ids": np.arange(12)[None]}
        save_file(arrays, tmp_path / "x" / "model.safetensors")
        network, params, _ = load(tmp_path / "x")
    hidden = network.apply({"params": params}, TOKENS, jnp.where(REAL, 0, -1))
    p = {k: v.astype(np.float64) for k, v in ARRAYS[name].items()}
    for tokens, real, found in zip(TOKENS, REAL, hidden, strict=True):
        expected = {"gpt2": gpt2, "bert": bert}[name](p, tokens[real])
        np.testing.assert_allclose(found[real], expected, atol=1e-5)
    if name == "gpt2":
        logits = network.apply({"params": params}, TOKENS, method="both")
        np.testing.assert_allclose(logits[0], gpt2(p, TOKENS[0]) @ p["wte.weight"].T, atol=3e-5)
    assert network.transform == bool(rest)
    if rest:
        logits = network.apply({"params": params}, TOKENS, method="both")
        np.testing.assert_allclose(logits[0], masked(p, bert(p, TOKENS[0])), atol=3e-5)


def test_shards_half_precision_and_a_head_of_its_own(tmp_path):
    folder = made(tmp_path / "x", "gpt2", tokenizer=False)
    arrays = {f"transformer.{k}": v.astype(np.float16) for k, v in ARRAYS["gpt2"].items()}
    arrays["lm_head.weight"] = np.ones((24, 16), np.float16)
    (folder / "model.safetensors").unlink()
    names, table = sorted(arrays), {}
    for i, part in enumerate((names[:9], names[9:])):
        save_file({k: arrays[k] for k in part}, folder / f"model-{i}.safetensors")
        table |= dict.fromkeys(part, f"model-{i}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    network, params, tokenizer = load(folder)
    assert tokenizer is None and not network.tied
    assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(params["head"]["kernel"], np.ones((16, 24)))
    np.testing.assert_allclose(params["embed"]["embedding"], ARRAYS["gpt2"]["wte.weight"], atol=2e-3)
    (folder / "model-1.safetensors").unlink()
    with pytest.raises(UserError, match=r"has no model-1.safetensors, which .* names"):
        load(folder)


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_sentences_are_pooled_over_their_own_tokens(pool, tmp_path):
    folder = made(tmp_path / "x", "bert")
    (folder / "1_Pooling").mkdir()
    said = {"pooling_mode_mean_tokens": pool == "mean", "pooling_mode_cls_token": pool == "cls"}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16} | said))
    modules = [{"type": f"sentence_transformers.models.{n}", "path": p} for n, p in
               (("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize"))]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 6}))
    texts = ["the cat sat on a mat and then", "it went", "", "the cat"]
    vectors = sentence_encoder(folder, batch_size=3)(texts)
    p = {k: v.astype(np.float64) for k, v in ARRAYS["bert"].items()}
    for text, vector in zip(texts, vectors, strict=True):
        words = [5 + WORDS.index(w) for w in text.split()][:4]
        hidden = bert(p, np.array([2, *words, 3]))
        expected = hidden[0] if pool == "cls" else hidden.mean(0)
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=2e-6)
    assert sentence_encoder(folder)([]).shape == (0, 16)
    with pytest.raises(UserError, match="give a list of texts"):
        sentence_encoder(folder)("the cat")
    (folder / "modules.json").write_text(json.dumps([*modules, {"type": "a.Dense", "path": "3"}]))
    with pytest.raises(UserError, match=r"names 'a.Dense', and Pooling and Normalize are known"):
        sentence_encoder(folder)


def tiny(method, folder, tmp_path, flags=(), **changes):
    """A run over texts, with flags as a message gives them."""
    (tmp_path / "t.txt").write_text(
        "the cat sat on a mat and then it went to see some more of the world . " * 9
    )
    sections = {
        "method": {"name": method},
        "data": {
            "source": f"text:{tmp_path / 't.txt'}",
            "layout": "packed",
            "context": 8,
            "tokenizer": "chars",
        },
        "network": {"name": "transformer", "weights": str(folder)} | changes,
        "train": {"batch_size": 8, "steps": 1, "log_every": 1},
        "evaluate": {"run": ()},
    }
    config = experiment(**sections)
    for flag in flags:
        field, _, value = flag.removeprefix("--config.").partition("=")
        config.update_from_flattened_dict({field: type_of(config, field)(value)})
    return config


def type_of(config, field):
    section, name = field.split(".")
    kind = type(config[section][name])
    return (lambda text: text == "True") if kind is bool else kind


def begun(config):
    return experiments.prepare(resolve(config)).init()


@pytest.mark.parametrize(("name", "method"), [("gpt2", "next_token"), ("bert", "masked_tokens")])
def test_a_run_starts_from_a_folder_once_its_fields_are_those(name, method, tmp_path, capsys, few_panels):
    head = {f"cls.predictions.{k}": v for k, v in HEAD.items()} if name == "bert" else {}
    folder = made(tmp_path / "x", name, arrays=ARRAYS[name] | head)
    with pytest.raises(
        UserError, match=r"config.network.weights: .* has another network than the run: add --"
    ) as told:
        begun(tiny(method, folder, tmp_path))
    flags = str(told.value).partition("add ")[2].split()
    assert (
        "--config.network.width=16" in flags
        and f"--config.data.tokenizer={folder / 'tokenizer.json'}" in flags
    )
    config = tiny(method, folder, tmp_path, flags)
    params = begun(config).params
    assert f"network: {28 + len(head)} arrays from" in capsys.readouterr().out
    theirs, (pad, start, hides) = load(folder), {"gpt2": (0, 0, None), "bert": (0, 2, 4)}[name]
    there = theirs.params["embed"]["embedding"]
    made_of = params["embed"]["embedding"]
    size = len(SPECIAL[name]) + len(WORDS)
    np.testing.assert_array_equal(made_of[:2], there[[pad, start]])
    np.testing.assert_array_equal(made_of[2 : size + 2], there[:size])
    if method == "masked_tokens":
        np.testing.assert_array_equal(made_of[size + 2 :], there[[hides]])
        shift = HEAD["bias"]
        np.testing.assert_array_equal(params["shift"], [shift[0], shift[2], *shift[:size], shift[4]])
    np.testing.assert_array_equal(params["places"], theirs.params["places"][:9])
    same = jax.tree.map(lambda a, b: bool((a == b).all()), params["block1"], theirs.params["block1"])
    assert jax.tree.all(same)
    fit(config, tmp_path / "run")
    config.network.weights = str(tmp_path / "run")  # a run is a start as well
    begun(config)
    config.network.heads = 2
    with pytest.raises(UserError, match=r"has another network than the run: add --config.network.heads=4$"):
        begun(config)
    goes_out_and_comes_back(tmp_path)


def goes_out_and_comes_back(tmp_path):
    """A run's folder of Hugging Face's gives the same logits of the same texts; in transformers, too."""
    main(["export", str(tmp_path / "run"), str(tmp_path / "out"), "--format=huggingface"])
    model, (network, params, tokenizer) = unsupjax.load(tmp_path / "run"), load(tmp_path / "out")
    text = "the cat sat on a mat and"
    [tokens] = model.kind.prepare([text])
    ids = tokenizer.encode(text).ids
    size = model.kind.size
    assert ids == [size - 2, *(tokens[1:8].astype(int) - 2)] and tokenizer.decode(ids).split() == text.split()
    logits = network.apply({"params": params}, np.array([ids]), method="both")[0]
    ours = Transformer(
        **{f: getattr(network, f) for f in network.__dataclass_fields__ if f not in ("parent", "name")}
    )
    there = ours.apply({"params": model.state.params}, tokens[None, :8].astype(np.int32), method="both")[0]
    order = [*range(2, size), 1, 0, *range(size, there.shape[1])]
    np.testing.assert_allclose(logits, there[:, order], atol=1e-5)
    if not importlib.util.find_spec("transformers"):
        return
    import torch
    import transformers

    kind = transformers.AutoModelForCausalLM if network.causal else transformers.AutoModelForMaskedLM
    theirs = kind.from_pretrained(tmp_path / "out").eval()
    given = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")(text, return_tensors="pt")
    with torch.no_grad():
        np.testing.assert_allclose(theirs(**given).logits[0], logits, atol=1e-5)


def test_any_tokenizer_goes_out(tmp_path):
    lib, text = pytest.importorskip("tokenizers"), "the cat é\n sat"
    for name in ("bytes", "chars", "bpe"):
        known = json.dumps(tokenizers.fit(name, [text], 0))
        one = lib.Tokenizer.from_str(tokenizers.exported(known, ("<|start|>", "<|padding|>")))
        size, [tokens] = tokenizers.of(known).size, tokenizers.of(known).encode([text])
        assert one.encode(text).ids == [size - 2, *(tokens - 2)], name
        assert one.decode(one.encode(text).ids) == text, name


def test_a_network_that_they_have_not_is_not_written(tmp_path, few_panels, capsys):
    fit(tiny("next_token", "", tmp_path, width=8, depth=1, heads=2), tmp_path / "run")
    with pytest.raises(SystemExit) as told:
        main(["export", str(tmp_path / "run"), str(tmp_path / "out"), "--format=huggingface"])
    assert (
        "train one with --config.network.positions=learned --config.network.norm=layer"
        in capsys.readouterr().err
    )
    assert told.value.code == 1 and not (tmp_path / "out").exists()


def test_a_context_beyond_the_folders_positions_is_one_flag(tmp_path):
    folder = made(tmp_path / "x", "gpt2")
    with pytest.raises(UserError, match="add --") as told:
        begun(tiny("next_token", folder, tmp_path, ["--config.data.context=64"]))
    assert "--config.data.context=11" in str(told.value).split()


def broken(how, folder):
    """A folder that is no good, in one way."""
    config, weights = folder / "config.json", folder / "model.safetensors"
    arrays = load_file(weights)
    if how == "no folder":
        return folder.parent / "sentence-transformers" / "all-MiniLM-L6-v2"
    if how == "no config":
        config.unlink()
    elif how == "no weights":
        weights.unlink()
    elif how == "pickle":
        weights.rename(folder / "pytorch_model.bin")
        (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    elif how == "json":
        config.write_text("{")
    elif how == "tokenizer":
        (folder / "tokenizer.json").write_text("{}")
    elif how == "missing":
        save_file({k: v for k, v in arrays.items() if k != "h.1.ln_2.bias"}, weights)
    elif how == "more":
        save_file(arrays | {"h.1.adapter.weight": np.ones(2, np.float32)}, weights)
    elif how == "rank":
        save_file(arrays | {"h.0.ln_1.weight": np.ones((2, 8), np.float32)}, weights)
    else:
        config.write_text(json.dumps(CONFIGS["gpt2"] | how))
    return folder


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no folder", "is no folder: make one, such as `hf download"),
        ("no config", "has no config.json"),
        ("no weights", "has no model.safetensors"),
        ("pickle", "is a pickle, .*model.safetensors"),
        ("json", "config.json is damaged"),
        ("tokenizer", "tokenizer.json holds no tokenizer"),
        ("missing", "not those of its config: h.1.ln_2.bias is missing"),
        ("more", "h.1.adapter.weight has no place"),
        ("rank", r"h.0.ln_1.weight \(2, 8\) where config.json asks for \(16,\)"),
        ({"model_type": "llama"}, "model_type='llama' is unknown; choices: 'bert', .*'roberta'"),
        ({"model_type": 3}, "model_type='3' is unknown"),
        ({"n_embd": 32}, r"c_proj.bias \(16,\) where config.json asks for \(32,\)"),
        ({"n_layer": 3}, "h.2.attn.c_attn.bias is missing"),
        ({"n_layer": 1}, r"h.1.attn.c_attn.bias has no place; .* and 9 more"),
        ({"n_head": "4"}, "n_head='4' must be an integer"),
        ({"n_head": 3}, "3 heads do not divide 16"),
        ({"layer_norm_epsilon": "x"}, "layer_norm_epsilon='x' must be a number above 0"),
        ({"activation_function": "silu"}, "activation_function='silu' is unknown; .*'gelu_new'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "=True, and only False is supported"),
    ],
    ids=str,
)
def test_what_is_refused(how, message, tmp_path):
    folder = broken(how, made(tmp_path / "x", "gpt2", tokenizer=how == "tokenizer"))
    with pytest.raises(UserError, match=message) as told:
        load(folder)
    assert "\n" not in str(told.value) and re.search(re.escape(folder.name), str(told.value))


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
REAL_MODELS = {
    "GPT2LMHeadModel": {"vocab_size": 60, "n_positions": 18, "n_embd": 32, "n_layer": 2, "n_head": 4},
    "BertForMaskedLM": SMALL,
    "RobertaForMaskedLM": SMALL,
    "DistilBertForMaskedLM": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
}


@pytest.mark.filterwarnings("ignore")  # of that library
@pytest.mark.parametrize("name", REAL_MODELS)
def test_hidden_states_are_those_of_transformers(name, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    kind = getattr(transformers, name)
    more = {} if name.startswith("GPT") else {"max_position_embeddings": 18}
    torch.manual_seed(0)
    model = kind(kind.config_class(**{"vocab_size": 60} | REAL_MODELS[name] | more)).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
    model.save_pretrained(tmp_path)
    tokens = np.where(REAL, np.random.default_rng(0).integers(3, 60, REAL.shape), 1)
    with torch.no_grad():
        given = {"attention_mask": torch.tensor(REAL.astype(int)), "output_hidden_states": True}
        theirs = model(torch.tensor(tokens), **given)
    network, params, _ = load(tmp_path)
    segments = jnp.where(REAL, 0, -1)
    ours = np.asarray(network.apply({"params": params}, tokens, segments))
    assert np.abs(ours - theirs.hidden_states[-1].numpy())[REAL].max() < 1e-5
    ours = np.asarray(network.apply({"params": params}, tokens, segments, method="both"))
    assert np.abs(ours - theirs.logits.numpy())[REAL].max() < 1e-5
