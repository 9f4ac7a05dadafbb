"""Photographs of any size, as files: `unsupjax compress|decompress RUN PICTURES --out=FOLDER`, and `denoise`."""

import argparse
import os
import pathlib
import signal
import time
from collections.abc import Callable, Iterator

import numpy as np

from unsupjax.commands import output
from unsupjax.data.pictures import read_picture
from unsupjax.data.sources.folder import images
from unsupjax.errors import UserError
from unsupjax.model import Model, load

SUFFIX = ".ujpc"


def run(name: str, argv: list[str]) -> None:
    """Runs `compress` or `decompress`."""
    options = _parser(name).parse_args(argv)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is half written is removed
    if not options.out:
        raise UserError("say where files go: --out=FOLDER")
    if output.check(options.out, options.overwrite) is not output.Pngs:
        raise UserError(
            f"--out={options.out}: there are as many files as pictures: name a folder, without a suffix"
        )
    compressing = name == "compress"
    paths = _pictures(options.source) if compressing else _compressed(options.source)
    model = load(options.run, options.step)
    getattr(model, name)  # refuses
    if compressing:
        _compress(model, paths, options)
    else:
        _decompress(model, paths, options)


def denoise(model: Model, options: argparse.Namespace) -> None:
    """What `unsupjax denoise` does with models that take pictures of any size."""
    from unsupjax.numerics.noise import noise_level

    if not options.source:
        raise UserError("say which pictures are denoised: a picture or a folder of them")
    if options.keep or options.batch:
        raise UserError("pictures of any size go through one by one: leave --keep and --batch out")
    if output.check(options.out, options.overwrite) is not output.Pngs:
        raise UserError(f"--out={options.out}: name a folder, for a PNG file for each picture")
    paths, count = _pictures(options.source), 0
    with output.opened(options.out, output.Pngs) as file:
        for name, path, x in _read(paths):
            made = _of(path, model.denoise, [x])[0]
            file.write({"file": [name]}, "x", made[None])
            if min(x.shape[:2]) > 2:
                level = float(noise_level((x[None] * (255 / np.iinfo(x.dtype).max)).astype(np.float32))[0])
                print(f"{name}: {x.shape[1]}x{x.shape[0]}, {x.dtype}, noise of about {level:.1f} of 255")
            count += 1
    print(f"{options.out}: {count} pictures")


def _parser(name: str) -> argparse.ArgumentParser:
    what = {
        "compress": "Pictures, of 8 bits and any size, into files that only the same model decompresses.",
        "decompress": "Files that `unsupjax compress` wrote into pictures (PNG).",
    }[name]
    parser = argparse.ArgumentParser(prog=f"unsupjax {name}", description=what, allow_abbrev=False)
    parser.add_argument("run", help="the folder of a trained run")
    parser.add_argument("source", help="a file, or a folder of them and of folders")
    parser.add_argument(
        "--out", default="", help="the folder of the results, which have the names of what they are of"
    )
    if name == "compress":
        parser.add_argument("--quality", type=int, default=32, help="0 (small) to 64 (good); default: 32")
    parser.add_argument("--step", default="newest", help="the checkpoint: newest, best, or its number")
    parser.add_argument("--overwrite", action="store_true", help="replace what --out names")
    return parser


def _compress(model: Model, paths: dict[str, str], options: argparse.Namespace) -> None:
    files, pixels, errors, start = [0, 0], 0, [], time.monotonic()
    with output.opened(options.out, output.Folder) as file:
        for name, path, x in _read(paths):
            content = _of(path, model.compress, x, options.quality)
            error = np.square(model.decompress(content).astype(np.float64) - x).mean()
            file.write(name + SUFFIX, content)
            size = os.path.getsize(path)
            area, files = x.shape[0] * x.shape[1], [files[0] + size, files[1] + len(content)]
            pixels, errors = pixels + area, [*errors, error]
            print(
                f"{name}: {size:,} -> {len(content):,} bytes, {8 * len(content) / area:.3f} bits a pixel, "
                f"PSNR {_psnr(error):.2f} dB"
            )
    print(
        f"{options.out}: {len(errors)} pictures, {files[0]:,} -> {files[1]:,} bytes, {8 * files[1] / pixels:.3f} "
        f"bits a pixel, mean PSNR {np.mean([_psnr(e) for e in errors]):.2f} dB, {time.monotonic() - start:.1f} s"
    )


def _decompress(model: Model, paths: dict[str, str], options: argparse.Namespace) -> None:
    start = time.monotonic()
    with output.opened(options.out, output.Pngs) as file:
        for name, path in paths.items():
            with open(path, "rb") as opened:
                content = opened.read()
            x = model.codec.decompress(content, path)
            file.write({"file": [name.removesuffix(SUFFIX)]}, "x", x[None])
            print(f"{name}: {len(content):,} bytes, {x.shape[1]}x{x.shape[0]}")
    print(f"{options.out}: {len(paths)} pictures, {time.monotonic() - start:.1f} s")


def _psnr(error: float) -> float:
    return float(10 * np.log10(255**2 / max(error, 1e-10)))


def _of(path: str, use: Callable, *arguments):
    """`use(*arguments)`, whose errors name the file."""
    try:
        return use(*arguments)
    except (UserError, ValueError) as error:
        raise UserError(f"{path}: {error}") from error


def _pictures(source: str) -> dict[str, str]:
    """Paths of pictures by their names below the source."""
    path = os.path.expanduser(source.removeprefix("folder:"))
    return _below(path, [path] if os.path.isfile(path) else images(source, path))


def _compressed(source: str) -> dict[str, str]:
    path = os.path.expanduser(source)
    if os.path.isfile(path):
        return _below(path, [path])
    found = sorted(str(p) for p in pathlib.Path(path).rglob(f"*{SUFFIX}"))
    if not found:
        raise UserError(
            f"{source}: there is no file or folder of that name with files of the suffix {SUFFIX}"
        )
    return _below(path, found)


def _below(root: str, paths: list[str]) -> dict[str, str]:
    return {os.path.relpath(p, root) if p != root else os.path.basename(p): p for p in paths}


def _read(paths: dict[str, str]) -> Iterator[tuple[str, str, np.ndarray]]:
    for name, path in paths.items():
        yield name, path, read_picture(path, path)
