"""One run of its shards: the same tables and record, to the last byte, as if it had run in one piece."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from robustkit.audit.attack import AttackRequest, AttackRun, OpenAttack
from robustkit.audit.attacked import same_options
from robustkit.audit.certify import CertifyRequest, OpenCertify
from robustkit.audit.sweep import OpenSweep, SweepRequest, SweepRun
from robustkit.audit.units import OpenRun
from robustkit.errors import InputError
from robustkit.models import ModelOptions
from robustkit.perturb.certificate import CertificateRecord
from robustkit.runs import AGAIN, differences, interruptible, open_run
from robustkit.runs.merging import find_shards, refuse_unfinished


def merge_runs(
    folders: Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str],
    options: ModelOptions | None = None,
    model: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    base: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] = print,
) -> AttackRun | CertificateRecord | SweepRun:
    """Makes one run of all its shards. No network is run; the model says the bands, the images make the pictures.

    Args:
        folders: The run folders of the shards, in any order.
        out: The folder of the whole run.
        options: What to say about a model that robustkit did not train; code must be named again.
        model: The checkpoint, where it is not where the shards found it.
        data: The images, where they are not where the shards found them.
        base: The base model of a sweep, likewise.
        say: Where the lines for the terminal go.

    Raises:
        InputError: If shards are missing, overlap, are not finished or of different runs, or model or images changed.
    """
    shards = find_shards(folders)
    manifest = shards.manifest
    make, open_it = _COMMANDS[manifest["command"]]
    moved = {name: os.fspath(path) for name, path in (("data", data), ("base", base)) if path is not None}
    said = {"options": same_options(manifest, options, folders[0])}
    request = make(**(manifest["request"] | said | moved))
    for shard, folder in shards.folders.items():
        finished = open_it.finished(folder)
        refuse_unfinished(shards, shard, sum(unit in finished for unit in shards.units(shard)))
    opened = open_it(model if model is not None else manifest["model"], request, "cpu")
    inputs = {name: manifest["inputs"][name] for name in opened.inputs}
    found = list(differences(inputs, opened.inputs))
    if found:
        raise InputError(
            f"model or images are not those of the shards: {'; '.join(found)}; name them with --model, --data, --base"
        )
    with open_run(out, manifest, advice=AGAIN) as run, interruptible(AGAIN):
        say(f"{len(shards.folders)} shards, {manifest['inputs']['units']} groups of {request.group} images")
        opened.gather(shards.folders.values(), run)
        return opened.write(run, say, device=manifest["device"], shards=len(shards.folders))


_COMMANDS: dict[str, tuple[Callable[..., Any], type[OpenRun]]] = {
    "attack": (AttackRequest, OpenAttack),
    "certify": (CertifyRequest, OpenCertify),
    "sweep": (SweepRequest, OpenSweep),
}
