import csv
import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from robustkit.auditing.merge import merge_runs
from robustkit.cli import group
from robustkit.cores import cores
from robustkit.data import ImageSet, MinMaxStretch
from robustkit.data.survey import LSST, Depth
from robustkit.errors import InputError, RunInterrupted
from robustkit.files import read_json
from robustkit.findings.sweep.job import Rows, SweepJob
from robustkit.findings.sweep.measure import run_sweep, steps_of
from robustkit.findings.sweep.record import SweepRecord, SweepRequest
from robustkit.models import open_checkpoint
from robustkit.perturb.faults.registry import PERTURBATIONS
from robustkit.runs import Parts
from tests.audits import make_audit


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    """A checkpoint, and its images with what LSST declares after ten years."""
    folder = tmp_path_factory.mktemp("audit")
    model, galaxies = make_audit(folder)
    images = ImageSet.load(galaxies)
    return model, replace(images, meta=Depth(LSST, 10, 10).meta()).save(folder / "lsst")


def silent(line):
    """Says nothing."""


def test_a_run_leaves_record_table_summary_and_figure(audit, tmp_path):
    model, data = audit
    said = []
    request = SweepRequest(perturbations=("exposure", "jpeg"), n=12, data=data, base=model)
    run = run_sweep(model, request, out=tmp_path / "run", say=said.append)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"sweep.npz", "sweep.csv", "summary.json", "sweep.png", "sweep-latents.png", "manifest.json"} <= names
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["mce"] == 1.0
    assert summary["origin"] == "declared"
    assert [one["name"] for one in summary["thresholds"]] == ["exposure", "jpeg"]
    rows = list(csv.DictReader((tmp_path / "run" / "sweep.csv").read_text().splitlines()))
    assert [row["level"] for row in rows[:6]] == ["", "0.5", "0.2", "0.1", "0.05", "0.0125"]
    assert rows[0]["perturbation"] == "clean"
    assert float(rows[0]["accuracy"]) == run.numbers.clean.value == (run.record.clean_class == run.record.true).mean()
    assert float(rows[5]["accuracy"]) == pytest.approx(run.numbers.steps[4].accuracy.value)
    assert float(rows[5]["latent_distance"]) == pytest.approx(np.median(run.record.distance[4]))
    base = SweepRecord.load(tmp_path / "run" / "sweep-base.npz")
    np.testing.assert_array_equal(base.new_class, run.record.new_class)
    again = SweepRecord.load(tmp_path / "run" / "sweep.npz")
    np.testing.assert_array_equal(again.new_class, run.record.new_class)
    assert "12 of 20 images" in said[0]


def test_the_command_takes_levels(audit, tmp_path):
    model, data = audit
    arguments = ["sweep", "--model", str(model), "--data", str(data), "--n", "4", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(group, [*arguments, "--perturb", "exposure", "--levels", "1", "0.5", "0.1"])
    assert result.exception is None
    assert "exposure 0.1 of the exposure" in result.output
    assert len(SweepRecord.load(tmp_path / "run" / "sweep.npz").level) == 2  # the whole exposure is the clean image


def test_images_without_units_take_what_needs_none(audit, tmp_path):
    request = SweepRequest(perturbations=("gaussian", "band-drop"), n=4)
    run = run_sweep(audit[0], request, out=tmp_path / "run", say=silent)
    assert run.record.settings["conditions"] is None
    assert (run.record.distance > 0).all()


def test_a_class_of_ones_own_is_swept(audit, tmp_path):
    request = SweepRequest(perturbations=("tests.perturb.faults.test_contract:Bias",), levels=(3,), n=4)
    run = run_sweep(audit[0], request, out=tmp_path / "run", say=silent)
    assert [(step.name, step.level) for step in run.numbers.steps] == [("bias", 3.0)]


def test_the_suites():
    steps = steps_of(SweepRequest(suite="lsst"))
    assert len(steps) == 5 * len({step.label for step in steps})
    assert {step.label for step in steps} == {*PERTURBATIONS, "psf,restore_noise=false"}
    assert {"exposure", "saturation", "hcompress"} <= {step.name for step in steps}
    assert {"gaussian", "poisson", "jpeg"} <= {step.name for step in steps_of(SweepRequest(suite="plain"))}
    assert not any(step.physical for step in steps_of(SweepRequest(suite="plain")))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"suite": "all"}, "known are lsst, plain"),
        ({}, "--perturb or a suite"),
        ({"suite": "lsst", "perturbations": ("psf",)}, "--perturb or a suite"),
        ({"perturbations": ("psf", "flat"), "levels": (1.0,)}, "of one perturbation"),
        ({"perturbations": ("exposure",), "levels": (1.0,)}, "nothing would happen"),
        ({"perturbations": ("exposure",), "levels": (2.0,)}, "exposure takes 0.0001 to 1"),
        ({"perturbations": ("seeing",)}, "unknown perturbation 'seeing'; did you mean 'psf'"),
        ({"perturbations": ("psf",)}, "does not declare scale"),
        ({"suite": "lsst"}, "use --suite plain"),
        ({"perturbations": ("psf,restore=no",)}, "its options are restore_noise="),
        ({"perturbations": ("gaussian", "gaussian")}, "twice at the same level"),
        ({"suite": "plain", "n": 21}, "has 20 images"),
    ],
)
def test_refusals_write_nothing(audit, tmp_path, request_, words):
    with pytest.raises(InputError, match=words):
        run_sweep(audit[0], SweepRequest(**({"n": 4} | request_)), out=tmp_path / "run", say=silent)
    assert not (tmp_path / "run").exists()


