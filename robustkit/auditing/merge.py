"""One run of its shards: the same tables and record, to the last byte, as if it had run in one piece."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

from robustkit.code_gate import refuse_function_of_file, word_of_file
from robustkit.errors import InputError
from robustkit.files import reading
from robustkit.findings.latents.attacked import same_options
from robustkit.models import ModelOptions
from robustkit.perturb.faults.registry import refuse_perturbations
from robustkit.perturb.search.registry import refuse_searches
from robustkit.perturb.threats import ValueRange
from robustkit.records import fits
from robustkit.runs import AGAIN, Parts, differences, interruptible, open_run
from robustkit.runs.folder import SUMMARY
from robustkit.runs.makers import Makers
from robustkit.runs.measurement import Measurement, start
from robustkit.runs.merging import Shards, find_shards, refuse_unfinished
from robustkit.runs.result import Result
from robustkit.runs.running import finish, fitting
from robustkit.words import brief

# Measurements that can be shared out, and where they are.
_COMMANDS = {
    "attack": "robustkit.findings.attack.measure:Attack",
    "attack-threat": "robustkit.findings.threats.measure:Threat",
    "certify": "robustkit.findings.certify.measure:Certify",
    "certify-lines": "robustkit.findings.amplitudes.measure:FollowLines",
    "hazard": "robustkit.findings.hazard.measure:Hazard",
    "conformal": "robustkit.findings.certify.conformal:Conformal",
    "flag": "robustkit.catalogues.flag:Flag",
    "predict": "robustkit.catalogues.predict:Predict",
    "sweep": "robustkit.findings.sweep.measure:Sweep",
}


def measurement(command: str) -> type[Measurement]:
    """The measurement that a command makes."""
    module, _, name = _COMMANDS[command].partition(":")
    return getattr(import_module(module), name)


def merge_runs(
    folders: Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str],
    options: ModelOptions | None = None,
    model: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    base: str | os.PathLike[str] | None = None,
    perturbations: Sequence[str] = (),
    searches: Sequence[str] = (),
    mix: bool = False,
    say: Callable[[str], None] = print,
) -> Result:
    """Makes one run of all its shards. No network is run; the model says the bands, the images make the pictures.

    Args:
        folders: The run folders of the shards, in any order.
        out: The folder of the whole run.
        options: Options for a third-party model; code must be named again.
        model: The checkpoint, if it is no longer where the shards found it.
        data: The images, if they are no longer where the shards found them.
        base: The base model of a sweep, likewise.
        perturbations: Those of a sweep, and the threat of an attack, that are code of your own, named again: a
            manifest never chooses code.
        searches: The same for searches of an attack.
        mix: Whether shards may have been made by other versions, devices or threads than one another.
        say: Receives progress messages.

    Raises:
        InputError: If shards are missing, overlap, are not finished or of different runs, or model or images changed.
        SecurityError: If the shards were made with code that is not named again.
    """
    shards = find_shards(folders, mix=mix)
    manifest = shards.manifest
    if manifest["command"] not in _COMMANDS:
        raise InputError(f"{folders[0]} holds no run that is merged; expected one of {', '.join(_COMMANDS)}")
    kind = measurement(manifest["command"])
    where = f"the manifest in {folders[0]}"
    named = [*perturbations, *searches, *(os.fspath(path) for path in (model, base) if path is not None)]
    with word_of_file(where, [*named, *(options.code_named if options else ())]):
        moved = {name: os.fspath(path) for name, path in (("data", data), ("base", base)) if path is not None}
        with reading(where, "the manifest of a run"):
            asked = manifest["request"]
            if model is None:
                refuse_function_of_file(manifest["model"], file=where)
            if base is None:
                refuse_function_of_file(asked.get("base"), file=where, option="--base")
            faults = [*(asked.get("perturbations") or ()), *([asked["threat"]] if asked.get("threat") else ())]
            refuse_perturbations(faults, file=where, allowed=perturbations)
            refuse_searches(asked.get("searches") or (), file=where, allowed=searches)
            said = {"options": same_options(manifest, options, folders[0])}
            _check_fields(kind.request_type, asked | moved, where)
            request = kind.request_type(**(asked | moved | said))
        _admit(shards, mix)
        opened = start(kind, model if model is not None else manifest["model"], request, "cpu", lambda line: None)
        inputs = {name: manifest["inputs"].get(name) for name in opened.inputs}
        found = list(differences(inputs, opened.inputs))
        if found:
            raise InputError(
                f"model or images are not those of the shards: {'; '.join(found)}; name them with --model, --data, "
                "--base"
            )
        again = not (Path(out) / SUMMARY).is_file()  # a merge that was stopped is made again in the same folder
        with open_run(out, manifest, resume=again, advice=AGAIN) as run, interruptible(AGAIN):
            say(f"{len(shards.folders)} shards, {manifest['inputs']['units']} groups of {request.group} images")
            Parts(run.folder).gather(map(Parts, shards.folders.values()))
            with fitting(run.folder):
                return finish(opened, run.folder, say, mix=mix, device=manifest["device"], shards=len(shards.folders))


def _admit(shards: Shards, mix: bool) -> None:
    """Refuses shards that are not finished, or were not made alike where they must be."""
    makers = Makers(mix)
    for shard, folder in shards.folders.items():
        finished = Parts(folder)
        refuse_unfinished(shards, shard, sum(unit in finished for unit in shards.units(shard)))
        for unit in shards.units(shard):
            makers.admit(unit, finished.note(unit))


def _check_fields(kind: Any, values: dict[str, Any], where: str) -> None:
    """Refuses JSON values that are not what the fields of a dataclass may be."""
    hints = get_type_hints(kind, localns={"ModelOptions": ModelOptions, "ValueRange": ValueRange})
    for name, value in values.items():
        if name not in hints or (name != "options" and not fits(value, hints[name])):
            raise InputError(
                f"{where} asks for {brief(name)} {brief(repr(value), 60)}, which no run of this version does; make the "
                "shard again"
            )
