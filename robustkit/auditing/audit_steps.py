"""The steps of an audit, each made once and kept with the hashes of what it was made from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from robustkit.auditing.findings import PREFLIGHT
from robustkit.auditing.pictures import take_exhibits, take_pictures
from robustkit.auditing.request import QUICK
from robustkit.auditing.subject import Subject
from robustkit.engine import make_evaluator
from robustkit.engine.rate import candidates_per_second
from robustkit.errors import InputError
from robustkit.files import own_folder, read_json, sha256_file, write_json
from robustkit.findings.attack.measure import run_attack
from robustkit.findings.attack.record import RECORD as ATTACK
from robustkit.findings.attack.record import AttackRecord, AttackRequest
from robustkit.findings.certify.measure import run_certify
from robustkit.findings.certify.record import CertifyRequest
from robustkit.findings.clean.measure import MOST, predict_clean, target_of
from robustkit.findings.preflight.measure import preflight
from robustkit.findings.sweep.measure import run_sweep, steps_of
from robustkit.findings.sweep.record import SweepRequest
from robustkit.models.preflight import Preflight
from robustkit.perturb.conditions import calibrated, conditions_of
from robustkit.perturb.threats import make_values
from robustkit.runs import MANIFEST
from robustkit.runs.opening import reopen_sample
from robustkit.runs.selection import Selection


def check(subject: Subject) -> None:
    """Preflight: what would make every number meaningless is refused before any is made."""
    found: list[Preflight] = []

    def make(folder: Path, resume: bool) -> None:
        own_folder(folder)
        found.append(preflight(subject.checkpoint, subject.sample))
        write_json(folder / PREFLIGHT, found[0].to_json())

    subject.steps.run("preflight", subject.inputs, make)
    for one in found:
        one.require()


def predict(subject: Subject) -> None:
    """What the classifier says of all images of the part, in both domains where there are two."""
    one, path = subject.request, subject.path
    own = subject.data is None or subject.data != one.data  # its training images, or simulated galaxies at depths
    target = target_of(subject.checkpoint, path) if own else None
    found = {"source" if target else "images": subject.data} | ({"target": str(target)} if target else {})
    part, seed, options = one.part, one.seed, subject.options
    samples = {
        domain: reopen_sample(
            subject.sample,
            Selection(n=MOST, data=data, part=part, seed=seed, take_all=True, options=options),
            subject.sets,
        )
        for domain, data in found.items()
    }

    def make(folder: Path, resume: bool) -> None:
        own_folder(folder)
        for domain, sample in samples.items():
            predict_clean(sample, domain=domain).save(folder / f"{domain}.npz")

    hashes = {domain: sample.data_sha256 for domain, sample in samples.items()}
    subject.steps.run("clean", {**subject.inputs, "domains": hashes}, make)


def photograph(subject: Subject) -> None:
    """Small pictures and the noise of the sky."""

    def make(folder: Path, resume: bool) -> None:
        own_folder(folder)
        take_pictures(subject.sample).save(folder / "pictures.npz")

    subject.steps.run("pictures", subject.inputs, make)


def sweep(subject: Subject) -> None:
    """Perturbations in the units that the images allow."""
    part = subject.request.sweep
    names, suite = part.perturbations, part.suite
    if not names and suite in ("auto", "quick"):
        physical = _has_conditions(subject)
        names = QUICK if suite == "quick" and physical else ()
        suite = "lsst" if physical else "plain"
    asked = SweepRequest(perturbations=names, suite=None if names else suite, draws=part.draws, **subject.drawn)
    card = subject.checkpoint.card
    lows, highs = zip(*card.input_range, strict=True)
    steps = steps_of(asked, (min(lows), max(highs)), len(card.bands))
    settings: dict[str, Any] = {"draws": part.draws, "steps": [step.to_json() for step in steps]}

    def make(folder: Path, resume: bool) -> None:
        run_sweep(subject.sample, asked, out=folder, resume=resume, mix=True, say=_quiet)

    subject.steps.run("sweep", {**subject.inputs, "settings": settings}, make)


def attack(subject: Subject) -> None:
    """The one-pixel attack, and the flips that are shown of it."""
    part = subject.request.attack
    asked = AttackRequest(
        searches=part.searches, values=part.values, budget=part.budget or None, **subject.drawn
    )  # fmt: skip
    settings = asdict(part)

    def make(folder: Path, resume: bool) -> None:
        run_attack(subject.sample, asked, out=folder, resume=resume, mix=True, say=_quiet)

    attacked = subject.steps.run("attack", {**subject.inputs, "settings": settings}, make)

    def show(folder: Path, resume: bool) -> None:
        own_folder(folder)
        if attacked.refused:
            raise InputError(f"the attack was not run: {attacked.refused}")
        record = AttackRecord.load(attacked.folder / ATTACK)
        take_exhibits(subject.sample, record).save(folder / "exhibits.npz")

    made = "" if attacked.refused else sha256_file(attacked.folder / ATTACK)
    subject.steps.run("exhibits", {**subject.inputs, "attack_sha256": made}, show)


def certify(subject: Subject) -> None:
    """The complete search, or as much of it as its seconds allow."""
    settings: dict[str, Any] = {"values": subject.request.attack.values, "seconds": subject.request.certify.seconds}

    def make(folder: Path, resume: bool) -> None:
        # What the seconds allow is measured once: a run that goes on keeps to it.
        budget = _budget_of(folder) if resume and (folder / MANIFEST).is_file() else _affordable(subject)
        asked = CertifyRequest(values=settings["values"], budget=budget, **subject.drawn)
        run_certify(subject.sample, asked, out=folder, resume=resume, mix=True, say=_quiet)

    subject.steps.run("certify", {**subject.inputs, "settings": settings}, make)


def _affordable(subject: Subject) -> int | None:
    """The cells of an image that the seconds allow; `None` for all of them."""
    seconds, images = subject.request.certify.seconds, subject.sample.images
    if seconds <= 0:
        return None
    values = make_values(
        subject.request.attack.values,
        input_range=subject.checkpoint.card.input_range,
        stretch=subject.checkpoint.stretch,
        units=subject.sample.whole.units,
        bounds=subject.sample.whole.bounds,
        device=subject.checkpoint.classifier.device,
    )
    cells = images.shape[2] * images.shape[3] * values.size
    evaluator = make_evaluator(subject.checkpoint.classifier, images[:8].to(subject.checkpoint.classifier.device))
    budget = int(seconds * candidates_per_second(evaluator) / len(images))
    return None if budget >= cells else max(budget, 1)


def _budget_of(folder: Path) -> int | None:
    return read_json(folder / MANIFEST)["inputs"]["settings"]["budget"]


def _has_conditions(subject: Subject) -> bool:
    """Whether the images say how they were taken, so that physical perturbations can be made."""
    try:
        conditions_of(calibrated(subject.sample.image_set))
    except InputError:
        return False
    return True


def _quiet(line: str) -> None:
    """The steps' own lines stand in the page."""
