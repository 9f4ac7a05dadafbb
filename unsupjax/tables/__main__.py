"""Synthetic tables from the command line: `unsupjax tables {fit,sample,report,try}`, each with `--help`."""

import argparse
import math
import pathlib
import sys
import time

import jax
import numpy as np

from unsupjax import tables
from unsupjax.errors import UserError
from unsupjax.tables.saving import check_path

_FEWEST_ROWS = 30  # a third of which are to be judged by
_BEST = {  # what a measure is when the synthetic rows are as good as real ones
    "column_shapes": "1",
    "pair_trends": "1",
    "detection_boosting": "0.5",
    "detection_logistic": "0.5",
    "tstr_accuracy": "trtr",
    "tstr_f1": "trtr",
    "tstr_r2": "trtr",
    "closest_record": "1",
    "copies": "copies_test",
}


def main(arguments: list[str] | None = None) -> None:
    """Runs what the arguments say; a fault of the user's is one line and exit status 1."""
    chosen = _parser().parse_args(arguments)
    try:
        chosen.run(chosen)
    except (UserError, tables.Diverged) as error:
        sys.exit(f"error: {error}")


def _fit(chosen: argparse.Namespace) -> None:
    check_path(chosen.model)
    _check_writable(chosen.model)
    model = _fitted(chosen, tables.read(chosen.data, discrete=chosen.discrete))
    tables.save(chosen.model, model)
    print(f"{chosen.model}: a model of {len(model.columns)} columns")


def _sample(chosen: argparse.Namespace) -> None:
    _check_writable(chosen.out)
    where = None
    if chosen.where is not None:
        column, equals, value = chosen.where.partition("=")
        if not equals:
            raise UserError(f"--where {chosen.where!r} must be COLUMN=VALUE")
        where = column, value
    table = tables.sample(tables.load(chosen.model), jax.random.key(chosen.seed), chosen.rows, where)
    tables.write(chosen.out, table)
    print(f"{chosen.out}: {table.rows} rows")


def _report(chosen: argparse.Namespace) -> None:
    train = tables.read(chosen.train, discrete=chosen.discrete)
    test, synthetic = (tables.read(path, like=train.columns) for path in (chosen.test, chosen.synthetic))
    if chosen.baselines:
        found = tables.compare(train, test, synthetic, target=chosen.target, seed=chosen.seed)
    else:
        found = {"synthetic": tables.report(train, test, synthetic, target=chosen.target, seed=chosen.seed)}
    print(format_reports(found))


def _try(chosen: argparse.Namespace) -> None:
    table = tables.read(chosen.data, discrete=chosen.discrete)
    if table.rows < _FEWEST_ROWS:
        raise UserError(f"{chosen.data} has {table.rows} rows; to hold a third out takes {_FEWEST_ROWS}")
    if chosen.target is not None:
        table.find(chosen.target)
    order = np.random.default_rng(chosen.seed).permutation(table.rows)
    test, train = table.take(order[: table.rows // 3]), table.take(order[table.rows // 3 :])
    model = _fitted(chosen, train)
    synthetic = tables.sample(model, jax.random.key(chosen.seed + 1), train.rows)
    print(f"{train.rows} rows to learn from, {test.rows} held out, {synthetic.rows} synthetic")
    print(format_reports(tables.compare(train, test, synthetic, target=chosen.target, seed=chosen.seed)))


def _fitted(chosen: argparse.Namespace, table: tables.Table) -> tables.TableGAN:
    begin = time.monotonic()

    def log(step: int, metrics: dict[str, float]):
        values = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        line = f"step {step}/{chosen.steps}  {values}  {time.monotonic() - begin:.0f} s"
        print(line, file=sys.stderr, flush=True)

    settings = {name: getattr(chosen, name) for name in _SETTINGS if getattr(chosen, name) is not None}
    return tables.fit(jax.random.key(chosen.seed), table, log=log, **settings)


def format_reports(reports: dict[str, dict[str, float]]) -> str:
    """Lines of a table: a measure each, and beside it what is best."""
    rows = [["measure", *reports, "best"]]
    for name in next(iter(reports.values())):
        values = (r[name] for r in reports.values())
        rows.append([name, *("-" if math.isnan(v) else f"{v:.3f}" for v in values), _BEST.get(name, "")])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in aligned)


def _check_writable(path: str) -> None:
    file = pathlib.Path(path)
    new = not file.exists()
    try:
        with file.open("ab"):
            pass
        if new:
            file.unlink()
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}); choose another path") from error


_SETTINGS = {
    "steps": (int, "updates of the generator"),
    "batch_size": (int, "rows in an update"),
    "learning_rate": (float, "at the first step; it falls to 0"),
    "loss": (str, "relativistic, or wasserstein as CTGAN's"),
    "penalty": (float, "weight of the penalty on the critic's gradient"),
    "pack": (int, "rows that the critic judges together; CTGAN's are 10"),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="unsupjax tables", description=__doc__.split(":")[0])
    commands = parser.add_subparsers(required=True, metavar="{fit,sample,report,try}")
    defaults = tables.Settings()._asdict()

    def command(name, run, text, *positional, settings=False, data=False):
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        for argument, meaning in positional:
            made.add_argument(argument, help=meaning)
        made.add_argument("--seed", type=_natural, default=0, help="of every draw; 0 unless told")
        if data:
            made.add_argument(
                "--discrete",
                nargs="+",
                action="extend",
                default=[],
                metavar="COL",
                help="columns of categories",
            )
        for option, (kind, meaning) in _SETTINGS.items() if settings else ():
            made.add_argument(f"--{option}", type=kind, default=defaults[option], help=meaning)
        return made

    data = ("data", "a CSV file whose first line names the columns")
    model = ("model", "the model's file, NAME.npz")
    command("fit", _fit, "fit a model to a table", data, model, settings=True, data=True)
    made = command("sample", _sample, "draw rows from a model", model, ("out", "the CSV file to write"))
    made.add_argument("--rows", type=int, required=True, help="how many")
    made.add_argument("--where", metavar="COL=VALUE", help="a category that all rows are to have")
    files = ("train", "what was learnt from"), ("test", "other real rows"), ("synthetic", "rows to judge")
    made = command("report", _report, "judge synthetic rows", *files, data=True)
    made.add_argument("--target", metavar="COL", help="a column to predict from the others")
    made.add_argument("--baselines", action="store_true", help="a copula and independent columns beside it")
    made = command("try", _try, "fit, sample and judge, a third held out", data, settings=True, data=True)
    made.add_argument("--target", metavar="COL", help="a column to predict from the others")
    return parser


def _natural(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to 2^31")
    return int(text)


if __name__ == "__main__":
    main()
