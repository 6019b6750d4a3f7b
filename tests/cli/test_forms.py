# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""Forms of models through whole commands: each cell of the table in the docs is a command that is run here."""

import csv
import os
from pathlib import Path

import pytest

from robustkit.cli import main
from robustkit.files import read_json
from tests.cli.forms.table import COLUMNS, FORMS, NO_LATENT, markdown

GUIDE = Path(__file__).parents[2] / "docs" / "howto" / "audit-your-model.md"
AUDIT = """
model = "none"
data = "d.npz"
n = 12
[attack]
searches = ["best-first"]
budget = 40
[sweep]
perturbations = ["gaussian"]
draws = 1
[certify]
seconds = 0.5
"""
CPU = ("--device", "cpu")


class World:
    """A model of a form in a folder of its own, and the commands that were run on it."""

    def __init__(self, form, folder):
        self.form, self.folder, self.done = form, folder, {}
        folder.mkdir()
        os.chdir(folder)
        self.words = form.make()

    def run(self, column, capsys):
        """Runs the commands of a column, and those that it needs, once each; what they said."""
        os.chdir(self.folder)
        if column not in self.done:
            self.done[column] = getattr(self, "_" + column.replace(", ", "_").replace(" ", "_"))(capsys)
        return self.done[column]

    def _command(self, capsys, *words, status=0):
        capsys.readouterr()
        with pytest.raises(SystemExit) as done:
            main([str(word) for word in words])
        said, wrong = capsys.readouterr()
        assert done.value.code == status, said[-1500:] + wrong[-3000:]
        assert "Traceback" not in said + wrong, wrong[-3000:]
        return said + wrong

    def _open(self, capsys):
        said = self._command(capsys, "inspect", "--model", *self.words, "--data", "d.npz")
        assert "1.00 [" in said.partition("accuracy: ")[2][:8], said
        return said

    def _attack(self, capsys):
        short = ("--n", 6, "--search", "best-first", "--budget", 40)
        given = ("--model", *self.words, "--data", "d.npz", *short, "--out", "attack", *CPU)
        said = self._command(capsys, "attack", *given)
        assert ("robustkit audit" if self.form.without == NO_LATENT else "robustkit window") in said
        found = read_json("attack/summary.json")
        assert (found["drawn"], found["correct"]) == (6, 6)
        with open("attack/attacks.csv") as file:
            rows = list(csv.DictReader(file))
        assert ("disagreement_before" in rows[0]) == self.form.name.startswith("two checkpoints")
        return rows

    def _certify(self, capsys):
        short = ("--n", 2, "--budget", 16, "--out", "certify", *CPU)
        self._command(capsys, "certify", "--model", *self.words, "--data", "d.npz", *short)
        assert read_json("certify/summary.json")["correct"] == 2

    def _sweep(self, capsys):
        short = ("--n", 4, "--perturb", "gaussian", "--levels", 0.01, "--draws", 1, "--out", "sweep", *CPU)
        self._command(capsys, "sweep", "--model", *self.words, "--data", "d.npz", *short)
        assert read_json("sweep/summary.json")["clean"]["value"] == 1
        with open("sweep/sweep.csv") as file:
            assert ("disagreement" in file.readline()) == self.form.name.startswith("two checkpoints")

    def _windows_maps(self, capsys):
        flipped = any(row["flipped"] == "1" for row in self.run("attack", capsys))
        looking = ("--model", *self.words, "--run", "attack", "--noisy", "none", *CPU)
        status = 2 if self.form.without else 0
        axes = ("--x", "one-pixel" if flipped else "random", "--y", "random")
        axes += ("--resolution", 15) if self.form.sampled else ()
        shapes = ("--frames", 0, "--neighbours", 2)
        for command, more in (("window", axes), ("isomap", shapes)):
            said = self._command(capsys, command, *looking, *more, "--out", command, status=status)
            assert self.form.without.replace("spatial latent", "is spatial") in said
            assert Path(command, "summary.json").is_file() != bool(self.form.without)

    def _audit_page(self, capsys):
        Path("audit.toml").write_text(AUDIT)
        self._command(capsys, "audit", "audit.toml", "--model", *self.words, "--out", "audit", *CPU)
        steps = {path.stem: read_json(path) for path in Path("audit/model").glob("*.json")}
        refused = {
            name: step["refused"] for name, step in steps.items() if isinstance(step, dict) and step.get("refused")
        }
        expected = {"latents", "windows", "isomap", "distances"} if self.form.without else set()
        assert set(refused) - {"hazard"} == expected, refused  # accidents need images in electrons
        page = Path("audit/report.html").read_text()
        assert len(page) > 10_000
        assert "could not be drawn" not in page


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    base, made, here = tmp_path_factory.mktemp("forms"), {}, os.getcwd()

    def world(form):
        if form.name not in made:
            made[form.name] = World(form, base / str(len(made)))
        return made[form.name]

    yield world
    os.chdir(here)


def cells():
    """Every cell; a part of them runs always, of every row something, and all where slow tests run."""
    for row, form in enumerate(FORMS):
        for place, column in enumerate(COLUMNS):
            often = 3 if place < 4 else 17  # windows and pages take seconds to draw
            long = place == 5 and form.name == "100 classes"
            marks = [] if (row + place) % often == 0 and not long else [pytest.mark.slow]
            yield pytest.param(form, column, id=f"{form.name}-{column}", marks=marks)


@pytest.mark.parametrize(("form", "column"), list(cells()))
def test_a_form_goes_through_a_command(form, column, worlds, capsys, monkeypatch):
    monkeypatch.setattr("robustkit.cores.cores", lambda: 1)  # the page is drawn in this process
    worlds(form).run(column, capsys)


def test_the_table_of_the_docs_is_the_one_that_is_tested():
    assert markdown() in GUIDE.read_text()
    assert len(FORMS) >= 30
    assert len({form.name for form in FORMS}) == len(FORMS)