def test_devices(audit, tmp_path):
    with pytest.raises(InputError, match="unknown device 'abacus'"):
        run_sweep(audit[0], SweepRequest(suite="plain"), device="abacus", out=tmp_path / "run", say=silent)


FILES = ("sweep.npz", "sweep-base.npz", "sweep.csv", "sweep.png", "sweep-latents.png")


def same(one, other):
    numbers = [read_json(folder / "summary.json") for folder in (one, other)]
    for each in numbers:
        for name in ("resumed_after", "shards", "device"):  # how the run went, not what it found
            each.pop(name, None)
    return numbers[0] == numbers[1] and all((one / name).read_bytes() == (other / name).read_bytes() for name in FILES)


@pytest.fixture(scope="module")
def whole(audit, tmp_path_factory):
    """What is asked for, and the folder of a run in one piece."""
    model, data = audit
    names = ("exposure", "jpeg", "gaussian")
    request = SweepRequest(perturbations=names, n=11, data=data, base=model, group=3)
    return request, run_sweep(model, request, out=tmp_path_factory.mktemp("w") / "run", codecs=0, say=silent).folder


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(audit, whole, tmp_path, monkeypatch):
    model, _ = audit
    request, expected = whole
    real, done = SweepJob.sweep, []

    def stopping(self, part, bar=None):
        if len(done) in (3, 6):  # once before the base, once before the model
            done.append("stopped")
            raise RunInterrupted("stopped")
        done.append(part.start)
        return real(self, part, bar)

    monkeypatch.setattr(SweepJob, "sweep", stopping)
    for _ in range(2):
        with pytest.raises(RunInterrupted):
            run_sweep(model, request, out=tmp_path / "run", codecs=0, resume=True, say=silent)
        assert not (tmp_path / "run" / "summary.json").exists()
    Parts(tmp_path / "run").path(0).unlink()
    with pytest.raises(InputError, match="already holds files"):
        run_sweep(model, request, out=tmp_path / "run", say=silent)
    for changed, words in (({"seed": 1}, "seed was 0 and is 1"), ({"n": 10}, "n was 11 and is 10")):
        with pytest.raises(InputError, match=words):
            run_sweep(model, replace(request, **changed), out=tmp_path / "run", resume=True, say=silent)
    run_sweep(model, request, out=tmp_path / "run", codecs=2, resume=True, say=silent)
    # Four groups, each through the model and the base; the one whose part was lost was made twice.
    assert done == [0, 0, 3, "stopped", 3, 3, "stopped", 0, 0, 6, 6, 9, 9]
    assert same(tmp_path / "run", expected)
    run_sweep(model, request, out=tmp_path / "run", resume=True, say=silent)  # nothing is left to do
    assert len(done) == 13


