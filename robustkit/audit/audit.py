"""An audit from a checkpoint on disk to one page that answers: what `robustkit audit` does, for use from Python too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from robustkit import __version__
from robustkit.audit.attack import AttackRequest, choose_device, run_attack
from robustkit.audit.attack_files import RECORD as ATTACK
from robustkit.audit.certify import CertifyRequest, run_certify
from robustkit.audit.clean import predict_clean, target_of
from robustkit.audit.embed import Embedded, embed_run
from robustkit.audit.findings import ABOUT, SCHEMA
from robustkit.audit.latent_steps import EMBEDDINGS, make_distances, make_latents, make_map, make_windows
from robustkit.audit.pictures import take_exhibits, take_pictures
from robustkit.audit.report import Report, write_report
from robustkit.audit.request import FILE, QUICK, AuditRequest, of_effort, save_request
from robustkit.audit.sample import Sample, open_sample
from robustkit.audit.steps import Steps
from robustkit.audit.sweep import SweepRequest, run_sweep
from robustkit.data import open_images
from robustkit.data.readers.galaxies import GALAXIES_FILE, depths_of
from robustkit.engine import make_evaluator
from robustkit.engine.rate import candidates_per_second
from robustkit.errors import InputError
from robustkit.files import new_folder, read_json, sha256_file, write_json
from robustkit.models import Checkpoint, open_checkpoint
from robustkit.models.checkpoint import versions
from robustkit.perturb.attack_record import AttackRecord
from robustkit.perturb.conditions import calibrated, conditions_of
from robustkit.perturb.threats import make_values
from robustkit.runs import MANIFEST, interruptible, only_writer

MODEL, BASE = "model", "base"


@dataclass(frozen=True, eq=False)
class _Subject:
    """One model with the images that it is audited on."""

    path: Path
    data: str | None
    request: AuditRequest
    checkpoint: Checkpoint
    sample: Sample
    steps: Steps
    device: str

    @property
    def inputs(self) -> dict[str, Any]:
        """What every step depends on."""
        return {
            "robustkit": __version__,
            "model_sha256": sha256_file(self.path),
            "data_sha256": self.sample.image_set.provenance,
            "part": self.request.part,
            "n": len(self.sample.images),
            "seed": self.request.seed,
            "device": self.device,
        }

    @property
    def drawn(self) -> dict[str, Any]:
        """How every step draws its images: the same ones."""
        one = self.request
        return {"data": self.data, "part": one.part, "n": one.n, "seed": one.seed, "take_all": one.take_all}


def run_audit(
    request: AuditRequest,
    *,
    out: str | os.PathLike[str] = "audit",
    device: str | None = None,
    say: Callable[[str], None] = print,
) -> Report:
    """Audits a checkpoint, and a base checkpoint on the same images, and writes one page with the files beside it.

    Every step is kept with the hashes of what it was made from. What has not changed is not made again, so a second
    run only draws the page, and a run that was stopped goes on.

    Args:
        request: What to do.
        out: The folder of the audit: a new one, or that of an earlier audit.
        device: Where to run; by default a GPU if there is one.
        say: Where the lines for the terminal go.

    Raises:
        InputError: If anything given cannot be used.
        RunInterrupted: If a signal stopped the audit; what was finished is kept.
    """
    request, folder = of_effort(request), Path(out)
    models = {MODEL: request.model} | ({BASE: request.base} if request.base else {})
    used = str(choose_device(device))
    subjects = {name: _subject(Path(path), request, used, folder / name, say) for name, path in models.items()}
    _same_images(subjects)
    _claim(folder)
    with only_writer(folder / "lock"), interruptible("go on with the same command"):
        save_request(request, folder / FILE)
        for name, subject in subjects.items():
            (folder / name).mkdir(exist_ok=True)
            say(f"{name}: {subject.path}, {len(subject.sample.images)} images of {subject.sample.path}")
            write_json(folder / name / ABOUT, _about(subject))
            _predict(subject)
            _photograph(subject)
            _sweep(subject, say)
            _attack(subject, say)
            _certify(subject, say)
            _look_at_latents(subject)
        report = write_report(folder, say=say)
    return report


def _subject(path: Path, request: AuditRequest, device: str, folder: Path, say: Callable[[str], None]) -> _Subject:
    data = _image_set(request.data)
    checkpoint = open_checkpoint(path, device=device)
    sample = open_sample(
        checkpoint, path, data=data, part=request.part, n=request.n, seed=request.seed, take_all=request.take_all
    )
    return _Subject(path, data, request, checkpoint, sample, Steps(folder, say), device)


def _image_set(data: str) -> str | None:
    """The image set that is named; of simulated galaxies at several depths the deepest, as in training."""
    if not data:
        return None
    folder = Path(data)
    return str(folder / depths_of(folder)[0]) if (folder / GALAXIES_FILE).is_file() else data


def _same_images(subjects: dict[str, _Subject]) -> None:
    drawn = {name: list(map(str, subject.sample.image_set.ids)) for name, subject in subjects.items()}
    if len(drawn) == 2 and drawn[MODEL] != drawn[BASE]:
        raise InputError(
            "the model and the base put aside different test images, so they cannot be compared image by image; train "
            "both with one --split-seed, or name images that neither has seen with --data and --part all"
        )


def _claim(folder: Path) -> None:
    """A new folder, or that of an earlier audit."""
    if not (folder / FILE).is_file():
        new_folder(folder)


def _about(subject: _Subject) -> dict[str, Any]:
    card, sample = subject.checkpoint.card, subject.sample
    return {
        "schema": SCHEMA,
        "model": str(subject.path),
        "model_sha256": sha256_file(subject.path),
        "network": card.network,
        "method": card.training.get("settings", {}).get("method", ""),
        "training_seed": card.training.get("settings", {}).get("seed"),
        "latent": card.latent,
        "class_names": list(card.class_names),
        "bands": list(card.bands),
        "input_shape": list(card.input_shape),
        "stretch": card.stretch,
        "data": str(sample.path),
        "data_sha256": sample.image_set.provenance,
        "split_sha256": card.data.get("split_sha256"),
        "units": sample.image_set.units,
        "notes": list(sample.image_set.notes),
        "part": sample.part,
        "available": sample.available,
        "repeats": sample.repeats,
        "seed": subject.request.seed,
        "ids": [str(image_id) for image_id in sample.image_set.ids],
        "true": sample.labels.tolist(),
        "versions": versions(),
        "device": subject.device,
    }


def _predict(subject: _Subject) -> None:
    one, path = subject.request, subject.path
    own = subject.data is None or subject.data != one.data  # its training images, or simulated galaxies at depths
    target = target_of(subject.checkpoint, path) if own else None
    found = {"source" if target else "images": subject.data} | ({"target": str(target)} if target else {})
    hashes = {name: open_images(where).provenance for name, where in found.items() if where is not None}

    def make(folder: Path, resume: bool) -> None:
        folder.mkdir(exist_ok=True)
        for domain, data in found.items():
            predict_clean(
                subject.checkpoint, path, domain=domain, data=data, part=one.part, seed=one.seed
            ).save(folder / f"{domain}.npz")  # fmt: skip

    subject.steps.run("clean", {**subject.inputs, "domains": hashes}, make)


def _photograph(subject: _Subject) -> None:
    def make(folder: Path, resume: bool) -> None:
        folder.mkdir(exist_ok=True)
        take_pictures(subject.checkpoint, subject.sample).save(folder / "pictures.npz")

    subject.steps.run("pictures", subject.inputs, make)


def _sweep(subject: _Subject, say: Callable[[str], None]) -> None:
    part = subject.request.sweep
    names, suite = part.perturbations, part.suite
    if not names and suite in ("auto", "quick"):
        physical = _has_conditions(subject)
        names = QUICK if suite == "quick" and physical else ()
        suite = "lsst" if physical else "plain"
    asked = SweepRequest(perturbations=names, suite=None if names else suite, **subject.drawn)
    settings = {"steps": [step.to_json() for step in asked.steps()]}

    def make(folder: Path, resume: bool) -> None:
        run_sweep(subject.path, asked, out=_empty(folder), device=subject.device, say=_quiet)

    subject.steps.run("sweep", {**subject.inputs, "settings": settings}, make)


def _attack(subject: _Subject, say: Callable[[str], None]) -> None:
    part = subject.request.attack
    asked = AttackRequest(
        searches=part.searches, values=part.values, budget=part.budget or None, **subject.drawn
    )  # fmt: skip
    settings = asdict(part)

    def make(folder: Path, resume: bool) -> None:
        run_attack(subject.path, asked, out=folder, device=subject.device, resume=resume, say=_quiet)

    attacked = subject.steps.run("attack", {**subject.inputs, "settings": settings}, make)

    def show(folder: Path, resume: bool) -> None:
        folder.mkdir(exist_ok=True)
        if attacked.refused:
            raise InputError(f"there is no attack to show: {attacked.refused}")
        record = AttackRecord.load(attacked.folder / ATTACK)
        take_exhibits(subject.checkpoint, subject.sample, record).save(folder / "exhibits.npz")

    made = "" if attacked.refused else sha256_file(attacked.folder / ATTACK)
    subject.steps.run("exhibits", {**subject.inputs, "attack_sha256": made}, show)


def _certify(subject: _Subject, say: Callable[[str], None]) -> None:
    settings = {"values": subject.request.attack.values, "seconds": subject.request.certify.seconds}

    def make(folder: Path, resume: bool) -> None:
        # What the seconds allow is measured once: a run that goes on keeps to it.
        budget = _budget_of(folder) if resume and (folder / MANIFEST).is_file() else _affordable(subject)
        asked = CertifyRequest(values=settings["values"], budget=budget, **subject.drawn)
        run_certify(subject.path, asked, out=folder, device=subject.device, resume=resume, say=_quiet)

    subject.steps.run("certify", {**subject.inputs, "settings": settings}, make)


def _look_at_latents(subject: _Subject) -> None:
    attacked = subject.steps.done["attack"]
    attack, model, seed = attacked.folder / ATTACK, subject.path.stem, subject.request.seed
    inputs = {**subject.inputs, "attack_sha256": "" if attacked.refused else sha256_file(attack)}

    @cache
    def embedded() -> Embedded:
        if attacked.refused:
            raise InputError(f"there is no attack to look at: {attacked.refused}")
        where = str(subject.sample.path)
        return embed_run(subject.path, attacked.folder, data=where, seed=seed, device=subject.device, say=_quiet)

    latents = subject.steps.run("latents", inputs, lambda folder, resume: make_latents(folder, embedded()))

    def then(make: Callable[[Path], None]) -> Callable[[Path, bool], None]:
        def checked(folder: Path, resume: bool) -> None:
            if latents.refused:
                raise InputError(latents.refused)
            make(folder)

        return checked

    made = "" if latents.refused else sha256_file(latents.folder / EMBEDDINGS)
    inputs = {**inputs, "latents_sha256": made}
    subject.steps.run("windows", inputs, then(lambda folder: make_windows(folder, embedded(), seed=seed)))
    subject.steps.run("isomap", inputs, then(lambda folder: make_map(folder, latents.folder, model=model)))
    subject.steps.run(
        "distances", inputs, then(lambda folder: make_distances(folder, latents.folder, attack, model=model, seed=seed))
    )


def _affordable(subject: _Subject) -> int | None:
    """The cells of an image that the seconds allow; `None` for all of them."""
    seconds, images = subject.request.certify.seconds, subject.sample.images
    if seconds <= 0:
        return None
    values = make_values(
        subject.request.attack.values,
        input_range=subject.checkpoint.card.input_range,
        stretch=subject.checkpoint.stretch,
        units=subject.sample.image_set.units,
        bounds=subject.sample.image_set.bounds,
        device=subject.checkpoint.classifier.device,
    )
    cells = images.shape[2] * images.shape[3] * values.size
    evaluator = make_evaluator(subject.checkpoint.classifier, images[:8].to(subject.checkpoint.classifier.device))
    budget = int(seconds * candidates_per_second(evaluator) / len(images))
    return None if budget >= cells else max(budget, 1)


def _budget_of(folder: Path) -> int | None:
    return read_json(folder / MANIFEST)["inputs"]["settings"]["budget"]


def _has_conditions(subject: _Subject) -> bool:
    """Whether the images say how they were taken, so that physical perturbations can be made."""
    try:
        conditions_of(calibrated(subject.sample.image_set))
    except InputError:
        return False
    return True


def _empty(folder: Path) -> Path:
    """A folder for a step that cannot go on: what an interrupted one left is removed."""
    if folder.is_dir():
        shutil.rmtree(folder)
    return folder


def _quiet(line: str) -> None:
    """The steps' own lines stand in the page."""
