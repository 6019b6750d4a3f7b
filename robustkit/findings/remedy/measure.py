"""Every remedy on the same images: none, front ends before the model, models trained for it, and both."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robustkit.errors import InputError
from robustkit.files import own_folder, read_json, sha256_file, write_json
from robustkit.findings.amplitudes.measure import FollowLines, run_amplitudes
from robustkit.findings.certify.measure import run_certify
from robustkit.findings.certify.record import CertificateRecord, CertifyRequest
from robustkit.findings.hazard.measure import run_hazard
from robustkit.findings.hazard.record import HazardRequest
from robustkit.findings.hazard.summary import total
from robustkit.findings.remedy.record import NONE, RECORD, RemedyPart, RemedyRecord
from robustkit.findings.writing import file_name
from robustkit.models import AuditedClassifier, Checkpoint
from robustkit.models.fronts import make_front
from robustkit.models.fronts.registry import fitted_constants
from robustkit.models.fronts.splitting import put_before, split_front
from robustkit.perturb.decision import answers, decide
from robustkit.perturb.edges import SUFFIX, hiding_front
from robustkit.progress import quiet
from robustkit.runs.opening import ImageSets, open_sample
from robustkit.runs.sample import Sample
from robustkit.runs.selection import Selection

_BATCH = 64
# Images whose prediction is timed.
_TIMED = 16
_COST = "cost.json"
_BENT = (
    "every amplitude was followed for {} only: behind a front end up to nine pixels move with one, along a path with "
    "bends, and the line search follows straight lines of one pixel; what a search of corners leaves open there lies "
    "between the lowest and the highest value of the neighbours"
)


@dataclass(frozen=True, eq=False)
class Remedy:
    """One remedy: a model, with a front end before it or without.

    Attributes:
        name: What it is called.
        checkpoint: The whole.
        values: The declared values that the search tries.
        command: The command that makes it.
        changed: Share of the pixel values of the clean images that its front end changes.
    """

    name: str
    checkpoint: Checkpoint
    values: str
    command: str
    changed: float


def measure_remedies(
    sample: Sample,
    domains: Mapping[str, Sample],
    part: RemedyPart,
    folder: Path,
    *,
    values: str,
    events: int,
    resume: bool = False,
    sets: ImageSets | None = None,
    say: Callable[[str], None] = quiet,
) -> RemedyRecord:
    """Tries every remedy, each in a folder of its own, so that a run that was stopped goes on where it was.

    Args:
        sample: The model and its images.
        domains: All images of each domain, for accuracy; those audited first.
        part: Which remedies, on how many images.
        folder: Where the record is written.
        values: What a pixel may become.
        events: How many events of each fault hit each image.
        resume: Continue with what is in the folder.
        sets: Image sets that are open already.
        say: Receives progress messages.

    Raises:
        InputError: If a model cannot be used on these images.
    """
    own_folder(folder)
    searched = sample.first(part.n) if part.n else sample
    remedies, notes = _remedies(searched, part, values, sets or ImageSets())
    if part.lines:
        bent = [split_front(one.checkpoint.classifier) is not None for one in remedies]
        straight = [one.name for one, front in zip(remedies, bent, strict=True) if not front]
        notes += [_BENT.format(", ".join(straight) or "none")] if any(bent) else []
    found: list[dict[str, Any]] = []
    for i, one in enumerate(remedies):
        say(f"{one.name}: accuracy, accidents and every cell of {len(searched)} images")
        place = folder / f"{i:02d}-{file_name(one.name)}"
        made = _measured(one, searched, domains, place, events=events, resume=resume, notes=notes)
        found.append(made | {"every": _followed(one, searched, part.lines, place, resume, notes)})
    columns = {name: [one[name] for one in found] for name in found[0]}
    first = next(iter(domains.values()))
    record = RemedyRecord(
        remedies=[one.name for one in remedies],
        values=[one.values for one in remedies],
        commands=[one.command for one in remedies],
        ids=searched.ids,
        labels=searched.labels.numpy(),
        domains=list(domains),
        domain_of=np.repeat(np.arange(len(domains)), [len(one) for one in domains.values()]),
        changed=np.array([one.changed for one in remedies]),
        class_names=list(first.checkpoint.card.class_names),
        notes=list(dict.fromkeys(notes)),
        **{name: np.array(column) for name, column in columns.items()},
    )
    record.save(folder / RECORD)
    return record


def _remedies(sample: Sample, part: RemedyPart, values: str, sets: ImageSets) -> tuple[list[Remedy], list[str]]:
    """All remedies, the model as it is first, and what cannot be tried."""
    bases = [(NONE, sample)] + [(Path(path).stem, _trained(sample, path, sets)) for path in part.models]
    if len({name for name, _ in bases}) < len(bases):
        raise InputError("two models given with --remedy-model have one name; rename a file")
    made, notes = list[Remedy](), list[str]()
    for name, base in bases:
        made.append(Remedy(name, base.checkpoint, _searched(base.checkpoint, values), _how(base, name), 0.0))
        for front in part.fronts:
            try:
                made.append(_behind(front, name, base, values))
            except InputError as error:
                notes.append(f"{front} was not tried: {error}")
    return made, notes


def _trained(sample: Sample, path: str, sets: ImageSets) -> Sample:
    """Another model with the same images."""
    ours = sample.checkpoint.card
    draw = Selection(n=len(sample), data=sample.path, part=sample.part, take_all=True)
    theirs = open_sample(path, draw, device=sample.checkpoint.classifier.device, say=quiet, sets=sets)
    if list(theirs.checkpoint.card.class_names) != list(ours.class_names):
        raise InputError(f"{path} has other classes than {sample.model}; --remedy-model takes models of the same task")
    seen = {
        str(one)
        for name in ("train", "valid")
        for one in (theirs.checkpoint.card.data.get("split") or {}).get(name, ())
    }
    if seen & set(sample.ids.tolist()):
        raise InputError(
            f"{path} was trained on some of the audited images; train it with the --split-seed of {sample.model}"
        )
    return replace(sample, checkpoint=theirs.checkpoint, model=theirs.model)


def _behind(front: str, name: str, base: Sample, values: str) -> Remedy:
    """A model with a front end before it."""
    checkpoint = base.checkpoint
    made = make_front(front, fitted_constants(front, checkpoint.stretch, base.whole, checkpoint.card.input_range))
    whole = replace(checkpoint, classifier=put_before(made, checkpoint.classifier))
    images = base.inputs[0 : len(base)].to(checkpoint.classifier.device)
    with torch.inference_mode():
        repaired = torch.cat([made(some) for some in images.split(_BATCH)])
    changed = float((repaired != images).float().mean())
    label = front if name == NONE else f"{name}+{front}"
    command = (
        f"robustkit repair --model {base.model} --out {base.model.stem}-repaired{base.model.suffix} --front {front}"
    )
    return Remedy(label, whole, _searched(whole, values), command, changed)


def _searched(checkpoint: Checkpoint, values: str) -> str:
    """The values that are tried: where a front end has a threshold, also what hides just inside."""
    return values if hiding_front(checkpoint.classifier) is None else values + SUFFIX


def _how(base: Sample, name: str) -> str:
    """The command that makes a model without a front end of the audit."""
    if name == NONE:
        return ""
    settings = base.checkpoint.card.training.get("settings") or {}
    pixels = settings.get("pixels")
    return f"robustkit train ... --pixels {pixels} --out {base.model}" if pixels else str(base.model)


def _measured(
    one: Remedy,
    sample: Sample,
    domains: Mapping[str, Sample],
    folder: Path,
    *,
    events: int,
    resume: bool,
    notes: list[str],
) -> dict[str, Any]:
    """What is found of one remedy, by the names of the record."""
    own_folder(folder)
    whole = replace(sample, checkpoint=one.checkpoint)
    asked: dict[str, Any] = {"n": len(sample), "data": sample.path, "part": sample.part, "take_all": True}
    certified = _search(whole, CertifyRequest(values=one.values, **asked), folder, resume)
    hazard = [np.nan] * 3
    try:
        run = folder / "hazard"
        hit = run_hazard(
            whole,
            HazardRequest(events=events, depths=("own",), **asked),
            out=run,
            resume=resume and run.is_dir(),
            mix=True,
            say=quiet,
        )
        if (every := total(hit.record)) is not None:
            hazard = [every[name] for name in ("value", "low", "high")]
    except InputError as error:
        notes.append(f"accidents were not tried: {error}")
    right = [correct(one.checkpoint.classifier, domain) for domain in domains.values()]
    cost = read_json(folder / _COST)
    return {
        "right": certified.correct, "flipped": certified.flippable, "certified": certified.certified, "hazard": hazard,
        "domain_right": np.concatenate(right), "search_seconds": cost["search"], "forward_seconds": cost["forward"],
    }  # fmt: skip


def _followed(
    one: Remedy, sample: Sample, lines: int, folder: Path, resume: bool, notes: list[str]
) -> tuple[int, int, int]:
    """How many images had every amplitude of every band alone followed, how many are certified and flipped by these."""
    nothing = (-1, -1, -1)
    if lines == 0 or split_front(one.checkpoint.classifier) is not None:
        return nothing
    whole, run = replace(sample.first(lines), checkpoint=one.checkpoint), folder / "lines"
    request = CertifyRequest(values="line", n=len(whole), data=whole.path, part=whole.part, take_all=True)
    try:
        network, why = FollowLines(whole, request).network
        if network is None:
            notes.append(f"every amplitude of {one.name} was not followed: {why}")
            return nothing
        record = run_amplitudes(whole, request, out=run, resume=resume and run.is_dir(), mix=True, say=quiet).record
    except InputError as error:
        notes.append(f"every amplitude of {one.name} was not followed: {error}")
        return nothing
    return int(record.complete.sum()), int(record.certified.sum()), int(record.flippable.sum())


def _search(whole: Sample, request: CertifyRequest, folder: Path, resume: bool) -> CertificateRecord:
    """The complete search, and beside it what it cost; a search that is resumed keeps the cost of its first part."""
    run, cost = folder / "certify", folder / _COST
    again, began = resume and run.is_dir(), time.process_time()
    record = run_certify(whole, request, out=run, resume=again, mix=True, say=quiet).record
    assert isinstance(record, CertificateRecord)
    spent = (time.process_time() - began) / max(int(record.correct.sum()), 1)
    if not (again and cost.is_file()):
        images, began = whole.inputs[0:_TIMED].to(whole.checkpoint.classifier.device), time.process_time()
        with torch.inference_mode():
            whole.checkpoint.classifier(images)
        write_json(cost, {"search": spent, "forward": (time.process_time() - began) / len(images)})
    return record


def correct(classifier: AuditedClassifier, domain: Sample) -> np.ndarray:
    """Which images of a domain a classifier classifies correctly, shape (T,), bool."""
    found: list[np.ndarray] = []
    for start in range(0, len(domain), _BATCH):
        part = slice(start, min(start + _BATCH, len(domain)))
        for value, some in domain.values_of(part):
            made = decide(answers(classifier.about(value), domain.inputs[some].to(classifier.device)))
            found.append(made.cpu().numpy() == domain.labels[some].numpy())
    return np.concatenate(found)


def models_sha256(models: tuple[str, ...]) -> dict[str, str]:
    """The hash of each further model, so that a step is made again when one of them changes.

    Raises:
        InputError: If one is not there.
    """
    for path in models:
        if not os.path.isfile(path):
            raise InputError(f"there is no model {path}; name checkpoints with --remedy-model")
    return {path: sha256_file(Path(path)) for path in models}
