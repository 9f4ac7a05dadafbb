"""The one exception whose cause is the user's input, and the suggestion it carries."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Wrong input: the message names the cause and the mend, and commands print it without a traceback."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """`"'a', 'b', 'c'"`, led by the closest choice: the end of a sentence that refuses `name`."""
    choices = sorted(choices)
    close = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
    listed = ", ".join(repr(c) for c in choices)
    return f"did you mean {close[0]!r}? Choices: {listed}" if close else f"choices: {listed}"


def closest(name: str, names: Iterable[str]) -> str:
    """The end of a sentence that refuses `name`, of more than can be listed: those that hold it, or look like it."""
    names, low = list(dict.fromkeys(names)), name.lower()
    found = [n for n in names if low and low in n.lower()][:5]
    found = found or difflib.get_close_matches(name, names, n=5, cutoff=0.5)
    return (
        "did you mean " + " or ".join(map(repr, found)) + "?" if found else f"there are {len(names)} others"
    )


def choose(field: str, name: str, table: dict):
    """`table[name]`, or a `UserError` that names the config field and the nearest valid choice."""
    if name not in table:
        raise UserError(f"{field}={name!r} is unknown; {nearest(name, table)}")
    return table[name]


def first_line(error: Exception) -> str:
    """What an exception of a library says, without the pages that may follow; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).split("\n")[0][:300]
