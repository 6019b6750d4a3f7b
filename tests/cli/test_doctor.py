import importlib.metadata

import torch

import robustkit as package


def test_what_is_installed_is_said_with_its_version(robustkit):
    status, said, _ = robustkit("doctor")
    assert status == 0
    lines = dict(line.split(None, 1) for line in said.splitlines() if len(line.split()) > 1)
    assert lines["robustkit"] == package.__version__
    assert lines["torch"] == torch.__version__
    assert lines["scikit-learn"] == importlib.metadata.version("scikit-learn")
    assert lines["device"].endswith(f"{torch.get_num_threads()} threads") or "CUDA" in lines["device"]
    assert lines["sim"] == f"galsim {importlib.metadata.version('galsim')}"
    assert set(importlib.metadata.metadata("robustkit").get_all("Provides-Extra")) - set(lines) <= {
        "all",
        "test",
        "docs",
    }


def test_what_is_missing_comes_with_the_command_that_brings_it(robustkit, monkeypatch):
    version = importlib.metadata.version

    def without(name):
        if name == "h5py":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    status, said, _ = robustkit("doctor")
    assert status == 0
    assert "h5py not installed; pip install 'robustkit[hdf5]'" in said


def test_a_package_that_is_too_old_is_named_and_the_status_says_so(robustkit, monkeypatch):
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.9" if name == "scipy" else version(name))
    status, said, _ = robustkit("doctor")
    assert status == 1
    assert "1.9; robustkit needs >=1.15" in said
