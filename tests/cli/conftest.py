import pytest

from robustkit.cli import main


@pytest.fixture
def robustkit(capsys):
    """Runs a command as a user does: its exit status, and what it said on both streams."""

    def run(*arguments):
        with pytest.raises(SystemExit) as done:
            main([str(argument) for argument in arguments])
        return done.value.code, *capsys.readouterr()

    return run
