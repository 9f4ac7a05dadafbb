"""Uses a trained model: `unsupjax encode|reconstruct|denoise|fill|score|assign|decode RUN SOURCE --out=FILE`."""

import argparse
import csv
import pathlib
import queue
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from unsupjax import arrays
from unsupjax.commands import detect, output, pictures
from unsupjax.commands.arguments import add_processes, start_processes
from unsupjax.data.kinds import Arrays, Baskets, Images, Kind, Table, Tokens, Windows
from unsupjax.data.source import source_of
from unsupjax.data.stream import ALL, Block, Stream, is_columns, open_stream, rows_of
from unsupjax.errors import UserError
from unsupjax.model import Model, load
from unsupjax.parallel.processes import is_primary, share, together

_BLOCK = 4096  # examples that are read at once, at most
_LIVE = 64  # rows that go through together when they come one by one


class Use(NamedTuple):
    """A command.

    Attributes:
        what: it gives, for its help.
        name: of the columns of its results.
        whole: all columns of a table stand beside its results, if nothing else is said.
        live: it reads standard input too.
    """

    what: str
    name: str
    whole: bool = False
    live: bool = False


USES = {
    "encode": Use("the representation of every example, columns z0, z1, ...", "z"),
    "reconstruct": Use("what is left of every example once it went through its code", "x"),
    "denoise": Use("every example without its noise", "x"),
    "fill": Use("every example with a random part of it predicted from the rest", "x"),
    "score": Use("how strange every example is, a column `score`; higher is stranger", "score", True, True),
    "assign": Use("the cluster of every example, a column `cluster`", "cluster", True, True),
    "decode": Use("what codes stand for, as `encode` wrote them", "x"),
}


class Result(NamedTuple):
    """What a block of examples gave.

    Attributes:
        carried: what stands beside each.
        good: whether each could be read.
        values: of those that could.
    """

    carried: dict[str, Any]
    good: np.ndarray
    values: output.Values


def run(name: str, argv: list[str]) -> None:
    """Runs the command."""
    options = _parser(name).parse_args(argv)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is half written is removed
    live = options.source == "-" or getattr(options, "stream", False)
    _check(name, options, live)
    start_processes(options)
    with together():
        model = load(options.run, options.step)
        use = getattr(model, name) if name != "decode" else _decoder(model)
        model.batch_size = options.batch or model.batch_size
        keep, moved = tuple(options.keep.split(",")) if options.keep else (), None
        _check_kind(options, model.kind)
        if name == "denoise" and model.functions.restore is not None:
            pictures.denoise(model, options)
            return
        series = isinstance(model.kind, Windows) and name == "score"
        if series:
            (detect.live if live else detect.run)(options, model)
            return
        if name == "score" and isinstance(model.kind, Table):
            use = detect.of_rows(options, model)
            moved = [] if options.drift else None
            if moved is not None:
                plain = use
                use = lambda raw: moved.append(model.kind.prepare(raw)) or plain(raw)
        if not live:
            writer = output.check(options.out, options.overwrite)
            whole = not keep and USES[name].whole and writer in (output.Csv, output.Parquet)
            settings = {"unreadable": options.unreadable, "text_column": options.text_column}
            settings = {name: value for name, value in settings.items() if value is not None}
            stream = _opened(name, model, options.source, settings, (ALL,) if whole else keep)
    if live:
        _live(name, use, model, keep)
    else:
        _write(name, use, model, stream, options.out, writer)
        if moved:
            detect.tell_drift(model, moved)


