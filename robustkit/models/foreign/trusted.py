"""Files that run code when they are opened, for the user who has named their hash. The only such place."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustkit.data.guard import brief, reading
from robustkit.errors import InputError, SecurityError
from robustkit.files import sha256_file
from robustkit.models.foreign import kinds
from robustkit.models.foreign.keras_network import use_torch
from robustkit.models.foreign.kinds import Kind


def check_trust(path: Path, trust: str) -> str:
    """Refuses a file whose hash is not the one that the user trusts; nothing has been opened then.

    Returns:
        The SHA-256 of the file.

    Raises:
        SecurityError: If they differ.
        InputError: If it is a folder, or no hash was given.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{64}", trust):
        raise InputError("expected --trust-checkpoint as the SHA-256 of the file, 64 hexadecimal digits")
    if not path.is_file():
        raise InputError(f"--trust-checkpoint is for one file, and {path} is none; omit it")
    found = sha256_file(path)
    if found != trust.lower():
        raise SecurityError(
            f"the SHA-256 of {path} is {found}, and --trust-checkpoint names another; compare it with what its author "
            "says"
        )
    return found


def open_trusted(path: Path, kind: Kind) -> Any:
    """Opens a file by the loader of its kind, which runs what the file says; its hash was checked.

    Returns:
        A network, or a dict with weights.

    Raises:
        InputError: If it is damaged, or holds no network.
    """
    with reading(path, kind.name), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of its own loaders, and a person cannot change the file
        if kind is kinds.TORCHSCRIPT:
            return torch.jit.load(str(path), map_location="cpu")
        if kind is kinds.EXPORTED:
            return torch.export.load(str(path)).module()
        if kind is kinds.PACKAGE:
            return _from_package(path)
        if kind is kinds.KERAS:
            return use_torch().saving.load_model(path, compile=False)
        try:
            return _module_in(torch.load(path, map_location="cpu", weights_only=False))
        except (AttributeError, ModuleNotFoundError) as error:
            missing = re.search(r"attribute '(\w+)'", str(error))
            name = missing[1] if missing else "Class"
            raise InputError(
                f"{path} is whole, but the code of its network cannot be found here ({brief(error)}); name it with "
                f"--arch path/to/file.py:{name}, and the file needs no trust"
            ) from error


def _from_package(path: Path) -> Any:
    from torch.package.package_importer import PackageImporter

    importer = PackageImporter(str(path))
    pickles = [name for name in importer.zip_reader.get_all_records() if name.endswith(".pkl")]
    if len(pickles) != 1:
        raise InputError(f"{path} holds {len(pickles)} pickles; expected one, so save the network alone")
    folder, _, name = pickles[0].rpartition("/")
    return importer.load_pickle(folder.replace("/", "."), name)


def _module_in(value: Any) -> Any:
    """The network in a pickle: itself, or the only one in a dict."""
    if isinstance(value, dict):
        modules = [item for item in value.values() if isinstance(item, nn.Module)]
        return modules[0] if len(modules) == 1 else value
    return value
