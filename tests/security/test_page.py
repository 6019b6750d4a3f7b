"""The page always comes: names of any script, signs that terminals and spreadsheets obey, tables that fail."""

import csv
import io
import os
import pty
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import robustkit
from robustkit.auditing.audit import run_audit
from robustkit.auditing.machine import write_object_table
from robustkit.auditing.request import AttackPart, AuditRequest, SweepPart
from robustkit.cli import main
from robustkit.tables import NamedWriter, Writer, cell
from robustkit.words import brief, shown
from tests.attacks import silent
from tests.audits import make_audit

FORMULAS = ("=cmd|'/c calc'!A0", "@SUM(1)", "+1+cmd", "-2+3", '=HYPERLINK("http://x")', "\t=1", " =1", "\uff1d1+1")
ODD = ("fusionn\u00e9e", "\u661f\u7cfb", "\u05d2\u05dc\u05e7\u05e1\u05d9\u05d4", "\u202egpj.exe",
       "\x1b]0;PWNED\x07\x1b[2J", "\U0001f30c", *FORMULAS)  # fmt: skip
PLAIN = ["-0.5", "+1e-3", "-", "-inf", "nan", "1.", "-.5", "a=b", "x@y", "", "spiral-2", "\\r=1", -3, 0.5, None]


@pytest.mark.filterwarnings("ignore:Glyph")  # fonts differ in what they have
def test_every_script_comes_through_an_audit_and_nothing_is_obeyed(tmp_path, capsys):
    classes = ("fusionn\u00e9e", "=1+1\x1b[2J", "\u202eelliptical")
    model, _ = make_audit(tmp_path / "w", name="mod\u00e8le.pt", classes=classes, ids=ODD)
    request = AuditRequest(str(model), n=12, effort="quick", attack=AttackPart(searches=("random",), budget=8),
                           sweep=SweepPart(perturbations=("gaussian",)))  # fmt: skip
    report = run_audit(request, out=tmp_path / "audit", device="cpu", say=silent)
    assert report.page.is_file()
    assert "fusionn\u00e9e" in report.page.read_text()
    tables = list((tmp_path / "audit").rglob("*.csv"))
    assert len(tables) > 5
    for path in tables:
        for row in csv.reader(io.StringIO(path.read_text(), newline="")):
            for value in row:
                assert value == cell(value), path
    with pytest.raises(SystemExit):
        main(["report", str(tmp_path / "audit")])
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "\u202e" not in said.out + said.err
    fits = pytest.importorskip("astropy.io.fits")
    with fits.open(tmp_path / "audit" / "images.fits") as file:
        assert "fusionn\\xe9e" in set(file[1].data["true"]) | set(file[1].data["clean"])


def test_a_table_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
    pytest.importorskip("astropy.table")
    said = []

    def refuse(arrays, file):
        raise ValueError("no such column")

    monkeypatch.setattr("robustkit.auditing.machine._write_fits", refuse)
    written = write_object_table(tmp_path, "images", ["id"], [["a"]], said.append)
    assert [path.suffix for path in written] == [".csv", ".parquet"]
    assert said == ["images.fits is not written: no such column"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.csv", "images.parquet"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_text(text):
    assert cell(text) == f"'{shown(text)}"
    assert cell(np.str_(text)) == cell(text)
    out = io.StringIO()
    Writer(out).writerows([[text, 1]])
    named = NamedWriter(out, [text, "b"])
    named.writeheader()
    named.writerows([{text: text}])
    assert all(row[0].startswith("'") for row in csv.reader(io.StringIO(out.getvalue(), newline="")))


@pytest.mark.parametrize("value", PLAIN)
def test_a_number_and_plain_text_stay_as_they_are(value):
    assert cell(value) == value


def test_there_is_one_writer_of_csv():
    root = Path(robustkit.__file__).parent
    others = [str(path) for path in root.rglob("*.py") if re.search(r"csv\.(Dict)?[wW]riter|to_csv", path.read_text())]
    assert others == [str(root / "tables.py")]


def test_no_command_prints_without_the_filter():
    root = Path(robustkit.__file__).parent / "cli"
    allowed = {"saying.py", "__init__.py", "completion.py"}
    assert not [path.name for path in root.glob("*.py") if "echo(" in path.read_text() and path.name not in allowed]


@pytest.mark.parametrize("where", ["tensor", "class", "file", "option"])
def test_a_terminal_is_not_obeyed(tmp_path, where, monkeypatch):
    """On a real terminal, because some libraries write otherwise there."""
    evil = "\x1b]0;PWNED\x07\x1b[2J\x9b2J\u202e"
    monkeypatch.chdir(tmp_path)
    arguments = ["inspect", "--model", "m.pt"]
    torch.save({f"{evil if where == 'tensor' else 'a'}.weight": torch.zeros(3, 2)}, "m.pt")
    if where == "class":
        Path("m.toml").write_text('arch = "robustkit:ConvNet"\nclasses = ["\\u001b[2J", "b\\u202e", "c\\u009b2J"]\n')
    if where == "file":
        os.rename("m.pt", name := f"m{evil}.pt")
        arguments[2] = name
    if where == "option":
        arguments += ["--no-such-option" + evil]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "robustkit", *arguments])
    said = b""
    try:
        while part := os.read(terminal, 1 << 16):
            said += part
    except OSError:
        pass  # the other side is closed
    os.close(terminal)
    os.waitpid(pid, 0)
    text = re.sub("\x1b\\[(?:0|1|3[0-7])m", "", said.decode())  # the colours of our own words
    assert text.strip()
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text), repr(text)


def test_words_are_short_and_shown():
    assert brief("a\x1bb\nmore") == "a\\x1bb"
    assert brief(ValueError()) == "ValueError"
    assert len(brief("x" * 1000)) == 160
    assert shown("\udce9\x85\u2028\u05d0\u0301e") == "\\udce9\\x85\\u2028\u05d0\u0301e"
