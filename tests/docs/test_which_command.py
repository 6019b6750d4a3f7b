"""The page that answers which command to give names every command, and none that there is not."""

import re

from robustkit.cli import COMMANDS
from tests.docs.blocks import ROOT


def test_every_command_answers_a_question():
    text = (ROOT / "docs" / "howto" / "which-command.md").read_text()
    named = set(re.findall(r"`robustkit (\w+)", text))
    assert named == set(COMMANDS)
