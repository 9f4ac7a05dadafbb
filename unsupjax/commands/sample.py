"""Draws new examples from a model: `unsupjax sample RUN --n=64 --out=FOLDER`."""

import argparse
import pathlib
import signal

import numpy as np

from unsupjax.commands import output
from unsupjax.errors import UserError


def run(name: str, argv: list[str]) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="unsupjax sample", description="New examples, drawn from a trained model.", allow_abbrev=False
    )
    parser.add_argument("run", help="the folder of a trained run, or what `unsupjax tables fit` wrote")
    parser.add_argument("--n", type=int, default=64, help="how many; default: 64")
    parser.add_argument("--seed", type=int, default=0, help="others are drawn with another one")
    parser.add_argument(
        "--out", default="", help="NAME.csv, .parquet, .npy or .npz, or for pictures a folder of PNG files"
    )
    for option, kind, what in (
        ("prompt", str, "a text that the model goes on with, printed as it comes"),
        ("tokens", int, "of that text; default: 500"),
        ("temperature", float, "of its draws; default: 1; 0: always the likeliest token"),
        ("top_k", int, "draw from so many likeliest tokens"),
        ("top_p", float, "draw from the fewest likeliest tokens of this probability together"),
    ):
        parser.add_argument(f"--{option}", type=kind, help=what)
    parser.add_argument("--step", default="newest", help="the checkpoint: newest, best, or its number")
    parser.add_argument("--batch", type=int, default=0, help="examples that are drawn at once")
    parser.add_argument("--overwrite", action="store_true", help="replace what --out names")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is half written is removed
    if options.n < 1 or options.batch < 0:
        raise UserError(f"--n={options.n} and --batch={options.batch} must be at least 1")
    written = {name: getattr(options, name) for name in ("tokens", "temperature", "top_k", "top_p")}
    written = {name: value for name, value in written.items() if value is not None}
    if options.prompt is not None:
        _go_on(options, written)
        return
    if written:
        raise UserError(f"--{next(iter(written))} is for texts: give a --prompt, which may be empty")
    if not options.out:
        raise UserError("say where samples go: --out=FOLDER (PNG files), NAME.csv, .parquet, .npy or .npz")
    writer = output.check(options.out, options.overwrite)
    if pathlib.Path(options.run).is_file():
        _of_table(options)
        return
    from tqdm import tqdm

    from unsupjax.model import load

    model = load(options.run, options.step)
    model.batch_size = options.batch or model.batch_size
    blocks = model.samples(options.n, options.seed)
    with output.opened(options.out, writer) as file, tqdm(total=options.n, disable=None) as bar:
        for start, x in blocks:
            made = model.restored(x)
            file.write({"row": np.arange(start, start + len(x))} if writer is output.Pngs else {}, "x", made)
            bar.update(len(x))
    print(f"{options.out}: {options.n} samples")


def _go_on(options: argparse.Namespace, written: dict) -> None:
    """Prints how a text goes on."""
    from unsupjax.model import load

    if options.out:
        raise UserError("a text that goes on with a --prompt is printed: leave --out out")
    model = load(options.run, options.step)
    pieces = model.generate(options.prompt, **{"tokens": 500} | written, seed=options.seed)
    print(options.prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


def _of_table(options: argparse.Namespace) -> None:
    """The same as `unsupjax tables sample`."""
    from unsupjax.commands.tables import run as tables

    if options.step != "newest" or options.batch:
        raise UserError(f"{options.run} is a model of a table in one file: leave --step and --batch out")
    arguments = ["--rows", str(options.n), "--seed", str(options.seed)]
    tables("tables", ["sample", options.run, options.out, *arguments])
