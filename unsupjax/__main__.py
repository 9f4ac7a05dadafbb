"""`python -m unsupjax COMMAND`, and the console script `unsupjax`."""

import signal

# Ctrl-C ends the program at once but while it trains or writes. As an exception it may be lost: raised in the midst of
# an import or of a callback, it is whatever is there that catches it.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from unsupjax.commands import main as main  # noqa: E402

if __name__ == "__main__":
    main()
