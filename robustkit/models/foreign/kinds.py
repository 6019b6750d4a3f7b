"""What a model file is, by its bytes and never by its name."""

from __future__ import annotations

import io
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path

from robustkit.code_gate import names_function
from robustkit.data.guard import reading
from robustkit.errors import InputError

# torch.save before 1.6 begins with this number as a pickle.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_TAR = slice(257, 262)
_HEAD = 512


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: In a sentence, with its article.
        code: Whether opening it means running code from it, so that it is opened only when its hash is named.
        instead: What to ask for, or to do, in place of it.
    """

    name: str
    code: bool = False
    instead: str = ""


_ASK = "ask for a state_dict or a .safetensors file"
TORCH = Kind("a PyTorch file")
LEGACY = Kind("a PyTorch file of the form before 1.6")
SAFETENSORS = Kind("a safetensors file")
ONNX = Kind("an ONNX graph")
FOLDER = Kind("a Hugging Face folder")
KERAS_WEIGHTS = Kind("an HDF5 file of Keras weights")
PICKLE = Kind("a Python pickle", True, _ASK)
TORCHSCRIPT = Kind("a TorchScript archive", True, f"{_ASK}, or an ONNX export")
EXPORTED = Kind("a torch.export archive (.pt2)", True, f"{_ASK}, or an ONNX export")
PACKAGE = Kind("a torch.package archive", True, _ASK)
FUNCTION = Kind("a function of Python")
KERAS = Kind("a Keras archive, whose configuration names code", True, "save it with model.save_weights and give --arch")

_REFUSED = (
    (b"\x93NUMPY", "a NumPy array (.npy), which holds no network; name images with --data"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"version https://git-lfs", "a pointer of Git LFS and not the file itself; fetch it with `git lfs pull`"),
    (b"SIMPLE  =", "a FITS file; name images with --data"),
)


def kind_of(path: Path) -> Kind:
    """What kind of model a file or folder is.

    Raises:
        InputError: If there is nothing, or nothing that is a model.
    """
    if names_function(path):
        return FUNCTION
    if path.is_dir():
        if (path / "config.json").is_file():
            return FOLDER
        raise InputError(
            f"{path} is a folder without config.json; expected a checkpoint file, or a Hugging Face folder"
        )
    if not path.is_file():
        raise InputError(f"expected a checkpoint file at {path}, but it does not exist")
    with reading(path, "a checkpoint"), open(path, "rb") as file:
        head = file.read(_HEAD)
    size = path.stat().st_size
    if not head:
        raise InputError(f"{path} is empty; expected a checkpoint")
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    for magic, words in _REFUSED:
        if head.startswith(magic):
            raise InputError(f"{path} is {words}")
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return KERAS_WEIGHTS
    if head[_TAR] == b"ustar":
        raise InputError(
            f"{path} is a tar archive, a form of PyTorch before 0.1 that cannot be opened safely; unpack it, or ask "
            "for a state_dict saved by a newer PyTorch"
        )
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return LEGACY if _first_number(head) == _LEGACY_MAGIC else PICKLE
    if head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") <= size - 8:
        return SAFETENSORS
    if (
        len(head) > 1 and head[:1] == b"\x08" and 1 <= head[1] < 64
    ):  # field 1 of an ONNX model: the version of its format
        return ONNX
    raise InputError(
        f"{path} is of no kind that robustkit opens, or is damaged; expected a PyTorch, safetensors or ONNX file, or a "
        "Hugging Face folder"
    )


def _zip_kind(path: Path) -> Kind:
    with reading(path, "a checkpoint"), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    inside = {name.partition("/")[2] for name in names}
    tops = set(names)
    if ".data/extern_modules" in inside:
        return PACKAGE
    if "constants.pkl" in inside or any(name.startswith("code/") for name in inside):
        return TORCHSCRIPT
    if any(name.startswith("models/") and name.endswith(".json") for name in inside) or "archive_format" in inside:
        return EXPORTED
    if "serialized_exported_program.json" in tops | inside:
        return EXPORTED
    if {"config.json", "model.weights.h5"} <= tops:
        return KERAS
    if "data.pkl" in inside:
        return TORCH
    if any(name.endswith(".npy") for name in names):
        raise InputError(f"{path} is a NumPy archive (.npz), which holds no network; name images with --data")
    raise InputError(f"{path} is a zip archive without PyTorch weights; expected a checkpoint")


def _first_number(head: bytes) -> int | None:
    """The number that a pickle begins with, if it is one, without running it."""
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(head)):
            if opcode.name not in ("PROTO", "FRAME"):
                return argument if isinstance(argument, int) else None
    except Exception:  # genops raises many kinds on bytes that are no pickle
        return None
    return None