def test_shards_executors_and_merging_give_the_same_bytes(audit, whole, tmp_path):
    model, _ = audit
    request, expected = whole
    with ThreadPoolExecutor(2) as executor:
        run_sweep(model, request, out=tmp_path / "run", executor=executor, say=silent)
        first = run_sweep(model, request, out=tmp_path / "shard-1", shard="1/2", executor=executor, say=silent)
    assert same(tmp_path / "run", expected)
    assert len(first.record.ids) == 6
    with pytest.raises(InputError, match="1 of 2 shards are missing: 2/2"):
        merge_runs([tmp_path / "shard-1"], out=tmp_path / "merged", say=silent)
    run_sweep(model, request, out=tmp_path / "shard-2", shard="2/2", say=silent)
    merge_runs([tmp_path / "shard-2", tmp_path / "shard-1"], out=tmp_path / "merged", say=silent)
    assert same(tmp_path / "merged", expected)


def test_the_command_takes_workers_and_groups(audit, tmp_path):
    model, data = audit
    arguments = ["sweep", "--model", model, "--data", data, "--n", 5, "--perturb", "rice", "--levels", "1", "0.5"]
    arguments += ["--workers", 2, "--group", 2, "--out", tmp_path / "run"]
    result = CliRunner().invoke(group, [str(argument) for argument in arguments])
    assert result.exception is None, result.output
    request = SweepRequest(perturbations=("rice",), levels=(1, 0.5), n=5, data=data, group=2)
    here = run_sweep(model, request, out=tmp_path / "here", codecs=0, say=silent)
    assert (tmp_path / "run" / "sweep.npz").read_bytes() == (here.folder / "sweep.npz").read_bytes()


