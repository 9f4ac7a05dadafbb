"""Weights and programs for other libraries: `unsupjax export RUN OUT --format=...`."""

import argparse
import json
import pathlib
import signal
from collections.abc import Callable

import jax
import numpy as np

from unsupjax.errors import UserError, choose
from unsupjax.evaluate.fidelity.reconstruction import squared_error
from unsupjax.evaluate.subject import coding
from unsupjax.evaluate.synthesis import reference
from unsupjax.exchange import card as cards
from unsupjax.exchange import files, formats, huggingface_out, program, weights
from unsupjax.exchange.encoder import Encoder, module, nested, of_patches
from unsupjax.model import Model
from unsupjax.run import workdir
from unsupjax.run.fit import load

PROGRAMS = {
    "stablehlo": "a function as a StableHLO program that runs with jax alone, on CPU, GPU and TPU",
    "onnx": "a function as an ONNX model: of networks, but no ResNet with the imagenet stem, map, k-means or GAN",
}
SEQUENCE = {
    "huggingface": "a transformer over texts as transformers reads it: GPT-2, or BERT of masked tokens"
}
ENCODING = {"reference": "the encoder as NAME.npz, float16, which evaluators of samples compare in"}
WHAT = {name: form.what for name, form in formats.FORMS.items()} | SEQUENCE | PROGRAMS | ENCODING
FUNCTIONS = ("encode", "decode", "reconstruct", "score", "assign")
OUTPUTS = {
    "encode": "Codes",
    "decode": "Examples as the model sees them",
    "reconstruct": "Examples as the model sees them",
    "score": "The squared error of each example's reconstruction",
    "assign": "The cluster or unit of each example",
}
LARGEST = 1e-4  # relative difference of an ONNX model


