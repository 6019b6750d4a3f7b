"""Numbers and page of an audit in the records of an experiment; both libraries are played by what is called of them."""

import json
import sys
from types import ModuleType

import pytest

from robustkit.errors import InputError, MissingExtra
from robustkit.integrations.loggers import log_to_mlflow, log_to_wandb

LOGGED = {
    "robustkit/flip_rate": 0.7, "robustkit/flip_rate.low": 0.6, "robustkit/flip_rate.high": 0.8, "robustkit/mpc": 0.5,
}  # fmt: skip


@pytest.fixture
def audit(tmp_path):
    metrics = {"flip_rate": {"value": 0.7, "low": 0.6, "high": 0.8, "n": 9}, "mpc": {"value": 0.5, "low": None}}
    value = {"models": [{"metrics": metrics}], "gates": [{"passed": False}, {"passed": True}]}
    (tmp_path / "audit.json").write_text(json.dumps(value))
    (tmp_path / "report.html").write_text("page")
    return tmp_path


def test_names_that_mlflow_refuses_are_written_otherwise(audit, monkeypatch):
    kept = json.loads((audit / "audit.json").read_text())
    number = kept["models"][0]["metrics"].pop("mpc")
    kept["models"][0]["metrics"] = {"loss.psf,restore_noise=false": number, "flip_rate.E/S0 (early)": number}
    (audit / "audit.json").write_text(json.dumps(kept))
    said, mlflow = {}, ModuleType("mlflow")
    mlflow.log_metrics, mlflow.set_tag, mlflow.log_artifact = said.update, lambda *_: None, lambda *_, **__: None
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    log_to_mlflow(audit)
    assert set(said) == {"robustkit/loss.psf_restore_noise_false", "robustkit/flip_rate.E/S0 _early_"}


def test_mlflow_is_given_numbers_and_page(audit, monkeypatch):
    said, mlflow = {}, ModuleType("mlflow")
    mlflow.log_metrics = said.update
    mlflow.set_tag = said.__setitem__
    mlflow.log_artifact = lambda path, artifact_path: said.setdefault(artifact_path, []).append(path)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    assert log_to_mlflow(audit) == LOGGED
    kept = [str(audit / "report.html"), str(audit / "audit.json")]
    assert said == {**LOGGED, "robustkit.gates_failed": 1, "robustkit": kept}


def test_wandb_is_given_numbers_and_page(audit, monkeypatch):
    logged, kept, wandb = {}, [], ModuleType("wandb")

    class Run:
        def __init__(self):
            self.summary = {}

        def log(self, numbers):
            logged.update(numbers)

        def log_artifact(self, artifact):
            kept.append((artifact.name, artifact.files))

    class Artifact:
        def __init__(self, name, type):
            self.name, self.files = name, []

        def add_file(self, path):
            self.files.append(path)

    wandb.Artifact, wandb.run = Artifact, None
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    with pytest.raises(InputError, match=r"call wandb\.init first"):
        log_to_wandb(audit)
    wandb.run = Run()
    assert log_to_wandb(audit) == logged == LOGGED
    assert wandb.run.summary == {"robustkit/gates_failed": 1}
    assert kept == [("robustkit-audit", [str(audit / "report.html"), str(audit / "audit.json")])]


@pytest.mark.parametrize(("log", "extra"), [(log_to_mlflow, "mlflow"), (log_to_wandb, "wandb")])
def test_a_missing_library_and_a_folder_that_is_no_audit_are_said(log, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, extra, None)
    with pytest.raises(MissingExtra, match=rf"robustkit-audit\[{extra}\]"):
        log(tmp_path)
    monkeypatch.setitem(sys.modules, extra, ModuleType(extra))
    sys.modules[extra].run = object()
    with pytest.raises(InputError, match=r"no audit\.json"):
        log(tmp_path)
