"""`python -m unsupjax COMMAND`, and the console script `unsupjax`."""

import logging
import signal

# Ctrl-C ends the program at once but while it trains or writes. As an exception it may be lost: raised in the midst of
# an import or of a callback, it is whatever is there that catches it.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from unsupjax import commands  # noqa: E402


def main(argv: list[str] | None = None) -> None:
    """Runs a command as a program of its own."""
    logging.basicConfig(format="%(message)s")  # what a source has to say is said as it is
    commands.main(argv)


if __name__ == "__main__":
    main()
