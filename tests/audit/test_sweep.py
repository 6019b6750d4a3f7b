import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from robustkit.audit.sweep import SweepRequest, run_sweep
from robustkit.cli import group
from robustkit.data import ImageSet
from robustkit.data.survey import LSST, Depth
from robustkit.errors import InputError
from robustkit.perturb.sweep import SweepRecord
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
    assert {"sweep.npz", "sweep.csv", "summary.json", "sweep.png", "manifest.json"} <= names
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["mce"] == 1.0
    assert summary["origin"] == "declared"
    assert [one["name"] for one in summary["thresholds"]] == ["exposure", "jpeg"]
    rows = list(csv.DictReader((tmp_path / "run" / "sweep.csv").read_text().splitlines()))
    assert [row["level"] for row in rows[:5]] == ["0.5", "0.2", "0.1", "0.05", "0.0125"]
    assert float(rows[4]["accuracy"]) == run.summary.steps[4].accuracy.value
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
    assert [(step.name, step.level) for step in run.summary.steps] == [("bias", 3.0)]


def test_the_suites():
    steps = SweepRequest(suite="lsst").steps()
    assert len(steps) == 5 * len({step.name for step in steps})
    assert {"exposure", "saturation", "hcompress"} <= {step.name for step in steps}
    assert not any(step.physical for step in SweepRequest(suite="plain").steps())


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"suite": "all"}, "known are lsst, plain"),
        ({}, "--perturb or a suite"),
        ({"suite": "lsst", "perturbations": ("psf",)}, "--perturb or a suite"),
        ({"perturbations": ("psf", "flat"), "levels": (1.0,)}, "of one perturbation"),
        ({"perturbations": ("exposure",), "levels": (1.0,)}, "nothing would happen"),
        ({"perturbations": ("exposure",), "levels": (2.0,)}, "exposure takes 0.0001 to 1"),
        ({"perturbations": ("seeing",)}, "unknown perturbation 'seeing'; known are exposure"),
        ({"perturbations": ("psf",)}, "does not declare scale"),
    ],
)
def test_refusals_write_nothing(audit, tmp_path, request_, words):
    with pytest.raises(InputError, match=words):
        run_sweep(audit[0], SweepRequest(n=4, **request_), out=tmp_path / "run", say=silent)
    assert not (tmp_path / "run").exists()


def test_devices(audit, tmp_path):
    with pytest.raises(InputError, match="unknown device 'abacus'"):
        run_sweep(audit[0], SweepRequest(suite="plain"), device="abacus", out=tmp_path / "run", say=silent)
