"""The commands, one file each: `unsupjax COMMAND --help`."""

import importlib
import sys

# name -> (its module here, what it does)
COMMANDS = {
    "train": ("train", "train what a config describes, or go on with a run"),
    "configs": ("configs", "the configs that come with the package, and what they reached"),
    "fields": ("fields", "the fields of a method, a network, an evaluator or a section, with their defaults"),
    "evaluate": ("evaluate", "judge a run again, with other evaluators or on other data"),
    "encode": ("use", "representations of new pictures, rows or arrays"),
    "reconstruct": ("use", "what a model makes of new examples"),
    "denoise": ("use", "new examples without their noise"),
    "compress": ("pictures", "pictures into files that the same model decompresses"),
    "decompress": ("pictures", "these files into pictures"),
    "fill": ("use", "new examples with a random part predicted from the rest"),
    "score": ("use", "how strange new examples are"),
    "assign": ("use", "the clusters of new examples"),
    "decode": ("use", "what codes stand for"),
    "sample": ("sample", "new examples, drawn from a model"),
    "recommend": ("recommend", "what users may like, of what they have"),
    "similar": ("similar", "the items nearest to one"),
    "groups": ("groups", "the items of a recommender in groups"),
    "topics": ("topics", "what texts are about, and which of them are about what"),
    "compare": ("compare", "a table of runs: what differs between them, and what came out"),
    "report": ("report", "a run as one page"),
    "export": ("export", "weights and programs for other libraries"),
    "tables": ("tables", "synthetic tables: fit, sample, report, try"),
}


def main(argv: list[str] | None = None) -> None:
    """Runs a command; a fault of the user's is one line and exit status 1."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
        return
    name, *rest = argv
    if name == "--version":
        import unsupjax

        print(unsupjax.__version__)
        return
    if name not in COMMANDS:
        from unsupjax.errors import nearest

        sys.exit(f"error: unsupjax has no command {name!r}; {nearest(name, COMMANDS)}")
    _run(name, rest)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        ["usage: unsupjax COMMAND ...", "", *lines, "", "unsupjax COMMAND --help tells of each."]
    )


def _run(name: str, argv: list[str]) -> None:
    from absl import logging

    from unsupjax.errors import UserError
    from unsupjax.parallel import processes
    from unsupjax.parallel.heap import keep_freed_memory

    keep_freed_memory()
    logging.set_verbosity(logging.ERROR)  # orbax tells of every file that it reads and writes
    try:
        importlib.import_module(f"unsupjax.commands.{COMMANDS[name][0]}").run(name, argv)
    except UserError as error:
        processes.end(f"error: {error}")
    except KeyboardInterrupt:
        processes.end(f"interrupted: {name} left nothing that is half written")
    except BrokenPipeError:  # whoever read the output has enough
        processes.end("")
