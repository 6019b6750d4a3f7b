import importlib.metadata
import sys

import pytest
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
    assert set(importlib.metadata.metadata("robustkit-audit").get_all("Provides-Extra")) - set(lines) <= {
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
    assert "h5py not installed; pip install 'robustkit-audit[hdf5]'" in said


@pytest.fixture
def versions(monkeypatch):
    """Says which distributions are installed: a version for a name, or `None` for one that is not."""
    there = importlib.metadata.version
    said = {}

    def version(name):
        if said.get(name, "") is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return said.get(name) or there(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    return said


def test_the_other_project_of_the_name_is_noticed(robustkit, versions):
    versions["robustkit"] = None
    assert "project of others" not in robustkit("doctor")[1]
    versions["robustkit"] = "0.6.0"
    status, said, _ = robustkit("doctor")
    assert status == 0
    assert "the distribution robustkit 0.6.0 is installed too" in said
    assert "pip uninstall robustkit" in said


def test_a_checkout_that_is_not_installed_is_told_so(robustkit, versions):
    versions["robustkit-audit"] = None
    status, said, _ = robustkit("doctor")
    assert status == 1
    assert "robustkit-audit not installed" in " ".join(said.split())


def test_a_package_that_is_too_old_is_named_and_the_status_says_so(robustkit, monkeypatch):
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.9" if name == "scipy" else version(name))
    status, said, _ = robustkit("doctor")
    assert status == 1
    assert "1.9; robustkit needs >=1.15" in said


@pytest.mark.parametrize("error", [RuntimeError("operator torchvision::nms does not exist"), ImportError("libcudart")])
def test_a_package_that_is_installed_and_does_not_fit_torch_is_named(robustkit, monkeypatch, error):
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.28.0" if name == "torchvision" else version(name)
    )

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "torchvision":
                raise error

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    status, said, _ = robustkit("doctor")
    assert status == 0
    assert f"torchvision 0.28.0, which cannot be imported ({error}); it does not fit torch {torch.__version__}" in said