def _parser(name: str) -> argparse.ArgumentParser:
    use = USES[name]
    parser = argparse.ArgumentParser(
        prog=f"unsupjax {name}",
        description=f"{use.what[0].upper()}{use.what[1:]}.",
        allow_abbrev=False,
    )
    parser.add_argument("run", help="the folder of a trained run")
    parser.add_argument(
        "source",
        nargs="?",
        default="",
        help="a file or a folder of pictures, rows or arrays, or a source as in --config.data.source; default: the "
        "data of the run"
        + ("; -: rows of CSV from standard input, results to standard output" if use.live else ""),
    )
    parser.add_argument(
        "--out", default="", help="NAME.csv, .parquet, .npy or .npz, or for pictures a folder of PNG files"
    )
    parser.add_argument("--step", default="newest", help="the checkpoint: newest, best, or its number")
    parser.add_argument("--batch", type=int, default=0, help="examples that go through at once")
    parser.add_argument(
        "--keep",
        default="",
        help="columns of the source that stand beside the results, NAME,NAME"
        + ("; default: all" if use.whole else "")
        + "; the model may not know them",
    )
    parser.add_argument(
        "--unreadable",
        type=float,
        help="the fraction of pictures that may be unreadable; default: as in training",
    )
    parser.add_argument(
        "--text_column", help="of a table in SOURCE, the column of texts; default: as in training"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what --out names")
    if name == "score":
        detect.add(parser)
    add_processes(parser)
    return parser


def _check(name: str, options: argparse.Namespace, live: bool) -> None:
    if options.unreadable is not None and not 0 <= options.unreadable < 1:
        raise UserError(f"--unreadable={options.unreadable} must be a fraction: at least 0 and less than 1")
    if options.batch < 0:
        raise UserError(f"--batch={options.batch} must be at least 1")
    if live and not USES[name].live:
        able = " and ".join(n for n, use in USES.items() if use.live)
        raise UserError(f"{name} reads no standard input; {able} do")
    if live and (options.out or options.overwrite):
        raise UserError("results of standard input go to standard output: leave --out and --overwrite out")
    if not live and not options.out:
        raise UserError("say where results go: --out=NAME.csv, .parquet, .npy, .npz or a folder")
    if name == "decode" and not options.source:
        raise UserError("decode needs codes: a file that `unsupjax encode` wrote")


def _check_kind(options: argparse.Namespace, kind: Kind) -> None:
    """Refuses what would say nothing of such data."""
    for option, taker, what in (
        ("text_column", (Tokens, Baskets), "texts"),
        ("unreadable", Images, "pictures"),
        ("explain", Table, "tables"),
        ("drift", Table, "tables"),
        ("threshold", (Table, Windows), "tables and time series"),
        ("causal", Windows, "time series"),
        ("alarms", Windows, "time series"),
        ("state", Windows, "time series"),
    ):
        if getattr(options, option, None) not in (None, "", False) and not isinstance(kind, taker):
            raise UserError(f"--{option} is for models of {what}, and this takes {kind.name}; leave it out")


def _decoder(model: Model) -> Callable:
    """Of codes as arrays or as the columns of a table."""
    decode = model.decode
    return lambda raw: decode(np.stack(list(raw.values()), axis=1) if isinstance(raw, dict) else raw)


def _opened(name: str, model: Model, source: str, settings: dict[str, Any], keep: tuple[str, ...]) -> Stream:
    if name != "decode":
        return open_stream(source or model.source, model.kind, {**model.options, **settings}, keep)
    form = source_of(source)
    kind = Arrays((model.width,))
    if is_columns(form):
        kind = Table.of_statistics([0.0] * model.width, [1.0] * model.width)
        kind = kind._replace(columns=tuple(c._replace(name=f"z{c.name}") for c in kind.columns))
    beside = {"label_column": "", "leave_out": ("file", "row"), "channels_first": False}
    return open_stream(form, kind, {**model.options, **beside}, keep)


def _results(use, model: Model, stream: Stream, part: int, parts: int) -> Iterator[Result]:
    size = max(model.batch_size, _BLOCK // model.batch_size * model.batch_size)
    for block in stream.blocks(size, part, parts):
        yield _result(stream.name, use, block)


def _result(source: str, use, block: Block) -> Result:
    try:
        return Result(block.carried, block.good, use(block.raw))
    except UserError as error:
        raise UserError(f"{source}, rows from {block.start} on: {error}") from error


def _write(name: str, use, model: Model, stream: Stream, out: str, writer: type) -> None:
    from tqdm import tqdm

    part, parts = share()
    results, scratch = _results(use, model, stream, part, parts), pathlib.Path(out + ".parts")
    if parts > 1:
        with together():
            # What a run that died has left is none of this one's: each removes what it is going to write itself.
            for left in scratch.glob("*.npz"):
                if int(left.stem) % parts == part:
                    left.unlink()
            for i, result in enumerate(results):
                scratch.mkdir(parents=True, exist_ok=True)
                _save(scratch / f"{i * parts + part:08d}.npz", result)
        if not is_primary():
            return
        results = map(_saved, sorted(scratch.glob("*.npz")))
    count = bad = 0
    with (
        output.opened(out, writer) as file,
        tqdm(total=stream.length, unit=" examples", disable=None) as bar,  # on a terminal alone
    ):
        for result in results:
            _write_one(file, USES[name].name, result)
            count, bad = count + len(result.good), bad + int((~result.good).sum())
            bar.update(len(result.good))
        if not count:
            raise UserError(f"{stream.name} holds no examples")
    shutil.rmtree(scratch, ignore_errors=True)
    fate = "their rows are blank (NaN, -1 of clusters, 0 of pixels)" if writer.takes_blanks else "left out"
    print(f"{out}: {count} examples" + (f", {bad} of which could not be read: {fate}" if bad else ""))


def _write_one(file: Any, name: str, result: Result) -> None:
    carried, good, values = result
    if not good.all() and file.takes_blanks:
        values = _spread(values, good)
    elif not good.all():
        carried = {
            key: [x for x, ok in zip(column, good, strict=True) if ok] for key, column in carried.items()
        }
    file.write(carried, name, values)


def _spread(values: output.Values, good: np.ndarray) -> output.Values:
    """Results with blanks for what could not be read."""
    if not isinstance(values, np.ndarray):
        return {name: _spread(column, good) for name, column in values.items()}
    whole = np.full(
        (len(good), *values.shape[1:]), {"f": np.nan, "i": -1}.get(values.dtype.kind, 0), values.dtype
    )
    whole[good] = values
    return whole


def _save(path: pathlib.Path, result: Result) -> None:
    """What one of several processes found, for the one that joins all."""
    text = lambda column: np.array(["" if x is None else x for x in column])
    carried = {f"carried.{key}": text(column) for key, column in result.carried.items()}
    values = {"": result.values} if isinstance(result.values, np.ndarray) else result.values
    arrays.save(path, carried | {f"values.{key}": v for key, v in values.items()} | {"good": result.good})


def _saved(path: pathlib.Path) -> Result:
    found, _ = arrays.load(path)
    carried, values = (
        {key.removeprefix(lead): v for key, v in found.items() if key.startswith(lead)}
        for lead in ("carried.", "values.")
    )
    return Result(carried, found["good"], values[""] if set(values) == {""} else values)


def _live(name: str, use: Callable, model: Model, keep: tuple[str, ...]) -> None:
    """Rows from standard input, each answered as soon as it came; those that wait go through together."""
    if not isinstance(model.kind, Table):
        raise UserError(f"standard input is for rows of tables, and the model takes {model.kind.name}")
    model.batch_size = min(model.batch_size, _LIVE)
    waiting: queue.Queue = queue.Queue(maxsize=10_000)

    def read():
        try:
            for row in csv.reader(sys.stdin):
                if row:
                    waiting.put(row)
        except (csv.Error, UnicodeDecodeError) as error:
            waiting.put(UserError(f"standard input is no CSV text: {error}"))
        waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    lines, made, count, over = output.Lines(), None, 0, False
    while not over:
        rows = [waiting.get()]
        while len(rows) < model.batch_size and not waiting.empty():
            rows.append(waiting.get())
        over = rows[-1] is None
        fault = next((row for row in rows if isinstance(row, UserError)), None)
        rows = [row for row in rows if isinstance(row, list)]
        if made is None and rows:
            names, rows = _names(rows, model.kind)
            made = rows_of("standard input", names, model.kind, model.options, keep or (ALL,))
        for row in rows:
            if len(row) != len(names):
                raise UserError(
                    f"standard input: a row has {len(row)} fields, and the first has {len(names)}: {row}"
                )
        if rows:
            result = _result("standard input", use, made(count, rows))
            lines.write(result.carried, USES[name].name, result.values)
            count += len(rows)
        if fault:
            raise fault


def _names(rows: list[list[str]], kind: Table) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and the rows without a line of names."""
    from unsupjax.data.delimited import is_number

    if kind.named or not all(map(is_number, rows[0])):
        return [name.strip() for name in rows[0]], rows[1:]
    return [str(i) for i in range(len(rows[0]))], rows