def run(name: str, argv: list[str]) -> None:
    """Runs the command."""
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is half written is removed
    choose("--format", options.format, WHAT)
    choose("--function", options.function, dict.fromkeys(FUNCTIONS))
    if options.function != "encode" and options.format not in PROGRAMS:
        raise UserError(
            f"--function={options.function} is for programs (--format=stablehlo or onnx); leave it out"
        )
    if options.step != "newest" and options.format in ENCODING:
        raise UserError("--format=reference is of the newest checkpoint: leave --step out")
    if options.format in ENCODING:
        print(f"{options.out}: encoder {export(options.run, options.out).label}")
        return
    from unsupjax.model import load

    model = load(options.run, options.step)
    with files.whole(pathlib.Path(options.out), options.overwrite) as folder:
        write = _program if options.format in PROGRAMS else _weights
        write = _sequence if options.format in SEQUENCE else write
        told = write(model, options, folder)
    print(f"{options.out}: {told}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unsupjax export",
        description="A trained model for other libraries: OUT is a folder that gets the file, config.json and a model "
        "card, README.md, with the lines that load it.",
        epilog="\n".join(["formats:", *(f"  {name:<12} {what}" for name, what in WHAT.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", help="the folder of a trained run")
    parser.add_argument("out", help="the folder to make; of --format=reference the file, NAME.npz")
    parser.add_argument("--format", required=True, metavar="FORMAT", help="one of those below")
    parser.add_argument(
        "--function",
        default="encode",
        metavar="NAME",
        help=f"what a program computes: {', '.join(FUNCTIONS)}; default: encode",
    )
    parser.add_argument("--step", default="newest", help="the checkpoint: newest, best, or its number")
    parser.add_argument("--overwrite", action="store_true", help="replace what OUT holds")
    return parser


def _weights(model: Model, options: argparse.Namespace, folder: pathlib.Path) -> str:
    """Writes the encoder's weights, their description and their card."""
    encoder, whole = encoder_of(model)
    form = formats.FORMS[options.format]
    usage = form.write(encoder, folder / files.WEIGHTS, pathlib.Path(options.out).name)
    files.write_json(folder / files.CONFIG, encoder.description(options.format))
    made = f"The encoder's features, float32 `[N, {encoder.width}]`."
    if not whole:
        made += " The method makes its codes of them by layers that are not in here; `--format=stablehlo` has all."
    what = f"The encoder `{encoder.section['name']}`: {form.what}."
    _card(model, options, folder, what=what, usage=usage, inputs=cards.seen(model.kind), outputs=made)
    return f"{len(encoder.arrays)} arrays of the encoder {encoder.section['name']!r}"


def _sequence(model: Model, options: argparse.Namespace, folder: pathlib.Path) -> str:
    """Writes a transformer over texts, its tokenizer and its card."""
    section = model.config.to_dict().get("network", {})
    if section.get("name") != "transformer":
        raise UserError(
            f"{model.folder}: the method {model.name!r} has no transformer over texts: take another format"
        )
    causal, shown = model.functions.generate is not None, pathlib.Path(options.out).name
    network = huggingface_out.network(section, model.kind, model.state.params, causal)
    name, usage, count = huggingface_out.write(folder, network, model.state.params, model.kind, shown)
    what = f"The network of {model.name!r} as {name!r} of Hugging Face's transformers, with its tokenizer."
    made = "Logits of the next token." if causal else "Hidden states, and logits of hidden tokens."
    _card(
        model,
        options,
        folder,
        what=what,
        usage=usage,
        inputs=huggingface_out.described(model.kind),
        outputs=made,
    )
    return f"{count} arrays of a {name!r}, and its tokenizer"


def encoder_of(model: Model) -> tuple[Encoder, bool]:
    """The encoder of a model, and whether its output is what the method represents by.

    Raises:
        UserError: the method has none, or one without weights.
    """
    section, arrays = dict(model.network), weights.taken(model.state)
    if "network" in model.config:
        section, arrays = of_patches(model.config.network, model.state.params)
    if not (section and arrays):
        raise UserError(
            f"{model.folder}: the method {model.name!r} has no encoder with weights of its own: take --format=stablehlo"
        )
    example = model.kind.example()
    x = np.random.default_rng(0).uniform(size=(4, *example.shape)).astype(example.dtype)
    made = np.asarray(module(section).apply(nested(arrays), x, train=False), np.float32)
    codes = np.asarray(model.functions.encode(model.state, x), np.float32)
    # To a twentieth: the run may compute in bfloat16.
    whole = made.shape == codes.shape and np.abs(made - codes).max() <= np.abs(codes).max() / 20
    return Encoder(section, arrays, model.kind, made.shape[1]), bool(whole)


def _program(model: Model, options: argparse.Namespace, folder: pathlib.Path) -> str:
    """Writes a function of the model, its description and its card."""
    fn, example = function_of(model, options.function)
    name, shown = f"model.{options.format}", pathlib.Path(options.out).name
    try:
        if options.format == "onnx":
            _refuse(model)
            if (off := program.onnx(fn, example, folder / name)) > LARGEST:
                raise UserError(
                    f"it differs by {off:.2g} of the greatest value in ONNX: take --format=stablehlo"
                )
        else:
            program.stablehlo(fn, example, folder / name)
    except UserError as error:
        raise UserError(f"{options.run}: `{options.function}` of {model.name!r}: {error}") from error
    out = jax.eval_shape(fn, jax.ShapeDtypeStruct((1, *example.shape), example.dtype))
    files.write_json(
        folder / files.CONFIG, program.description(options.format, options.function, model.kind, example, out)
    )
    inputs = (
        cards.stored(model.kind, example) if options.function != "decode" else f"Codes, {_array(example)}."
    )
    usage = program.USAGE[options.format].format(f"{shown}/{name}")
    what = f"`{options.function}` as {PROGRAMS[options.format].partition(' as ')[2].partition(';')[0]}."
    made = OUTPUTS[options.function] + f", {_array(out.update(shape=out.shape[1:]))}."
    _card(model, options, folder, what=what, usage=usage, inputs=inputs, outputs=made)
    return f"`{options.function}`, {_array(example)} to {_array(out.update(shape=out.shape[1:]))}"


def _array(example: jax.ShapeDtypeStruct) -> str:
    return f"{example.dtype} `[{', '.join(map(str, ('N', *example.shape)))}]`"


def _refuse(model: Model) -> None:
    """What the converter makes wrong: a maximum over windows that reach beyond the border."""
    if model.network.get("stem") == "imagenet":
        raise UserError(
            "the maximum in a ResNet's stem='imagenet' has no right form in ONNX: take --format=stablehlo"
        )


def function_of(model: Model, name: str) -> tuple[Callable, jax.ShapeDtypeStruct]:
    """`f(x) -> y` of a model as it is trained, with the shape and dtype of one input: as it is stored, or a code.

    Raises:
        UserError: the method has no such function.
    """
    getattr(model, name)  # refuses
    functions, kind = model.functions, model.kind
    # On one device, without the others' sharding, which a program would ask for wherever it runs.
    state = jax.device_put(model.state, jax.local_devices()[0])
    error = lambda state, x: squared_error(functions.encode, functions.decode)(state, kind.see(x))
    made = {
        "encode": coding(functions.encode),
        "decode": functions.decode,
        "reconstruct": lambda state, x: functions.decode(state, functions.encode(state, x)),
        "score": error,
        "assign": functions.assign,
    }[name]
    example = kind.example()
    if name == "decode":
        example = jax.ShapeDtypeStruct((model.width,), np.float32)
    elif getattr(kind, "dtype", "") == "uint8":
        example = jax.ShapeDtypeStruct(example.shape, np.uint8)
    return lambda x: made(state, x), example


def _card(model: Model, options: argparse.Namespace, folder: pathlib.Path, **told: str) -> None:
    facts = workdir.read_model(model.folder)["facts"]
    results = model.folder / "evaluation.json"
    rows = {
        "method": model.name,
        "data": f"{model.source}: {model.kind.name} of shape {model.kind.shape}, {facts['examples']:,} for training",
        "steps": f"{model.step:,} of {facts['total_steps']:,}, {model.config.train.batch_size} examples each",
    }
    card = cards.Card(
        title=f"{model.name} on {model.source}",
        facts=rows,
        results=json.loads(results.read_text()) if results.exists() else {},
        class_names=model.class_names or (),
        versions=facts.get("made_with", {}),
        **told,
    )
    (folder / files.CARD).write_text(cards.text(card))


def export(folder: str | pathlib.Path, path: str | pathlib.Path) -> reference.Reference:
    """Writes the encoder of the newest checkpoint in `folder` to `path`, for evaluators of samples.

    Raises:
        UserError: no run in the folder, or no whole checkpoint; a method whose representation is not its encoder's
            output; a path that cannot be written.
    """
    experiment, state = load(folder)
    name, section = experiment.plan.method, experiment.plan.network
    params, stats = getattr(state, "params", {}), getattr(state, "stats", {})
    if not (section and isinstance(params, dict) and "encoder" in params):
        raise UserError(f"{folder}: the method {name!r} has no encoder to export; take a run of 'simclr'")
    variables = {"params": params["encoder"], "batch_stats": stats.get("encoder", {})}
    x = np.asarray(experiment.batch[:64])
    exported = reference.forward(reference.network(section))(variables, x)
    represented = experiment.method.encode(state, x)
    if exported.shape != represented.shape or not np.allclose(exported, represented, rtol=1e-2, atol=1e-3):
        raise UserError(f"{folder}: {name!r} represents by more than its encoder; take a run of 'simclr'")
    return reference.save(path, section, variables, shape=x.shape[1:])
