"""Preflight: what a file is, what its network does, and how it does on labelled images, before an audit begins."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from robustkit.errors import InputError, SecurityError
from robustkit.files import sha256_file
from robustkit.models import Checkpoint
from robustkit.models.foreign import kinds
from robustkit.models.foreign.kinds import kind_of
from robustkit.models.foreign.pickles import globals_of
from robustkit.models.foreign.state import find_parts
from robustkit.models.foreign.weights import Content, read_weights
from robustkit.models.preflight import LARGEST, Observation, Preflight, check_network
from robustkit.runs.looking import data_findings, notes_found
from robustkit.runs.sample import Sample


@dataclass(frozen=True, eq=False)
class FileCheck:
    """What a file is, before any network is made of it.

    Attributes:
        found: The findings.
        content: Its weights, where it is a file of weights that could be read.
        unsafe: Whether opening it could run code from it.
    """

    found: Preflight
    content: Content | None = None
    unsafe: bool = False


def check_file(model: str | os.PathLike[str], *, trusted: bool = False) -> FileCheck:
    """What a file is, without opening the network: kind, hash, tensors, and the code that it names.

    Args:
        model: The file.
        trusted: Whether its hash was named, so that code in it may run.
    """
    path = Path(model)
    try:
        kind = kind_of(path)
    except InputError as error:
        return FileCheck(Preflight((Observation("form", "refusal", str(error)),)))
    if path.is_dir() or kind is kinds.FUNCTION:
        return FileCheck(Preflight((Observation("form", "ok", kind.name),)))
    content, findings, unsafe = None, [], kind.code
    try:
        if kind in (kinds.TORCH, kinds.LEGACY):
            names = [name for name in globals_of(path, kind) if not name.startswith(("torch.", "collections."))]
            findings.append(Observation("names in the file", "ok", ", ".join(names) or "none beyond tensors"))
        if kind in (kinds.TORCH, kinds.LEGACY, kinds.SAFETENSORS):
            content = read_weights(path)
            for part in find_parts(content):
                findings.append(Observation("keys", "ok", _tensors(part.words, part.tensors)))
    except InputError as error:
        unsafe = isinstance(error, SecurityError)
        findings.append(Observation("content", "warning" if unsafe and trusted else "refusal", str(error)))
    digest = content.sha256 if content is not None else sha256_file(path)
    form = f"{kind.name}, {path.stat().st_size:,} bytes, SHA-256 {digest}"
    first = Observation("form", "ok", form)
    if kind.code:
        advice = f"it can run code when it is opened; {kind.instead}, or name its hash with --trust-checkpoint"
        first = Observation("form", "warning" if trusted else "refusal", form, "" if trusted else advice)
    return FileCheck(Preflight((first, *findings)), content, unsafe)


def preflight(
    checkpoint: Checkpoint, sample: Sample | None = None, *, tell: Callable[[Observation], None] | None = None
) -> Preflight:
    """Everything that is looked at before an audit.

    Args:
        checkpoint: The opened model.
        sample: Labelled images, without which only the network itself is looked at.
        tell: Called with each finding as it is made.

    Returns:
        The findings; `require()` of them refuses what would make every number meaningless.
    """
    tell = tell or (lambda finding: None)
    found: list[Observation] = []

    def add(findings: Iterable[Observation]) -> None:
        for finding in findings:
            found.append(finding)
            tell(finding)

    add(notes_found(checkpoint.origin.notes))
    network = check_network(checkpoint.classifier, None if sample is None else sample.first(LARGEST).images, tell=tell)
    found += network.findings
    if sample is not None and not network.refusals:
        add(data_findings(sample))
    return Preflight(tuple(found))


def _tensors(where: str, tensors: dict[str, Tensor]) -> str:
    first, last = next(iter(tensors)), list(tensors)[-1]
    shown = " ... ".join(f"{name} {tuple(tensors[name].shape)}" for name in dict.fromkeys((first, last)))
    kinds_of = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()})
    return f"{len(tensors)} tensors ({', '.join(kinds_of)}) in {where}: {shown}"
