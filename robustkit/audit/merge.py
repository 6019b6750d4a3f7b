"""One run of its shards: the same tables and record, to the last byte, as if it had run in one piece."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from typing import Any

from robustkit.audit.attack import AttackRequest, AttackRun, OpenAttack
from robustkit.audit.attacked import same_options
from robustkit.audit.certify import PARTS, CertifyRequest, OpenCertify, part_path
from robustkit.errors import InputError
from robustkit.files import atomic_write
from robustkit.models import ModelOptions
from robustkit.perturb.certificate import CertificateRecord
from robustkit.runs import JOURNAL, FinishedUnits, Run, differences, interruptible, open_run
from robustkit.runs.merging import Shards, find_shards, refuse_unfinished


def merge_runs(
    folders: Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str],
    options: ModelOptions | None = None,
    model: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] = print,
) -> AttackRun | CertificateRecord:
    """Makes one run of all its shards. No network is run; the model says the bands, the images make the pictures.

    Args:
        folders: The run folders of the shards, in any order.
        out: The folder of the whole run.
        options: What to say about a model that robustkit did not train; code must be named again.
        model: The checkpoint, where it is not where the shards found it.
        data: The images, where they are not where the shards found them.
        say: Where the lines for the terminal go.

    Raises:
        InputError: If shards are missing, overlap, are not finished or of different runs, or model or images changed.
    """
    shards = find_shards(folders)
    manifest = shards.manifest
    make, open_it = _COMMANDS[manifest["command"]]
    said = {"options": same_options(manifest, options, folders[0])}
    request = make(**(manifest["request"] | said | ({} if data is None else {"data": os.fspath(data)})))
    refuse = _unfinished_attacks if manifest["command"] == "attack" else _unfinished_certificates
    refuse(shards)
    opened = open_it(model if model is not None else manifest["model"], request, "cpu")
    inputs = {name: manifest["inputs"][name] for name in opened.inputs}
    found = list(differences(inputs, opened.inputs))
    if found:
        raise InputError(
            f"model or images are not those of the shards: {'; '.join(found)}; name them with --model and --data"
        )
    with open_run(out, manifest) as run, interruptible():
        say(f"{len(shards.folders)} shards, {manifest['inputs']['units']} groups of {request.group} images")
        return _merge_attacks(shards, opened, run, say) if isinstance(opened, OpenAttack) else _merge_certificates(
            shards, opened, run, say
        )  # fmt: skip


_COMMANDS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "attack": (AttackRequest, OpenAttack),
    "certify": (CertifyRequest, OpenCertify),
}


def _unfinished_attacks(shards: Shards) -> None:
    for shard, folder in shards.folders.items():
        finished = FinishedUnits(folder / JOURNAL)
        refuse_unfinished(shards, shard, sum(unit in finished for unit in shards.units(shard)))


def _unfinished_certificates(shards: Shards) -> None:
    for shard, folder in shards.folders.items():
        refuse_unfinished(shards, shard, sum(part_path(folder, unit).is_file() for unit in shards.units(shard)))


def _merge_attacks(shards: Shards, opened: OpenAttack, run: Run, say: Callable[[str], None]) -> AttackRun:
    for entry in FinishedUnits(*(folder / JOURNAL for folder in shards.folders.values())):
        run.append([entry], sync=False)
    return opened.write(run, say, device=shards.manifest["device"], shards=len(shards.folders))


def _merge_certificates(shards: Shards, opened: OpenCertify, run: Run, say: Callable[[str], None]) -> CertificateRecord:
    (run.folder / PARTS).mkdir()
    for shard, folder in shards.folders.items():
        for unit in shards.units(shard):
            with open(part_path(folder, unit), "rb") as source, atomic_write(part_path(run.folder, unit)) as target:
                shutil.copyfileobj(source, target)
    return opened.write(run, say)
