"""What the sentences of the pages name exists: commands, options, scripts, files."""

import re
from pathlib import Path

import click
import pytest

from robustkit.cli import COMMANDS, group
from tests.docs.blocks import ROOT, blocks, inline, pages, prose, read
from tests.docs.checks import unlike
from tests.docs.shell import parse, tiny

LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]*))?\)")


def options_of(name):
    command = group.get_command(click.Context(group), name)
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


OPTIONS = {name: options_of(name) | {"--help"} for name in COMMANDS}
ELSEWHERE = {"dask", "jupyter"}  # programs of others
SCRIPTS = [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "examples").glob("*.py"), ROOT / "tests" / "fuzz_models.py"]


@pytest.mark.parametrize("page", pages())
def test_commands_and_options_in_sentences_exist(page):
    everywhere = {option for options in OPTIONS.values() for option in options}
    everywhere |= {word for path in SCRIPTS for word in re.findall(r'"(--[a-z][a-z-]*)"', path.read_text())}
    for code in inline(page):
        words = code.split()
        named = set(re.findall(r"(?:^|\s)(--[a-z][a-z-]*)", code))
        if words[0] == "robustkit" and len(words) > 1 and re.fullmatch("[a-z]+", words[1]):
            assert words[1] in COMMANDS, f"{page}: there is no `{code}`"
            assert named <= OPTIONS[words[1]], f"{page}: `{code}` has an unknown option"
        elif words[0] == "python" and len(words) > 1 and words[1].endswith(".py"):
            source = (ROOT / words[1]).read_text()
            assert {option for option in named if f'"{option}"' not in source} == set(), f"{page}: `{code}`"
        elif words[0] not in ELSEWHERE:
            assert named <= everywhere, f"{page}: no command has {sorted(named - everywhere)}"


@pytest.mark.parametrize("page", pages())
def test_links_lead_to_files_and_headings(page):
    for target, heading in LINK.findall(read(page)):
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), f"{page} links {target}, which is not there"
        if heading and path.suffix == ".md":
            assert heading in headings(path.read_text()), f"{page} links {target}#{heading}, which is no heading"


def headings(text):
    """Anchors of a page, as they are made where the repository is browsed and on the site."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", title.replace("`", "").lower()) for title in titles]
    return {re.sub(r"\s", "-", title.strip()) for title in plain}


@pytest.mark.parametrize("page", pages())
def test_nothing_that_could_be_run_is_hidden_from_the_tests(page):
    text = prose(page)
    assert "```" not in text, "a fence that is not closed, or not recognised"
    assert "~~~" not in text
    indented = re.findall(
        r"^(?:    |\t)\s*(?:\$ )?((?:robustkit|make|pip|python|sh) .*|(?:import|from) \w.*)$", text, re.MULTILINE
    )
    assert not indented, f"{indented[0]!r} stands in no fence"


def test_every_page_is_on_the_site():
    written = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    nav = (ROOT / "mkdocs.yml").read_text().partition("nav:")[2]
    named = set(re.findall(r"([\w/.-]+\.md)", nav))
    assert {page for page in written if not page.startswith("reproduction/")} <= named
    assert named - written <= {"index.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "reference/commands.md"}


def test_nothing_on_the_site_is_loaded_from_elsewhere():
    text = (ROOT / "mkdocs.yml").read_text()
    assert "font: false" in text
    assert "http" not in text


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["attack", "--model", "a.pt", "--pixel", "2"], "No such option"),
        (["attack"], "Missing option"),
        (["attack", "--model", "a.pt", "--n", "many"], "not a valid integer"),
    ],
)
def test_a_command_that_a_page_has_wrong_is_found(words, wrong):
    with pytest.raises(click.UsageError) as refusal:
        parse(words)
    assert wrong in refusal.value.format_message()


def test_a_command_that_does_not_exist_is_found():
    with pytest.raises(AssertionError, match="there is no command"):
        parse(["attck"])


def test_commands_are_made_tiny_and_stay_what_they_are():
    words = ["attack", "--model", "a.pt", "--n", "150", "--shard", "1/3"]
    small = tiny(words)
    assert small[:5] == ["attack", "--model", "a.pt", "--n", "12"]
    assert small.count("--n") == 1
    assert set(words) - {"150"} <= set(small)


def test_output_that_is_no_longer_printed_is_found():
    said = "50 of 180 images, part test\n  auto  flips 21 of 37: 0.57 [0.41, 0.71]\n"
    assert unlike("6 of 9 images, part test\n...\n auto  flips 1 of 2: 0.50 [0.09, 0.91]\n", said) == []
    assert unlike("the page is audit/report.html\n", said) == ["the page is audit/report.html"]


def test_blocks_are_read_with_their_language_and_title(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.docs.blocks.ROOT", tmp_path)
    Path(tmp_path, "page.md").write_text(
        '# A\n\n```sh\nmake demo\n```\n\n```python title="a.py"\nx = 1\n```\n\n```\nbare\n```\n'
    )
    first, second, third = blocks("page.md")
    assert (first.language, first.title, first.text, first.line) == ("sh", "", "make demo\n", 3)
    assert (second.language, second.title) == ("python", "a.py")
    assert third.language == ""  # which `Reader.follow` refuses
