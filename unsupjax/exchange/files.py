"""Files and folders: safetensors written and read, and folders that are there whole or not at all."""

import contextlib
import json
import pathlib
import shlex
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from unsupjax.errors import UserError, first_line

WEIGHTS = "model.safetensors"
MODELS = (WEIGHTS, "model.stablehlo", "model.onnx")
CONFIG = "config.json"
CARD = "README.md"
HEADER = "unsupjax"  # our entry of a file's metadata

_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")
_BEGIN = (
    b"PK",
    b"\x80\x02",
)  # with which those of `torch.save` begin, the newer zip files and the older ones
_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": None}


def needed(package: str):
    """Imports a package that not everybody has; UserError with the line that installs it."""
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        name = package.partition(".")[0]
        raise UserError(f"{name} is not there ({first_line(error)}): pip install {name}") from error


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray], description: Mapping[str, Any], **said: str):
    """Writes arrays under their names as safetensors; the description is JSON in the header, beside `said`."""
    numpy = needed("safetensors.numpy")
    contiguous = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    numpy.save_file(contiguous, path, metadata={HEADER: json.dumps(description), **said})


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes plain values, to be read by people as well."""
    path.write_text(json.dumps(content, indent=2) + "\n")


def read_json(path: pathlib.Path, kind: type = dict) -> Any:
    """What a file of JSON holds, an object or, with `list`, a list.

    Raises:
        UserError: there is no such file, or a damaged one.
    """
    if not path.is_file():
        raise UserError(
            f"{path.parent} has no {path.name}: give a folder as Hugging Face's transformers write it"
        )
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({first_line(error)}): get it anew") from error
    if not isinstance(said, kind):
        raise UserError(f"{path} holds no {kind.__name__}: get it anew")
    return said


def read(path: pathlib.Path, buffers: tuple[str, ...] = ()) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The floating arrays of a safetensors file as float32, and our description of them, if it has one.

    Counters, such as PyTorch's `num_batches_tracked`, and what ends as one of `buffers` are left out.

    Raises:
        UserError: no such file; a pickle; damaged; other numbers than floating ones; some that are not finite.
    """
    refuse_pickle(path)
    safetensors = needed("safetensors")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            said = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            left = ("_tracked", *buffers)
            arrays = {name: _array(path, file, name) for name in list(file.keys()) if not name.endswith(left)}
    except UserError:
        raise
    except Exception as error:  # what damage raises is as various as damage
        raise UserError(
            f"{path} is damaged or no safetensors file ({first_line(error)}): get it anew"
        ) from error
    return arrays, said if isinstance(said, dict) else {}


def _array(path: pathlib.Path, file: Any, name: str) -> np.ndarray:
    dtype = file.get_slice(name).get_dtype()
    if dtype not in _FLOATS:
        raise UserError(f"{path}: {name} is of {dtype}, where weights are F32, F16, BF16 or F64; cast it")
    with np.errstate(over="ignore"):
        value = np.asarray(file.get_tensor(name)).astype(np.float32)
    if not np.isfinite(value).all():
        raise UserError(f"{path}: {name} has values that are not finite; take weights from before they broke")
    return value


def refuse_pickle(path: pathlib.Path, target: pathlib.Path | None = None) -> None:
    """UserError where a file is none, or one that runs what is in it when it is read; `target`: what to make of it."""
    if not path.is_file():
        raise UserError(f"{path} is no file and no folder of a run or an export")
    with path.open("rb") as file:
        begins = file.read(2)
    if path.suffix.lower() not in _PICKLES and (begins not in _BEGIN or path.suffix == ".npz"):
        return
    target = target or path.with_suffix(".safetensors")
    code = (
        f"import torch, safetensors.torch as s; x = torch.load({str(path)!r}, map_location='cpu'); "
        f"s.save_file({{k: v.clone().contiguous() for k, v in x.get('state_dict', x).items()}}, {str(target)!r})"
    )
    raise UserError(
        f"{path} is a pickle, and reading one can run what is in it; where you trust it, convert it once: "
        f"python -c {shlex.quote(code)}"
    )


@contextlib.contextmanager
def whole(path: pathlib.Path, overwrite: bool) -> Iterator[pathlib.Path]:
    """A folder to be filled, which lies at `path` once all was written; else what was there still does.

    Raises:
        UserError: something is there already, or it cannot be written.
    """
    if path.is_file():
        raise UserError(f"{path} is a file; name a folder")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise UserError(f"{path} is there already: choose another folder, or add --overwrite")
    resolved = path.resolve()  # "." has no name
    partial = resolved.with_name(resolved.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        path.mkdir(exist_ok=True)
        for stale in {*path.glob("model.*")} & {path / name for name in MODELS}:  # of another format
            stale.unlink()
        for file in sorted(partial.iterdir()):
            file.replace(path / file.name)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): choose another place"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
