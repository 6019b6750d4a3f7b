"""What is written is ours: nothing of the user's is removed or overwritten, and no link is followed out of a run."""

import os
from pathlib import Path

import numpy as np
import pytest

from robustkit.auditing.audit import run_audit
from robustkit.auditing.report import write_report
from robustkit.auditing.request import AttackPart, AuditRequest, SweepPart
from robustkit.catalogues.writing import write_table
from robustkit.cli import main
from robustkit.errors import InputError, RobustkitError
from robustkit.files import new_folder, own_folder
from robustkit.findings.attack.measure import run_attack
from robustkit.models import ModelOptions, open_checkpoint, save_checkpoint
from robustkit.models.exporting import export_torchscript
from robustkit.models.foreign.options import write_card
from robustkit.training import Settings, train
from tests.attacks import SMALL, silent
from tests.audits import make_audit
from tests.training.worlds import squares


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return make_audit(folder)[0]


def request(model, **more):
    parts = {"attack": AttackPart(searches=("random",), budget=8), "sweep": SweepPart(perturbations=("gaussian",))}
    return AuditRequest(str(model), n=8, effort="quick", **parts, **more)


def everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_audit_leaves_a_project_of_the_user_alone(world, tmp_path, monkeypatch, capsys):
    project = tmp_path / "proj"
    (project / "model" / "clean").mkdir(parents=True)
    (project / "model" / "clean" / "masks.txt").write_text("masks")
    (project / "audit.toml").write_text(f'# my comments\nmodel = "{world}"\nn = 4\neffort = "quick"\n')
    before = everything(project)
    monkeypatch.chdir(project)
    for out in (".", str(project), "../proj", "model", "model/clean"):
        with pytest.raises(SystemExit) as done:
            main(["audit", "audit.toml", "--out", out])
        assert done.value.code == 2
        assert "name a" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="already holds files"):
        run_audit(request(world), out=project, device="cpu", say=silent)
    assert everything(project) == before


@pytest.mark.parametrize("left", [{}, {"lock": ""}, {".audit.toml.x.robustkit-part": ""}])
def test_an_audit_killed_at_its_beginning_is_begun_again(world, tmp_path, left):
    from robustkit.auditing.audit import NOTE, _check_out

    (tmp_path / "a").mkdir()
    for name, text in left.items():
        (tmp_path / "a" / name).write_text(text)
    _check_out(tmp_path / "a")
    (tmp_path / "a" / NOTE).write_text("[]")
    with pytest.raises(InputError, match="the note of an audit"):
        _check_out(tmp_path / "a")


def test_a_folder_without_the_note_of_its_step_is_not_removed(world, tmp_path):
    out = tmp_path / "audit"
    run_audit(request(world), out=out, device="cpu", say=silent)
    (out / "model" / "sweep.json").unlink()
    (out / "model" / "sweep" / "mine.txt").write_text("mine")
    with pytest.raises(RobustkitError, match="no note says that a step of this audit made them"):
        run_audit(request(world), out=out, device="cpu", say=silent)
    assert (out / "model" / "sweep" / "mine.txt").read_text() == "mine"
    # Links inside of an audit are not followed, to folders nor to files.
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("figures", "tables"):
        for path in (out / name).iterdir():
            path.unlink()
        (out / name).rmdir()
        (out / name).symlink_to(outside)
        with pytest.raises(InputError, match="is a link"):
            write_report(out, say=silent)
        (out / name).unlink()
    assert not list(outside.iterdir())


@pytest.mark.parametrize("kind", ["checkpoint", "card", "table", "torchscript", "training"])
def test_what_a_killed_command_left_beside_its_file_is_gone_after_the_next(world, tmp_path, kind):
    name = {"checkpoint": "x.pt", "card": "x.toml", "table": "x.csv", "torchscript": "x.ts", "training": "x.pt"}[kind]
    path = tmp_path / name
    left = [tmp_path / f".{name}.abc.robustkit-part"]
    left += [tmp_path / ".x.state.abc.robustkit-part", tmp_path / ".x.csv.abc.robustkit-part"] * (kind == "training")
    for one in left:
        one.write_bytes(b"half of it")
    opened = open_checkpoint(world)
    make = {
        "checkpoint": lambda: save_checkpoint(path, opened.classifier.module, opened.card),
        "card": lambda: write_card(path, ModelOptions(arch="robustkit:ConvNet")),
        "table": lambda: write_table(path, {"id": np.array(["a"])}, {}),
        "torchscript": lambda: export_torchscript(opened, path),
        "training": lambda: train(squares(60), out=path, settings=Settings(epochs=1, batch=8), device="cpu"),
    }[kind]
    make()
    assert path.exists()
    assert not [one for one in left if one.exists()]


@pytest.mark.parametrize("name", ["parts", "lock", "manifest.json"])
def test_a_link_in_a_run_folder_destroys_no_other_file(world, tmp_path, name):
    token = tmp_path / "token"
    token.write_text("secret without a newline")
    run = tmp_path / "run"
    run_attack(world, SMALL, out=run, device="cpu", say=silent)
    if name == "parts":
        for part in (run / name).iterdir():
            part.unlink()
        (run / name).rmdir()
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(token)
    with pytest.raises(RobustkitError):
        run_attack(world, SMALL, out=run, resume=True, device="cpu", say=silent)
    assert token.read_text() == "secret without a newline"


def test_the_folder_one_stands_in_and_home_are_refused(tmp_path, monkeypatch):
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "me"))
    (tmp_path / "home" / "me").mkdir(parents=True)
    (tmp_path / "link").symlink_to(here)
    home = tmp_path / "home"
    for path in (".", "..", "/", tmp_path / "link", home / "me", home):
        with pytest.raises(InputError, match="name a folder of its own with --out"):
            new_folder(path)
    assert new_folder("out").is_dir()
    (Path("out") / "file").write_text("")
    with pytest.raises(FileExistsError):
        own_folder(Path("out") / "file")
    os.symlink(tmp_path, "out/link")
    with pytest.raises(InputError, match="is a link"):
        own_folder("out/link")


def test_a_reproduction_is_known_by_its_note_and_follows_no_link(tmp_path, capsys):
    from robustkit.cli import main

    for text, words in (("[]", "holds no JSON object"), ('{"paper": "\\u001b[2J"}', "holds another reproduction")):
        (tmp_path / "r").mkdir(exist_ok=True)
        (tmp_path / "r" / "study.json").write_text(text)
        with pytest.raises(SystemExit) as done:
            main(["reproduce", "ad22", "--scale", "tiny", "--out", str(tmp_path / "r")])
        assert done.value.code == 2
        err = capsys.readouterr().err
        assert words in err
        assert err.isprintable() or err.rstrip("\n").isprintable()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit):
        main(["reproduce", "ad22", "--scale", "tiny", "--out", str(tmp_path / "mine")])
    assert os.listdir(tmp_path / "mine") == ["thesis.txt"]
