"""Judges a finished run again: `unsupjax evaluate RUN --run=knn,linear_probe --source=folder:PHOTOS`."""

import argparse
import functools

from unsupjax.commands.arguments import add_processes, start_processes
from unsupjax.commands.typed import changed


def judge(folder: str, arguments: list[str]) -> None:
    """Evaluates a run as it says itself, but for `arguments` such as `--config.evaluate.knn.k=5`."""
    from unsupjax.run.fit import evaluate

    evaluate(folder, functools.partial(changed, arguments=arguments) if arguments else None)


def run(name: str, argv: list[str]) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="unsupjax evaluate",
        description="Judges the newest checkpoint of a run, by its own evaluators or by others, on its own data or on "
        "others. Fields of config.evaluate and of config.data can be set: --config.evaluate.knn.k=5. What is found is "
        "added to the run's evaluation.json; of other data it lies in RUN/evaluations.",
        allow_abbrev=False,
    )
    parser.add_argument("run", help="the folder of a trained run")
    parser.add_argument("--source", help="other data, as in --config.data.source")
    parser.add_argument("--run", dest="judges", help="evaluators: NAME,NAME")
    parser.add_argument("--figures", help="figures: NAME,NAME")
    add_processes(parser)
    options, rest = parser.parse_known_args(argv)
    named = lambda names: repr(tuple(name for name in names.split(",") if name))
    rest += [f"--config.data.source={options.source}"] if options.source else []
    rest += [f"--config.evaluate.run={named(options.judges)}"] if options.judges is not None else []
    rest += [f"--config.evaluate.figures={named(options.figures)}"] if options.figures is not None else []
    start_processes(options)
    judge(options.run, rest)
