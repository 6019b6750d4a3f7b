import argparse
import io
import pathlib
import re
import sys
import types
import warnings
import zipfile
from collections import defaultdict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import robustkit
from robustkit.errors import InputError, SecurityError
from robustkit.models.foreign import pickles
from robustkit.models.foreign.weights import read_weights
from tests.models.foreign.payloads import FORMS

STATE = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.ones(2, dtype=torch.float64)}


@pytest.mark.parametrize("suffix", [".pt", ".npy", ".ckpt", ".safetensors", ".onnx", ".csv"])
@pytest.mark.parametrize("form", FORMS)
def test_no_payload_runs_whatever_the_file_is_called(tmp_path, monkeypatch, form, suffix):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    marker, path = tmp_path / "marker", tmp_path / f"evil{suffix}"
    FORMS[form](path, marker)
    with pytest.raises(InputError, match=re.escape(str(path))) as refused:
        read_weights(path)
    assert not marker.exists()
    plainly_not_a_model = form in ("npy", "npz", "old_pickle", "tar")
    assert plainly_not_a_model or isinstance(refused.value, SecurityError)


@pytest.mark.parametrize("form", ["scripted", "exported", "package", "keras", "raw_pickle", "tar"])
def test_what_runs_code_is_refused_before_any_loader_is_called(tmp_path, monkeypatch, form):
    def fail(*args, **kwargs):
        raise AssertionError("a loader was called")

    for where, name in ((torch, "load"), (torch.jit, "load"), (torch.export, "load")):
        monkeypatch.setattr(where, name, fail)
    FORMS[form](tmp_path / "evil.pt", tmp_path / "marker")
    with pytest.raises(InputError):
        read_weights(tmp_path / "evil.pt")


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("suffix", [".pt", ".pth.tar", ".ckpt", ".bin", ".jpg"])
def test_weights_come_as_they_are_whatever_the_file_is_called(tmp_path, new, suffix):
    path = tmp_path / f"weights{suffix}"
    torch.save({"epoch": 3, "state_dict": STATE}, path, _use_new_zipfile_serialization=new)
    content = read_weights(path)
    assert content.value["epoch"] == 3
    for name, tensor in STATE.items():
        assert content.value["state_dict"][name].equal(tensor)
        assert content.value["state_dict"][name].dtype == tensor.dtype


def test_safetensors(tmp_path):
    save_file(STATE, tmp_path / "weights.pt", metadata={"_target_": "os.system"})
    assert read_weights(tmp_path / "weights.pt").value["fc.weight"].equal(STATE["fc.weight"])


def test_bookkeeping_of_training_scripts_is_skipped_and_said(tmp_path):
    counts = defaultdict(list)
    counts["a"] = [1]
    content = {
        "state_dict": STATE,
        "args": argparse.Namespace(lr=0.1, path=pathlib.PosixPath("/tmp")),
        "accuracy": np.float64(0.5),
        "history": np.arange(3),
        "counts": counts,
    }
    torch.save(content, tmp_path / "w.pt")
    opened = read_weights(tmp_path / "w.pt")
    assert opened.value["state_dict"]["fc.weight"].equal(STATE["fc.weight"])
    assert opened.value["counts"] == {"a": [1]}
    assert isinstance(opened.value["args"], pickles.Skipped)
    assert {"argparse.Namespace", "pathlib.PosixPath"} <= set(opened.skipped)


def test_a_lightning_checkpoint_opens_without_lightning(tmp_path, monkeypatch):
    """Its hyper-parameters are of a class of Lightning's, under which name ours are saved here."""
    name = "pytorch_lightning.utilities.parsing"
    kind = type("AttributeDict", (dict,), {"__module__": name})
    stub = types.ModuleType(name)
    stub.AttributeDict = kind
    with monkeypatch.context() as patch:
        for length in (1, 2, 3):
            patch.setitem(sys.modules, ".".join(name.split(".")[:length]), stub)
        torch.save({"state_dict": STATE, "hyper_parameters": kind(lr=0.1)}, tmp_path / "w.ckpt")
    content = read_weights(tmp_path / "w.ckpt")
    assert content.skipped == ("pytorch_lightning.utilities.parsing.AttributeDict",)
    assert content.value["hyper_parameters"] == {"lr": 0.1}


def test_tensors_saved_on_another_device_come_to_the_cpu(tmp_path):
    """A file as it is written on a GPU: only the place in the pickle differs."""
    torch.save(STATE, tmp_path / "cpu.pt")
    with zipfile.ZipFile(tmp_path / "cpu.pt") as source, zipfile.ZipFile(tmp_path / "cuda.pt", "w") as archive:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("data.pkl"):
                assert b"X\x03\x00\x00\x00cpu" in data
                data = data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            archive.writestr(name, data)
    assert read_weights(tmp_path / "cuda.pt").value["fc.weight"].device.type == "cpu"


def test_a_tensor_that_claims_more_than_the_file_has_is_refused(tmp_path):
    torch.save({"w": torch.zeros(1).expand(1_000_000)}, tmp_path / "w.pt")
    with pytest.raises(SecurityError, match="claims more values"):
        read_weights(tmp_path / "w.pt")


def test_a_flipped_bit_in_the_weights_is_seen(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"w": torch.zeros(1000)}, path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="the checksum of"):
        read_weights(path)


def test_an_old_torch_is_refused_in_words(tmp_path, monkeypatch):
    torch.save(STATE, tmp_path / "w.pt")
    monkeypatch.setattr(torch, "__version__", "2.9.1+cu121")
    with pytest.raises(SecurityError, match=r"2\.9\.1.*pip install --upgrade 'torch>=2\.10'"):
        read_weights(tmp_path / "w.pt")
    monkeypatch.setattr(torch, "__version__", "2.10.0")
    read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\x1f\x8b rest", "compressed with gzip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"SIMPLE  =  T", "a FITS file"),
        (b"hello", "of no kind that robustkit opens"),
        (b"\xff" * 8 + b"{}", "of no kind"),
        (b"\x02\0\0\0\0\0\0\0{}", None),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path, data, words):
    path = tmp_path / "some.pt"
    path.write_bytes(data)
    if words is None:
        assert read_weights(path).value == {}
        return
    with pytest.raises(InputError, match=words):
        read_weights(path)


@pytest.mark.parametrize("name", ["../x/data/0", "/x/data/0", "other/data/0", "archive/data.pkl"])
def test_archives_with_bad_members_are_refused(tmp_path, name):
    plain = io.BytesIO()
    torch.save(STATE, plain)
    path = tmp_path / "w.pt"
    path.write_bytes(plain.getvalue())
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")  # of the name that is there twice
        archive.writestr(name, b"x")
    with pytest.raises(SecurityError):
        read_weights(path)


def test_only_one_file_of_the_package_can_unpickle_and_it_says_so():
    root = pathlib.Path(robustkit.__file__).parent
    unsafe = re.compile(
        r"weights_only\s*=\s*False|pickle\.loads?\(|allow_pickle\s*=\s*True|yaml\.load\(|(?<![.\w])eval\(|(?<![.\w])exec\("
    )
    found = {str(path.relative_to(root)) for path in root.rglob("*.py") if unsafe.search(path.read_text())}
    assert found <= {"models/foreign/trusted.py"}
