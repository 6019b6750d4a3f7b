"""An audit in which something fails: the rest is measured, and the page says what failed and how to repeat it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from robustkit.auditing.audit import run_audit
from robustkit.auditing.recorded import read_model
from robustkit.auditing.report import write_report
from robustkit.auditing.request import AttackPart, AuditRequest, SweepPart
from robustkit.files import read_json
from robustkit.models import ModelOptions
from tests.schemas import violations

CODE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features, self.classifier = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 3)

    def forward(self, x):
        return self.classifier(torch.relu(self.features(x)).mean((2, 3)))


class Picky(Net):
    def forward(self, x):
        if x.shape[0] > 0 and float(x.detach().min()) < 0:
            raise RuntimeError("negative flux\\nis not defined")
        return super().forward(x)


class Around(Net):
    def forward(self, x):  # bright images do not go through the last layer
        if float(x.detach().max()) > 1.05:
            last = self.classifier
            return nn.functional.linear(torch.relu(self.features(x)).mean((2, 3)), last.weight, last.bias)
        return super().forward(x)
"""


def _quiet(line):
    pass


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two networks of one file of weights, and images of positive values that they classify."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "net.py").write_text(CODE)
    space: dict = {}
    exec(CODE, space)
    torch.manual_seed(0)
    network = space["Net"]().eval()
    images = np.random.default_rng(0).uniform(0.01, 1.2, (18, 3, 12, 12)).astype(np.float32)
    images *= np.linspace(0.1, 1, 18, dtype=np.float32)[:, None, None, None]
    with torch.no_grad():
        network.classifier.bias -= network(torch.from_numpy(images)).mean(0)
        labels = network(torch.from_numpy(images)).argmax(1).numpy()
    torch.save(network.state_dict(), folder / "net.pt")
    np.savez(folder / "d.npz", images=images, labels=labels, class_names=list("abc"))
    return folder


SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "audit.schema.json"


def _audit(world, name, out):
    sweep = SweepPart(perturbations=("gaussian",), draws=1)
    request = AuditRequest(
        str(world / "net.pt"), data=str(world / "d.npz"), part="all", n=12, effort="quick",
        attack=AttackPart(searches=("random",), budget=40), sweep=sweep,
    )  # fmt: skip
    options = ModelOptions(arch=f"{world / 'net.py'}:{name}")
    said = []
    report = run_audit(request, options=options, out=out, device="cpu", say=said.append)
    return report, said


def test_a_page_is_written_whatever_fails(world, tmp_path, monkeypatch):
    """A network that raises in the sweep only, a chapter that cannot be drawn, and a record damaged afterwards."""

    def fail(models):
        raise KeyError("directions")

    out = tmp_path / "audit"
    with monkeypatch.context() as without:
        no_page(without)
        found, said = _audit(world, "Picky", out)
    why = "it failed unexpectedly (RuntimeError: negative flux); traceback in"
    assert [line for line in said if line.startswith(f"model/sweep: not run, {why}")]
    for step in ("attack", "certify"):
        assert len([line for line in said if line.startswith(f"model/{step}: engine: plain, because Picky")]) == 1
    assert found.attack is not None
    assert found.certificate is not None
    record = out / "model" / "certify" / "certificates.npz"
    record.write_bytes(record.read_bytes()[:200])
    monkeypatch.setattr("robustkit.findings.windows.show.chapter", fail)
    report = write_report(out, say=_quiet)
    html = report.page.read_text()
    assert f"{why} {out / 'model' / 'sweep-failed.txt'}; run the audit again" in html
    assert "robustkit sweep --model" in html
    assert "run the audit again, which makes this step again" in html
    assert "This chapter could not be drawn (KeyError: " in html
    assert "Accuracy and recalls" in html
    numbers = read_json(out / "audit.json")
    assert violations(numbers, read_json(SCHEMA)) == []
    assert numbers["models"][0]["steps"]["sweep"]["refused"].startswith(why)
    assert numbers["models"][0]["metrics"]["accuracy"]["n"] == 18
    assert "flip_rate" in numbers["models"][0]["metrics"]


def no_page(monkeypatch):
    """Steps alone, without the page, which takes longest."""
    monkeypatch.setattr(
        "robustkit.auditing.audit.draw_report", lambda folder, *how, **more: read_model(folder / "model", "net")
    )


def test_a_damaged_record_of_an_attack_is_made_again(world, tmp_path, monkeypatch):
    no_page(monkeypatch)
    whole, _ = _audit(world, "Net", tmp_path / "audit")
    (tmp_path / "audit" / "model" / "attack" / "attack.npz").write_bytes(b"no record")
    found, _ = _audit(world, "Net", tmp_path / "audit")
    assert (found.attack.flipped == whole.attack.flipped).all()
    assert found.sweep is not None


def test_a_network_that_goes_around_its_latent_is_measured_without_it(world, tmp_path, monkeypatch):
    no_page(monkeypatch)
    found, _ = _audit(world, "Around", tmp_path / "audit")
    assert "does not run for these images" in found.why_missing("latents")
    assert np.isnan(found.sweep.distance).all()
    plain, _ = _audit(world, "Net", tmp_path / "plain")
    assert np.isfinite(plain.sweep.distance).all()
    assert (plain.sweep.new_class == found.sweep.new_class).all()
    assert (plain.attack.flipped_images() == found.attack.flipped_images()).all()
    assert found.attack.flipped_images().any()


@pytest.mark.parametrize("error", [MemoryError("cannot allocate"), RuntimeError("svd did not converge")])
def test_latents_that_cannot_be_embedded_cost_the_latent_chapters(world, tmp_path, monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    no_page(monkeypatch)
    monkeypatch.setattr("robustkit.findings.latents.measure.embed_attacked", fail)
    found, _ = _audit(world, "Net", tmp_path / "audit")
    assert found.attack is not None
    assert found.certificate is not None
    assert "failed unexpectedly" in found.why_missing("latents")
    for step in ("windows", "isomap", "distances"):
        assert "failed unexpectedly" in found.why_missing(step)
    monkeypatch.undo()
    no_page(monkeypatch)
    again, said = _audit(world, "Net", tmp_path / "audit")
    assert "model/attack: unchanged, reused" in said
    assert again.latents is not None
    assert again.distances is not None
