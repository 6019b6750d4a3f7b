"""A finding about latents, from a model and its attack to a run folder: for the commands, an audit and Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from robustkit.devices import choose_device
from robustkit.files import jsonable, new_folder, own_folder, sha256_file
from robustkit.findings.attack.record import RECORD as ATTACK
from robustkit.findings.latents.attacked import Attacked, open_attacked
from robustkit.findings.latents.measure import Embedded, embed_attacked
from robustkit.findings.latents.record import EMBEDDINGS, LatentRequest
from robustkit.models import ModelOptions
from robustkit.models.checkpoint import versions
from robustkit.runs import interruptible, open_run
from robustkit.runs.folder import SUMMARY, was_started
from robustkit.runs.result import Result

# A run folder is written in seconds at the end, so a stopped run is not resumed: it is run again, into the same folder.
AGAIN = "give the same command again"


@dataclass(frozen=True)
class LatentFinding:
    """Something that latents tell.

    Attributes:
        command: The command that makes it.
        request_type: The class of its requests.
        measure: From the embeddings of a model (and of a base after it) by name, and a request, to a result.
        write: Writes a result into a folder, with what else the summary says, and returns lines for the terminal; its
            last argument says whether pictures are drawn.
    """

    command: str
    request_type: type[LatentRequest]
    measure: Callable[[Mapping[str, Embedded], Any], Result]
    write: Callable[[Path, Any, dict[str, Any], bool], list[str]]


@interruptible(AGAIN)
def run_latents(
    kind: LatentFinding,
    model: str | os.PathLike[str],
    attack: str | os.PathLike[str],
    request: Any = None,
    *,
    options: ModelOptions | None = None,
    out: str | os.PathLike[str] | None = None,
    device: str | None = None,
    say: Callable[[str], None] = print,
) -> Any:
    """Looks at the latents of an attacked model, and leaves what was found in a run folder.

    Args:
        kind: What is looked for.
        model: The checkpoint.
        attack: The run folder of an attack on it.
        request: What to do; by default the defaults.
        options: What to say about models that robustkit did not train.
        out: The run folder: a new one, or that of a run of the same that was stopped; by default
            `runs/<command>-<model>`.
        device: Where to run; by default a GPU if there is one.
        say: Receives progress messages.

    Raises:
        InputError: If anything given cannot be used; nothing is written then.
        RobustkitError: If the disk is full, or a file cannot be written.
        RunInterrupted: If a signal stopped the run.
    """
    request = kind.request_type() if request is None else request
    folder = Path(out) if out is not None else Path("runs") / f"{kind.command}-{Path(model).stem}"
    _check_free(folder)
    how: dict[str, Any] = {"options": options, "data": request.data, "device": choose_device(device)}
    pair = [open_attacked(model, attack, **how)]
    if getattr(request, "base", None) is not None:
        pair.append(open_attacked(request.base, request.base_run, **how))
    return find_in(kind, pair, request, folder, say)


def find_in(
    kind: LatentFinding,
    pair: Sequence[Attacked],
    request: Any,
    folder: Path | None = None,
    say: Callable[[str], None] = print,
) -> Any:
    """The same for attacks that are open.

    Args:
        kind: What is looked for.
        pair: The attack on the model and, if there is a base, the attack on that.
        request: What to do.
        folder: A run folder; `None` to write nothing.
        say: Receives progress messages.

    Raises:
        InputError: If the latents cannot be looked at as asked; nothing is written then.
    """
    if folder is not None:
        _check_free(folder)
    embedded = dict[str, Embedded]()
    for one in pair:
        name = one.sample.model.stem
        how: dict[str, Any] = {"noisy": request.noisy, "search": request.search, "seed": request.seed, "say": say}
        embedded[name if name not in embedded else f"{name} (base)"] = embed_attacked(one, **how)
    result = kind.measure(embedded, request)
    if folder is None:
        return result
    about = _about(embedded, request)
    with open_run(folder, {**about, "command": kind.command}, resume=True, advice=AGAIN):
        for suffix, one in zip(("", "-base"), embedded.values(), strict=False):
            one.record.save(folder / EMBEDDINGS.replace(".", f"{suffix}."))
        lines = kind.write(folder, result, about, True)
    for line in lines:
        say(line)
    return replace(result, folder=folder)


def keep(kind: LatentFinding, folder: Path, embedded: Mapping[str, Embedded], request: Any) -> None:
    """Measures latents that are embedded already, and writes all but the embeddings and the pictures.

    Args:
        kind: What is looked for.
        folder: Where the files go; its folder exists.
        embedded: The latents of the model, by its name.
        request: What to do.

    Raises:
        InputError: If the latents cannot be looked at as asked.
    """
    result = kind.measure(embedded, request)
    kind.write(own_folder(folder), result, _about(embedded, request), False)


def _check_free(folder: Path) -> None:
    """Refuses a folder in use, before the work; that of the same run, stopped before its end, is taken."""
    if folder.exists() and ((folder / SUMMARY).is_file() or not was_started(folder)):
        new_folder(folder)


def _about(embedded: Mapping[str, Embedded], request: LatentRequest) -> dict[str, Any]:
    """What a run rests on: under `inputs` what decides its answers."""
    models = {name: _about_one(one) for name, one in embedded.items()}
    settings = {
        field.name: _setting(getattr(request, field.name))
        for field in fields(request)
        if field.name not in ("data", "base", "base_run")
    }
    notes = {name: list(one.notes) for name, one in embedded.items()}
    return {"inputs": {"models": models, "settings": jsonable(settings)}, "notes": notes, "versions": versions()}


def _about_one(one: Embedded) -> dict[str, Any]:
    sample, attack = one.attacked.sample, one.attacked.folder
    return {
        "model": str(sample.model),
        "model_sha256": sample.checkpoint.origin.sha256,
        "attack": None if attack is None else str(attack),
        "attack_sha256": None if attack is None else sha256_file(attack / ATTACK),
        "data": str(sample.path),
        "noise": one.record.noise,
        "flips": one.record.settings["flips"],
    }


def _setting(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value
