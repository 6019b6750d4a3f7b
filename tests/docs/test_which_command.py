"""The page that answers which command to give names every command, and none that there is not."""

import re

from robustkit.cli import COMMANDS
from tests.docs.blocks import ROOT


def test_every_command_answers_a_question():
    text = (ROOT / "docs" / "howto" / "which-command.md").read_text()
    named = set(re.findall(r"`robustkit (\w+)", text))
    # Of those left, one joins shards, and two are of the shell itself.
    assert named == set(COMMANDS) - {"merge", "completion", "help"}
