"""Weights and programs, out and in: files that other libraries read, and a start from files that they wrote.

A folder that is exported holds `config.json` (what is in it), `README.md` (the model card, with the lines that load it)
and one of `model.safetensors`, `model.stablehlo` and `model.onnx`. Reading any of them runs nothing that is in it.
Transformers of Hugging Face's folders are `exchange.huggingface.load(folder)`, and sentences become vectors by
`exchange.sentence_encoder(folder)`.
"""

from unsupjax.exchange import huggingface as huggingface
from unsupjax.exchange.sentences import sentence_encoder as sentence_encoder
from unsupjax.exchange.weights import load as load
