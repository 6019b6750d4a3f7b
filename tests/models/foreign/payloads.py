"""Files that would leave a marker if anything in them ran."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import torch


class Payload:
    """Opens, which creates, the marker file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


def torch_zip(path: Path, marker: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(2)}, "x": Payload(marker)}, path)


def legacy(path: Path, marker: Path) -> None:
    torch.save({"state_dict": {}, "x": Payload(marker)}, path, _use_new_zipfile_serialization=False)


def raw_pickle(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps({"x": Payload(marker)}))


def old_pickle(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps({"x": Payload(marker)}, protocol=0))


def tar(path: Path, marker: Path) -> None:
    data = pickle.dumps(Payload(marker))
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def npy(path: Path, marker: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.array([Payload(marker)], dtype=object), allow_pickle=True)


def npz(path: Path, marker: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, x=np.array([Payload(marker)], dtype=object))


def lightning(path: Path, marker: Path) -> None:
    """The hole of GHSA-qqmf-gpg7-g8gw: a name in the hyper-parameters that is imported and called."""
    hyper = {"_instantiator": "builtins.open", "file": str(marker), "mode": "w", "_target_": "os.system"}
    torch.save({"state_dict": {"x": torch.zeros(1)}, "hyper_parameters": hyper, "x": Payload(marker)}, path)


def scripted(path: Path, marker: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps(Payload(marker)))
        archive.writestr("m/constants.pkl", pickle.dumps(Payload(marker)))
        archive.writestr("m/code/__torch__.py", f"open({str(marker)!r}, 'w')")


def exported(path: Path, marker: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/archive_format", "pt2")
        archive.writestr("m/models/model.json", "{}")
        archive.writestr("m/data/weights/model.pt", pickle.dumps(Payload(marker)))


def package(path: Path, marker: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/.data/extern_modules", "os\n")
        archive.writestr("m/model/model.pkl", pickle.dumps(Payload(marker)))


def keras(path: Path, marker: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", '{"module": "builtins", "class_name": "open"}')
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", b"")


def deflated(path: Path, marker: Path) -> None:
    plain = io.BytesIO()
    torch.save({"weight": torch.zeros(100_000)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))


def module(path: Path, marker: Path) -> None:
    """A network as others pickle it, with something beside its layers that would run."""
    network = torch.nn.Linear(2, 2)
    network.hook = Payload(marker)  # type: ignore[assignment]
    torch.save(network, path)


def two_pickles(path: Path, marker: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("m/data/data.pkl", pickle.dumps(Payload(marker), protocol=2))


FORMS = {
    form.__name__: form
    for form in (
        torch_zip, legacy, raw_pickle, old_pickle, tar, npy, npz, lightning, scripted, exported, package, keras,
        deflated, module, two_pickles,
    )
}  # fmt: skip
