import re
from pathlib import Path

import click

ROOT = Path(__file__).parents[3]


def test_every_row_of_the_table_of_forms_names_tests_that_exist():
    page = (ROOT / "docs" / "howto" / "audit-your-model.md").read_text()
    rows = [line for line in page.split("## What works")[1].splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 10
    sources = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    for row in rows:
        named = re.findall(r"`((?:test_\w+\.py)?(?:::)?(?:test_\w+)?)`", row.split("|")[4])
        assert named, row
        for name in named:
            file, _, function = name.partition("::") if ".py" in name else ("", "", name)
            assert not file or file in sources, name
            assert not function or any(f"def {function}(" in text for text in sources.values()), name


def test_every_option_of_the_page_exists():
    from robustkit.cli import group

    page = (ROOT / "docs" / "howto" / "audit-your-model.md").read_text()
    context = click.Context(group)
    commands = [group.get_command(context, name) for name in ("inspect", "attack", "audit")]
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z][a-z-]+", page)) <= known
