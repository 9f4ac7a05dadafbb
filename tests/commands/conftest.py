"""Commands in this process: what they print, and what they refuse with."""

import pytest

from unsupjax.commands import main


@pytest.fixture
def unsup(capsys):
    """Runs a command; what it printed."""

    def run(*arguments):
        main(list(map(str, arguments)))
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(capsys):
    """What a command ends with."""

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(list(map(str, arguments)))
        assert caught.value.code in (1, 2)
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return said

    return run


@pytest.fixture
def said(capsys):
    """Runs a command; what it printed, or the line that it was refused with."""

    def run(*arguments):
        try:
            main(list(map(str, arguments)))
        except SystemExit as ended:
            assert ended.code == 1
            return capsys.readouterr().err
        return capsys.readouterr().out

    return run
