"""The content of a weights file, whatever its kind: tensors in nested dicts, checked, and nothing run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robustkit.data.guard import reading
from robustkit.errors import InputError, SecurityError
from robustkit.files import sha256_file
from robustkit.models.foreign import kinds
from robustkit.models.foreign.kinds import Kind, kind_of
from robustkit.models.foreign.pickles import check_torch, read_pickled

_DEPTH = 6


@dataclass(frozen=True, eq=False)
class Content:
    """What a weights file holds.

    Attributes:
        path: The file.
        kind: Its kind.
        sha256: Of its bytes.
        value: A dict with names and tensors, at any depth.
        skipped: Kinds of Python objects beside the weights that were not opened.
        classes: Classes of the pickled networks whose tensors stand in `value`; none of them was imported.
    """

    path: Path
    kind: Kind
    sha256: str
    value: Any
    skipped: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


def read_weights(path: Path) -> Content:
    """Reads a PyTorch or safetensors file.

    Raises:
        SecurityError: If opening it would run code, with what to ask for instead.
        InputError: If it is damaged, or holds something else than weights.
    """
    kind = kind_of(path)
    if kind.code:
        raise SecurityError(
            f"{path} is {kind.name}, and opening it could run code from the file; {kind.instead}, or name its SHA-256 "
            "with --trust-checkpoint if you wrote it yourself"
        )
    if kind is kinds.SAFETENSORS:
        return Content(path, kind, sha256_file(path), _read_safetensors(path))
    if kind not in (kinds.TORCH, kinds.LEGACY):
        raise InputError(f"{path} is {kind.name}; expected weights as a PyTorch or safetensors file")
    value, skipped, classes = read_pickled(path, kind)
    _check(value, path)
    return Content(path, kind, sha256_file(path), value, tuple(skipped), classes)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    check_torch()
    with reading(path, kinds.SAFETENSORS.name):
        return load_file(path)


def _check(value: Any, path: Path) -> None:
    """Refuses tensors that claim more than the file has, which would grow when they are copied.

    Each object is looked at once, however often it is referred to, and not below the depth at which weights are.
    """
    seen: set[int] = set()
    level = [value]
    for _ in range(_DEPTH):
        inside: list[Any] = []
        for one in level:
            _check_tensor(one, path)
            if isinstance(one, Mapping | list | tuple) and id(one) not in seen:
                seen.add(id(one))
                inside += one.values() if isinstance(one, Mapping) else one
        level = inside
    for one in level:
        _check_tensor(one, path)


def _check_tensor(value: Any, path: Path) -> None:
    if isinstance(value, Tensor):
        if value.is_nested or value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            raise InputError(f"{path} holds sparse, quantised or empty tensors; expected plain ones, so save it again")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise SecurityError(f"{path} holds a tensor that claims more values than the file has; do not use it")
