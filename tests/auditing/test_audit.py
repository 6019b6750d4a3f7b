import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from robustkit.auditing.audit import run_audit
from robustkit.auditing.comparison import compare_findings
from robustkit.auditing.recorded import check_pair, read_model
from robustkit.auditing.report import compare_audits, write_report
from robustkit.auditing.request import AttackPart, AuditRequest, SweepPart
from robustkit.errors import InputError, RobustkitError, RunInterrupted
from robustkit.files import read_json, write_json
from robustkit.findings.registry import FOLDERS
from robustkit.findings.remedy.record import RemedyPart
from robustkit.models import open_checkpoint, save_checkpoint
from robustkit.runs import only_writer
from tests.audits import make_audit
from tests.schemas import violations

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "audit.schema.json"
CHAPTERS = ("verdict", "provenance", "preflight", "clean", "sweeps", "accidents", "one-pixel", "fragile", "geometry",
            "windows", "maps", "distances", "remedy",
            "comparison", "sensitivity", "limits", "methods", "downloads")  # fmt: skip


def _quiet(line):
    pass


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    model, _ = make_audit(folder)
    opened = open_checkpoint(model)
    module = opened.classifier.module
    module.fc.weight.data *= 1.5
    return model, save_checkpoint(folder / "base.pt", module, opened.card)


def _request(world, **more):
    options = {
        "n": 20,
        "attack": AttackPart(searches=("random",), budget=60),
        "sweep": SweepPart(perturbations=("gaussian",)),
        "remedy": RemedyPart(tried=True, n=4, fronts=("clip",)),
    }
    return AuditRequest(str(world[0]), **{**options, **more})


@pytest.fixture(scope="module")
def audit(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "audit"
    said = []
    report = run_audit(_request(world, base=str(world[1])), out=out, device="cpu", say=said.append)
    (out.parent / "said.txt").write_text("\n".join(said))
    return out, report


@pytest.fixture
def copy(audit, tmp_path):
    """The records of the audit, without its page, in a folder of the test's own."""
    names = ("report.html", "figures", "tables")
    return Path(shutil.copytree(audit[0], tmp_path / "copy", ignore=shutil.ignore_patterns(*names)))


def test_a_page_is_drawn_again_without_torch(copy):
    code = """
import sys, time
from robustkit.auditing.report import write_report
imports = time.process_time()
write_report(sys.argv[1], say=lambda line: None)
print(imports, "torch" in sys.modules, [name for name in sys.modules if name.startswith("robustkit.engine")])
"""
    done = subprocess.run([sys.executable, "-c", code, str(copy)], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1)[1].strip() == "False []"
    assert (copy / "report.html").stat().st_size > 1_000_000


def test_a_page_is_not_drawn_while_another_process_writes_the_audit(copy):
    before = sorted(copy.rglob("*"))
    (copy / "model" / ".part.x.robustkit-part").write_text("half a file of the other process")
    with only_writer(copy / "lock"):
        with pytest.raises(InputError, match=f"another process writes to {copy} .*wait for it"):
            write_report(copy, say=_quiet)
        assert (copy / "model" / ".part.x.robustkit-part").exists()
    (copy / "model" / ".part.x.robustkit-part").unlink()
    assert sorted(copy.rglob("*")) == before


def test_an_audit_leaves_a_page_and_its_files(audit):
    out, report = audit
    html = report.page.read_text()
    for name in CHAPTERS:
        assert f'<section id="{name}"' in html
    for name in ("audit.json", "audit.toml", "images.csv", "junit.xml", "model-index.md"):
        assert (out / name).stat().st_size > 100
    assert report.page.stat().st_size < 8_000_000
    assert report.passed


def test_the_numbers_are_those_of_the_records(audit):
    out, report = audit
    numbers = read_json(out / "audit.json")
    assert violations(numbers, read_json(SCHEMA)) == []
    found = read_model(out / "model", "net")
    rate = numbers["models"][0]["metrics"]["flip_rate"]
    assert rate["n"] == found.attack.correct.sum()
    assert rate["value"] == pytest.approx(found.attack.flipped_images().sum() / rate["n"])
    right = found.clean["images"].probabilities.argmax(1) == found.clean["images"].labels
    assert numbers["models"][0]["metrics"]["accuracy"]["value"] == pytest.approx(right.mean())
    certified = numbers["models"][0]["metrics"]["certified_rate"]["value"]
    assert certified == pytest.approx(found.certificate.certified.sum() / rate["n"])
    assert {check.name: check.status for check in report.checks}["exposure_loss"] == "not run"


def test_how_long_it_takes_is_said_before_and_compared_at_the_end(audit):
    said = (audit[0].parent / "said.txt").read_text().splitlines()
    before = [line for line in said if line.startswith("the whole audit takes")]
    assert len(before) == 1
    assert said.index(before[0]) < next(i for i, line in enumerate(said) if "sweep: running" in line)
    assert said[-1].startswith("the audit took ")
    assert "the estimate was" in said[-1]


def test_a_schema_violation_is_seen():
    schema = read_json(SCHEMA)
    assert "$ lacks models" in violations({"schema": "robustkit-audit-2"}, schema)
    assert "$.schema is 'robustkit-audit-3'" in violations({"schema": "robustkit-audit-3"}, schema)


def test_steps_whose_inputs_are_unchanged_are_not_made_again(world, copy):
    records = {path: path.read_bytes() for path in copy.rglob("*.npz")}
    said = []
    run_audit(_request(world, base=str(world[1]), seed=0), out=copy, device="cpu", say=said.append)
    steps = [line for line in said if line.startswith(("model/", "base/"))]
    assert len(steps) == 2 * len(FOLDERS)
    assert not [line for line in steps if "running" in line or "going on" in line]
    assert "the whole audit takes about 15 s" in "\n".join(said)  # the page alone
    assert {path: path.read_bytes() for path in copy.rglob("*.npz")} == records


def test_the_page_is_drawn_again_from_records_alone(audit, copy, monkeypatch):
    import socket

    monkeypatch.setattr(socket, "socket", None)
    about = read_json(copy / "model" / "about.json")
    write_json(copy / "model" / "about.json", {**about, "model": "/gone/net.pt", "data": "/gone/galaxies"})
    shutil.rmtree(copy / "base")
    for step in ("sweep", "certify", "latents", "windows", "isomap"):
        shutil.rmtree(copy / "model" / step)
        (copy / "model" / f"{step}.json").unlink()
    report = write_report(copy, fail_under=("flip_rate<=0", "loss.psf<=1"), say=_quiet)
    html = report.page.read_text()
    assert html.count("Not run.") == 6
    assert "look with: robustkit sweep --model /gone/net.pt --suite lsst" in html
    assert not report.passed
    junit = (copy / "junit.xml").read_text()
    assert '<testsuite name="robustkit.gates" tests="2" failures="2"' in junit
    assert "loss.psf&lt;=1 (not measured)" in junit


def test_records_that_do_not_belong_together_are_refused(copy):
    about = read_json(copy / "model" / "about.json")
    for change, words in (
        ({"schema": 99}, "schema 1, found 99; run the audit again"),
        ({"ids": about["ids"][::-1]}, "is of other images than the audit"),
        ({"model_sha256": "0"}, "is of another model"),
    ):
        write_json(copy / "model" / "about.json", {**about, **change})
        with pytest.raises(InputError, match=words):
            read_model(copy / "model", "net")


def test_what_is_no_audit_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"there is no audit\.toml in"):
        write_report(tmp_path)
    (tmp_path / "audit.toml").write_text('model = "a.pt"\n')
    with pytest.raises(InputError, match="holds no records of an audit"):
        write_report(tmp_path)


