"""A function of a trained model as one file that runs without this package: StableHLO, or ONNX."""

import logging
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from unsupjax.errors import UserError, first_line
from unsupjax.exchange.files import needed

FORMAT = "unsupjax program"
VERSION = 1
USAGE = {  # Python that runs the file
    "stablehlo": """from jax import export  # pip install jax flatbuffers

program = export.deserialize(bytearray(open("{}", "rb").read()))
y = program.call(x)""",
    "onnx": """import onnxruntime

session = onnxruntime.InferenceSession("{}")
[y] = session.run(None, {{session.get_inputs()[0].name: x}})""",
}
PLATFORMS = ("cpu", "cuda", "tpu")
_OPSET = 21  # of ONNX; runtimes of 2024 have it


def description(layout: str, function: str, kind: Any, example: Any, out: Any) -> dict[str, Any]:
    """What `config.json` says of a program.

    Args:
        layout: "stablehlo" or "onnx".
        function: what it computes.
        kind: of the model's data, of `unsupjax.data.kinds`.
        example: shape and dtype of one input.
        out: of the output of one.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "layout": layout,
        "function": function,
        "kind": kind.to_json(),
        "input": {"shape": list(example.shape), "dtype": str(example.dtype)},
        "output": {"shape": list(out.shape[1:]), "dtype": str(out.dtype)},
    }


def stablehlo(fn: Callable, example: jax.ShapeDtypeStruct, path: pathlib.Path) -> None:
    """Writes `fn([b, ...])` for any number b of examples, for CPUs, GPUs and TPUs.

    Args:
        fn: pure; what else it needs it holds.
        example: shape and dtype of one input.
        path: of the file.

    Raises:
        UserError: the function has no form for any number of examples.
    """
    needed("flatbuffers")  # which jax does not bring, and serialises with
    from jax import export

    [b] = export.symbolic_shape("b")
    batch = jax.ShapeDtypeStruct((b, *example.shape), example.dtype)
    faults = []
    # A function that asks how many examples there are has a form as one of each example on its own.
    for form in (fn, jax.vmap(lambda x: fn(x[None])[0])):
        try:
            made = export.export(jax.jit(form), platforms=PLATFORMS)(batch).serialize()
        except Exception as error:  # what cannot be traced or lowered raises anything
            faults.append(first_line(error))
            continue
        path.write_bytes(made)
        return
    raise UserError(f"it has no form as a StableHLO program for any number of examples ({faults[0]})")


def onnx(fn: Callable, example: jax.ShapeDtypeStruct, path: pathlib.Path) -> float:
    """Writes `fn([b, ...])` for any number b of examples, and runs what was written beside it.

    Args:
        fn: pure.
        example: shape and dtype of one input.
        path: of the file.

    Returns:
        the greatest difference from `fn`, as a share of the greatest value.

    Raises:
        UserError: a package that is missing, or an operation that has no form there.
    """
    jax2onnx, runtime, onnx = needed("jax2onnx"), needed("onnxruntime"), needed("onnx")
    batch = jax.ShapeDtypeStruct(("b", *example.shape), example.dtype)
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it tells of every shape that it leaves open
    try:
        made = jax2onnx.to_onnx(fn, [batch], model_name="unsupjax", opset=_OPSET)
        del made.graph.value_info[:]  # shapes of what lies between, of which the converter has some wrong
        onnx.save(made, path)
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return max(_difference(fn, session, example, n) for n in (1, 5))
    except OSError:
        raise
    except Exception as error:  # of the converter or the runtime
        raise UserError(f"it has no form in ONNX ({first_line(error)}): take --format=stablehlo") from error


def _difference(fn: Callable, session, example: jax.ShapeDtypeStruct, n: int) -> float:
    rng, shape = np.random.default_rng(0), (n, *example.shape)
    x = rng.integers(0, 256, shape) if example.dtype == np.uint8 else rng.uniform(size=shape)
    x = x.astype(example.dtype)
    [there] = session.run(None, {session.get_inputs()[0].name: x})
    here = np.asarray(jax.jit(fn)(x))
    if there.shape != here.shape:
        raise ValueError(f"{n} examples give {there.shape}, not {here.shape}")
    return float(np.abs(there - here).max() / max(np.abs(here).max(), 1e-6))
