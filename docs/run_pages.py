"""Runs the commands and the code of a page, in order, in an empty folder, and holds what they print against the page.

    python docs/run_pages.py docs/tasks/*.md

Blocks of `sh` run in a shell, those of `python` in one interpreter a page; a block of `text` behind one is what it
prints, where `...` stands for anything and numbers may differ by a twentieth. A block of any other language is shown
alone.
"""

import contextlib
import doctest
import io
import os
import pathlib
import re
import subprocess
import sys
import tempfile

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?(?![\w.]*[A-Za-z])")
_TOLERANCE = 0.05


def blocks(page: pathlib.Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page: language and content."""
    return _BLOCK.findall(page.read_text())


def same(wanted: str, printed: str) -> bool:
    """Whether a program printed what the page says."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    if doctest.OutputChecker().check_output(wanted, printed, flags):
        return True
    words = [_NUMBER.sub("#", text).split() for text in (wanted, printed)]
    numbers = [[float(x.replace(",", "")) for x in _NUMBER.findall(text)] for text in (wanted, printed)]
    near = (abs(a - b) <= _TOLERANCE * max(1e-9, abs(a), abs(b)) for a, b in zip(*numbers, strict=False))
    return words[0] == words[1] and all(near)


def _shell(code: str, folder: pathlib.Path) -> str:
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{code}\n{done.stdout}{done.stderr}")
    return done.stdout


def _python(code: str, folder: pathlib.Path, names: dict) -> str:
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        exec(compile(code, "page", "exec"), names)  # the project's own pages
    return printed.getvalue()


def run(page: pathlib.Path) -> list[str]:
    """What went otherwise than a page says; empty: nothing did."""
    found, printed, names = [], "", {"__name__": "page"}
    with tempfile.TemporaryDirectory() as folder:
        for language, code in blocks(page):
            if language in ("sh", "python"):
                here = pathlib.Path(folder)
                printed = _shell(code, here) if language == "sh" else _python(code, here, names)
            elif language == "text" and not same(code, printed):
                found.append(f"{page}: the page says\n{code}\nand it printed\n{printed}")
    return found


if __name__ == "__main__":
    faults = [fault for name in sys.argv[1:] for fault in run(pathlib.Path(name))]
    print("\n".join(faults) or f"{len(sys.argv) - 1} pages print what they say")
    sys.exit(bool(faults))
