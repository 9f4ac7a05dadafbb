"""Runs beside each other: `unsupjax compare RUN... --sort=METRIC`."""

import argparse
import json
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from unsupjax.commands import output, page
from unsupjax.errors import UserError, nearest
from unsupjax.run import workdir


def run(name: str, argv: list[str]) -> None:
    """Prints the table, and writes it where that is asked for."""
    parser = argparse.ArgumentParser(
        prog="unsupjax compare",
        description="A table of runs: the fields in which their configs differ, and what evaluators found. Runs that "
        "differ in nothing but the seed are also shown as a mean and a standard deviation.",
        allow_abbrev=False,
    )
    parser.add_argument("runs", nargs="+", help="folders of runs")
    parser.add_argument(
        "--sort", default="", metavar="METRIC", help="the greatest first; -METRIC: the smallest first"
    )
    for suffix in ("csv", "parquet", "html"):
        parser.add_argument(f"--{suffix}", default="", metavar="FILE", help=f"write it as {suffix} too")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    if "--sort" in argv[:-1] and argv[argv.index("--sort") + 1].startswith("-"):
        at = argv.index("--sort")
        argv = [*argv[:at], f"--sort={argv[at + 1]}", *argv[at + 2 :]]
    options = parser.parse_args(argv)
    targets = {s: getattr(options, s) for s in ("csv", "parquet", "html") if getattr(options, s)}
    for suffix, path in targets.items():
        check(suffix, path, options.overwrite)
    records = {run: read(run) for run in dict.fromkeys(options.runs)}
    fields = differing([config for config, _ in records.values()])
    metrics = list(dict.fromkeys(m for _, found in records.values() for m in found))
    rows = [
        {"run": run} | {f: config.get(f, "") for f in fields} | {m: found.get(m, "") for m in metrics}
        for run, (config, found) in records.items()
    ]
    rows = _sorted(rows, options.sort, [*fields, *metrics])
    means = over_seeds(rows, fields, metrics)
    print(_text(rows) + ("\n\n" + _text(means) if means else ""))
    for suffix, path in targets.items():
        if suffix == "html":
            sections = [("Runs", page.table(rows))] + ([("Over seeds", page.table(means))] if means else [])
            write_text(path, page.page("Comparison of runs", f"{len(rows)} runs", sections))
        else:
            _write_rows(path, output.WRITERS[f".{suffix}"], rows)
        print(f"{path}: {len(rows)} runs")


def read(run: str) -> tuple[dict[str, Any], dict[str, float]]:
    """The config of a run, flat, and what its evaluators found."""
    folder = pathlib.Path(run)
    config = workdir.flat(workdir.read_config(folder))
    path = folder / "evaluation.json"
    if not path.exists():
        return config, {}
    try:
        return config, json.loads(path.read_text())
    except ValueError as error:
        raise UserError(
            f"{path} is damaged ({error}); run `unsupjax evaluate {run}` to make it anew"
        ) from None


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fields that are not the same in all configs; how runs were judged is none."""
    fields = dict.fromkeys(field for config in configs for field in config)
    same = lambda field: all(config.get(field) == configs[0].get(field) for config in configs)
    return [f for f in fields if not same(f) and not f.startswith(("config.evaluate.", "config.checkpoint."))]


def over_seeds(rows: Sequence[Mapping], fields: Sequence[str], metrics: Sequence[str]) -> list[dict]:
    """Mean and standard deviation of the metrics of runs that differ in nothing but the seed."""
    groups: dict[tuple, list] = {}
    others = [f for f in fields if f != "config.seed"]
    for row in rows:
        groups.setdefault(tuple(str(row[f]) for f in others), []).append(row)
    made = []
    for group in groups.values():
        if len(group) < 2:
            continue
        told = {f: group[0][f] for f in others} | {"runs": len(group)}
        for metric in metrics:
            found = [row[metric] for row in group if row[metric] != ""]
            spread = statistics.stdev(found) if len(found) > 1 else 0.0
            told[metric] = f"{statistics.mean(found):.5g} ± {spread:.2g}" if found else ""
        made.append(told)
    return made


def _sorted(rows: list[dict], sort: str, known: Sequence[str]) -> list[dict]:
    if not sort:
        return rows
    metric, sign = sort.removeprefix("-"), 1 if sort.startswith("-") else -1
    metric = metric if metric in known else f"config.{metric}"
    if metric not in known:
        raise UserError(f"--sort={sort}: no run has it; {nearest(sort, known)}")
    there, absent = ([r for r in rows if (r[metric] == "") is gone] for gone in (False, True))
    return sorted(there, key=lambda row: _key(row[metric], sign)) + absent


def _key(value: Any, sign: int) -> tuple:
    return (0, sign * value) if isinstance(value, int | float) else (1, str(value))


def _text(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(rows[0])
    short = {name: name.removeprefix("config.") for name in names}
    cells = [[page.shown(row[name]) for name in names] for row in rows]
    widths = [max(len(short[n]), *(len(line[i]) for line in cells)) for i, n in enumerate(names)]
    lines = [[short[n] for n in names], *cells]
    return "\n".join(
        "  ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def check(suffix: str, path: str, overwrite: bool) -> None:
    """Refuses a path that is no file to be written."""
    target = pathlib.Path(path)
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise UserError(f"--{suffix}={path}: name a file in a folder that is there")
    if target.exists() and not overwrite:
        raise UserError(f"--{suffix}={path} is there already: choose another, or add --overwrite")


def _write_rows(path: str, writer: type, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    of_numbers = lambda column: all(isinstance(v, int | float) or v == "" for v in column)
    columns = {
        name: [None if v == "" else v for v in column] if of_numbers(column) else list(map(str, column))
        for name, column in columns.items()
    }
    with output.opened(path, writer) as file:
        file.write(columns, "", {})


def write_text(path: str, text: str) -> None:
    """All of it, or nothing."""
    target = pathlib.Path(path)
    partial = target.with_name(target.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written ({error.strerror}); choose another place") from error