def test_groups_are_halved_where_memory_runs_out_and_an_image_alone_is_marked(audit, whole, tmp_path, monkeypatch):
    model, _ = audit
    request = replace(whole[0], group=8)
    real, most, never = SweepJob.sweep, 4, "galaxy-none"

    def hungry(self, part, bar=None):
        if part.stop - part.start > most or never in self.ids[part]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(self, part, bar)

    monkeypatch.setattr(SweepJob, "sweep", hungry)
    halved = run_sweep(model, request, out=tmp_path / "halved", codecs=0, say=silent)
    assert read_json(halved.folder / "summary.json")["plan"] == {"group": 8, "halved": {"0": [4, 4]}}
    classes = SweepRecord.load(whole[1] / "sweep.npz").new_class
    np.testing.assert_array_equal(halved.record.new_class, classes)
    never, said = str(halved.record.ids[5]), []
    marked = run_sweep(model, request, out=tmp_path / "marked", codecs=0, say=said.append)
    assert marked.record.clean_class[5] == -2
    assert (marked.record.new_class[:, 5] == -2).all()
    np.testing.assert_array_equal(np.delete(marked.record.new_class, 5, 1), np.delete(classes, 5, 1))
    assert marked.numbers.out_of_memory == 1
    assert all(step.not_finite == 0 and np.isfinite(step.margin) for step in marked.numbers.steps)
    assert "memory ran out for 1 images" in "\n".join(said)
    assert 0 in read_json(marked.folder / "summary.json")["plan"]["halved"]["0"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_stopped_can_go_on(audit, tmp_path, number):
    """Worker processes end with it, whatever stopped it."""
    model, data = audit
    command = [sys.executable, "-m", "robustkit", "sweep", "--model", str(model), "--data", str(data), "--n", "16"]
    command += ["--perturb", "rice", "--levels", "1", "0.5", "--group", "8", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until(
        lambda: (tmp_path / "run" / "manifest.json").exists() and len(children.read_text().split()) == min(8, cores())
    )
    workers = [int(pid) for pid in children.read_text().split()]
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    if number != signal.SIGKILL:
        assert process.returncode == 75
        assert "continue with --resume" in errors
        assert "Traceback" not in errors
    until(lambda: not any(alive(pid) for pid in workers))
    assert not (tmp_path / "run" / "summary.json").exists()
    if number == signal.SIGKILL:
        result = CliRunner().invoke(group, [*command[3:], "--resume"])
        assert result.exception is None
        assert (tmp_path / "run" / "summary.json").exists()


def until(true, seconds=120.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_class_in_a_file_of_ones_own(audit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my_faults.py"
    file.write_text("from tests.perturb.faults.test_contract import Bias\nclass Dust(Bias):\n    name = 'dust'\n")
    request = SweepRequest(perturbations=("my_faults:Dust",), n=4)
    run = run_sweep(audit[0], request, out=tmp_path / "run", say=silent)
    assert [step.name for step in run.numbers.steps] == ["dust"] * 5
    file.write_text(file.read_text() + "    valid = (0.0, 99.0)\n")
    sys.modules.pop("my_faults")
    with pytest.raises(InputError, match=r"plugins_sha256\.dust was"):
        run_sweep(audit[0], request, out=tmp_path / "run", resume=True, say=silent)
    sys.modules.pop("my_faults")


def test_images_that_were_stretched_are_taken_back_and_say_so(audit, tmp_path):
    model, data = audit
    calibrated, stretch = ImageSet.load(data), open_checkpoint(model).stretch
    seen = replace(calibrated, images=stretch(np.array(calibrated.images)), stretch=stretch).save(tmp_path / "seen")
    said = []
    request = SweepRequest(perturbations=("exposure", "gaussian"), n=6, data=seen)
    run = run_sweep(model, request, out=tmp_path / "run", say=said.append)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["origin"] == "inverted stretch"
    assert any(line.startswith("inverted stretch") for line in said)
    plain = run_sweep(model, replace(request, data=data), out=tmp_path / "plain", say=silent)
    np.testing.assert_allclose(run.record.clean_margin, plain.record.clean_margin, atol=1e-3)
    np.testing.assert_allclose(run.record.margin[:5], plain.record.margin[:5], atol=0.05)
    # Nothing that happens before the stretch: the images are taken as they are.
    only = run_sweep(model, replace(request, perturbations=("gaussian",)), out=tmp_path / "only", say=silent)
    np.testing.assert_allclose(only.record.margin, run.record.margin[5:], atol=1e-3)


def test_a_stretch_that_cannot_be_undone_is_refused(audit, tmp_path):
    images = ImageSet.load(audit[1])
    with pytest.raises(InputError, match="min-max stretch cannot be inverted"):
        Rows(images.images, np.arange(3), MinMaxStretch())


def test_missing_pixels_are_made_only_when_asked_for(audit, tmp_path):
    model, data = audit
    request = SweepRequest(perturbations=("dead-pixel", "dead-pixel,missing=true"), levels=(), n=6, data=data)
    run = run_sweep(model, request, out=tmp_path / "run", say=silent)
    counts = {(step.name, step.not_finite) for step in run.numbers.steps}
    assert counts == {("dead-pixel", 0), ("dead-pixel,missing=true", 6)}
    assert all(step.accuracy.value == 0 for step in run.numbers.steps if "missing" in step.name)
    assert (tmp_path / "run" / "sweep-latents.png").exists()  # drawn although no margin is finite


def test_noise_and_pictures_take_the_range_of_the_training_images(audit, tmp_path):
    model, data = audit
    lows, highs = zip(*open_checkpoint(model).card.input_range, strict=True)
    request = SweepRequest(perturbations=("gaussian", "jpeg,high=2"), n=4, data=data)
    run = run_sweep(model, request, out=tmp_path / "run", say=silent)
    made = run.record.settings["perturbations"]
    assert (made[0]["low"], made[0]["high"]) == (min(lows), max(highs))
    assert (made[5]["low"], made[5]["high"]) == (min(lows), 2.0)
    assert run.numbers.noise[0].sigma == pytest.approx(0.01 * (max(highs) - min(lows)))
    assert {step.name for step in run.numbers.steps} == {"gaussian", "jpeg"}


def test_one_band_leaves_away_what_needs_two():
    names = {step.name for step in steps_of(SweepRequest(suite="plain"), bands=1)}
    assert "rotation" in names
    assert not {"band-swap", "shift"} & names
    assert "band-swap" in {step.name for step in steps_of(SweepRequest(perturbations=("band-swap",)), bands=1)}