def test_a_folder_of_something_else_is_not_written_to(world, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="already holds files and nothing is overwritten"):
        run_audit(_request(world), out=tmp_path, device="cpu", say=_quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_written_is_said(world, copy, tmp_path, monkeypatch):
    (copy / "figures").write_text("a file where a folder should be")
    with pytest.raises(InputError, match=r"cannot write the page to .*: File exists"):
        write_report(copy, say=_quiet)
    (copy / "images.csv").unlink()
    (copy / "images.csv").mkdir()
    with pytest.raises(InputError, match="cannot write the table of images to"):
        write_report(copy, say=_quiet)
    out = tmp_path / "audit"
    out.mkdir()
    write_json(out / "robustkit.json", {"kind": "robustkit-audit", "schema": 1})
    (out / "model").write_text("")
    words = (
        r"stopped at .*model: File exists; put that right and continue with the same command, finished steps are kept"
    )
    with pytest.raises(RobustkitError, match=words):
        run_audit(_request(world), out=out, device="cpu", say=_quiet)
    monkeypatch.setattr("os.access", lambda *arguments: False)
    with pytest.raises(InputError, match=r"cannot write to .*; name another folder"):
        run_audit(_request(world), out=out, device="cpu", say=_quiet)


def test_a_gate_on_a_number_that_does_not_exist_is_refused(copy):
    with pytest.raises(InputError, match="unknown number 'fliprate' in the gate"):
        write_report(copy, fail_under=("fliprate<=1",), say=_quiet)


def test_images_of_every_level_are_kept_for_the_page(audit):
    out, _ = audit
    assert all((out / side / "sweep" / "strips.npz").is_file() for side in ("model", "base"))


def test_pairs_are_paired(audit):
    out, _ = audit
    one, other = read_model(out / "model", "net"), read_model(out / "base", "base")
    rows = {row.name: row for row in compare_findings(one, other)}
    row = rows["accuracy"]
    hits = [r.probabilities.argmax(1) == r.labels for r in (one.clean["images"], other.clean["images"])]
    assert row.first == pytest.approx(hits[0].mean())
    assert float(row.difference.value) == pytest.approx(hits[0].mean() - hits[1].mean())
    both = one.attack.correct & other.attack.correct
    flips = rows["flipped by one pixel, images that both classify correctly"]
    assert flips.difference.n == both.sum()
    assert flips.first == pytest.approx(one.attack.flipped_images()[both].mean())
    same = compare_findings(one, one)
    assert all(float(row.difference.value) == 0 and row.p == 1 for row in same)


def test_audits_of_other_images_are_not_paired(audit, world, tmp_path):
    out, _ = audit
    few = _request(world, n=6, effort="quick", attack=AttackPart(searches=("random",), budget=5))
    run_audit(few, out=tmp_path / "few", device="cpu", say=_quiet)
    with pytest.raises(InputError, match=r"were audited on different images .*; audit it again with --data"):
        compare_audits(out, tmp_path / "few", out=tmp_path / "both", say=_quiet)
    assert not (tmp_path / "both").exists()
    one, other = read_model(out / "model", "net"), read_model(out / "model", "again")
    other.steps["attack"]["inputs"]["settings"]["budget"] = 7
    with pytest.raises(InputError, match=r"was made with other settings .*; audit both alike"):
        check_pair(one, other)


def test_two_audits_become_one_page(copy, tmp_path):
    other = tmp_path / "other"
    (copy / "base").rename(tmp_path / "kept")
    shutil.copytree(tmp_path / "kept", other / "model")
    shutil.copy(copy / "audit.toml", other / "audit.toml")
    for folder in (copy, other):
        for step in ("sweep", "certify", "latents", "windows", "isomap", "distances", "exhibits"):
            (folder / "model" / f"{step}.json").unlink()
    report = compare_audits(copy, other, out=tmp_path / "both", say=_quiet)
    html = report.page.read_text()
    assert "<title>Audit of net against base</title>" in html
    names = {check.name: check for check in report.checks}
    assert names["better_accuracy"].claim == "net is more accurate than base"
    numbers = read_json(tmp_path / "both" / "audit.json")
    assert violations(numbers, read_json(SCHEMA)) == []
    assert [one["label"] for one in numbers["models"]] == ["net", "base"]
    assert {row["name"] for row in numbers["comparison"]} >= {"accuracy", "wrong or flipped, all images"}
    with pytest.raises(InputError, match="already holds files and nothing is overwritten"):
        compare_audits(copy, other, out=tmp_path / "both", say=_quiet)


def test_an_audit_that_was_stopped_goes_on_with_the_same_command(world, tmp_path, monkeypatch):
    few = _request(world, n=6, effort="full", attack=AttackPart(searches=("random",), budget=5))

    def stopped(*arguments, **options):
        raise RunInterrupted("stopped by SIGTERM; finished work is kept, continue with --resume")

    with monkeypatch.context() as patched:
        patched.setattr("robustkit.findings.certify.measure.run_certify", stopped)
        with pytest.raises(RunInterrupted, match="continue with the same command"):
            run_audit(few, out=tmp_path / "audit", device="cpu", say=_quiet)
    assert not (tmp_path / "audit" / "report.html").exists()
    said = []
    run_audit(few, out=tmp_path / "audit", device="cpu", say=said.append)
    assert "model/attack: unchanged, reused" in said
    assert "model/certify: running, step 8 of 14" in said
    assert read_model(tmp_path / "audit" / "model", "net").certificate.complete.any()


def test_a_gate_that_could_never_hold_is_refused_before_anything_runs(world, tmp_path):
    with pytest.raises(InputError, match="unknown number 'fliprate'"):
        run_audit(_request(world, fail_under=("fliprate<=1",)), out=tmp_path / "audit", device="cpu", say=_quiet)
    assert not (tmp_path / "audit").exists()


def test_a_search_that_does_not_exist_is_refused_before_anything_runs(world, tmp_path):
    asked = _request(world, attack=AttackPart(searches=("luck",)))
    with pytest.raises(InputError, match="unknown search 'luck'"):
        run_audit(asked, out=tmp_path / "audit", device="cpu", say=_quiet)
    assert not (tmp_path / "audit").exists()


def test_every_image_has_a_line(audit):
    out, _ = audit
    lines = (out / "images.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 20
    found = read_model(out / "model", "net")
    rows = list(csv.DictReader(lines))[:20]
    assert [row["id"] for row in rows] == list(found.attack.ids)
    assert sum(row["flipped"] == "1" for row in rows) == found.attack.flipped_images().sum()


def test_the_table_of_images_is_the_same_in_parquet(audit):
    parquet = pytest.importorskip("pyarrow.parquet")
    out, _ = audit
    table = parquet.read_table(out / "images.parquet").to_pydict()
    with (out / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(table) == list(rows[0])
    for name, values in table.items():
        for value, row in zip(values, rows, strict=True):
            said = row[name]
            same = value == said if isinstance(value, str) else np.isnan(value) if said == "" else value == float(said)
            assert same, (name, value, said)


def test_the_table_of_images_is_the_same_in_fits(audit):
    out, _ = audit
    fits = pytest.importorskip("astropy.io.fits")
    with fits.open(out / "images.fits") as file:
        table = file[1].data
        found = read_model(out / "model", "net")
        assert np.array_equal(table["id"][:20], found.attack.ids)
        assert np.nansum(table["flipped"][:20]) == found.attack.flipped_images().sum()
