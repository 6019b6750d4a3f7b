"""Everything that an audit found about one model, read back from its records alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.auditing.pictures import Exhibits, Pictures
from robustkit.errors import InputError
from robustkit.files import read_json
from robustkit.findings.attack.record import RECORD as ATTACK
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.certify.record import RECORD as CERTIFICATES
from robustkit.findings.certify.record import CertificateRecord
from robustkit.findings.clean.measure import CleanRecord
from robustkit.findings.distances.record import RECORD as DISTANCES
from robustkit.findings.distances.record import DistanceRecord
from robustkit.findings.distances.summary import DistanceSummary, read_summary
from robustkit.findings.latents.record import EMBEDDINGS, NOTES
from robustkit.findings.maps.record import RECORD as MAP
from robustkit.findings.maps.record import LatentMap
from robustkit.findings.sweep.record import RECORD as SWEEP
from robustkit.findings.sweep.record import SweepRecord
from robustkit.findings.windows.record import RECORD as WINDOWS
from robustkit.findings.windows.record import Windows
from robustkit.latent.embeddings import Embeddings

ABOUT, PREFLIGHT = "about.json", "findings.json"
# Version of what is kept of an audit; another one is refused.
SCHEMA = 1
# Steps in the order in which they run, and the command that makes each by itself.
COMMANDS = {
    "preflight": "robustkit inspect --model {model}",
    "clean": "robustkit evaluate --model {model}",
    "pictures": "robustkit audit --model {model}",
    "sweep": "robustkit sweep --model {model} --suite lsst",
    "attack": "robustkit attack --model {model}",
    "exhibits": "robustkit attack --model {model}",
    "certify": "robustkit certify --model {model}",
    "latents": "robustkit window --model {model} --run {attack}",
    "windows": "robustkit window --model {model} --run {attack}",
    "isomap": "robustkit isomap --model {model} --run {attack}",
    "distances": "robustkit distances --model {model} --run {attack}",
}


@dataclass(frozen=True, eq=False)
class Findings:
    """What is known about one model.

    Attributes:
        label: Its name in the report.
        folder: Where its records are.
        about: What it is: file, hashes, images, versions.
        steps: By name, what is kept of each step: inputs, seconds, whether and why it was refused.
        preflight: What was looked at before: name, verdict, text and advice of each finding.
        clean: Predictions by domain, the first those of the audited images.
        pictures: Small pictures and sky noise.
        attack: The one-pixel attack.
        exhibits: Flips to look at.
        certificate: The complete search.
        sweep: The sweeps.
        latents: Embeddings of clean, noisy and attacked images.
        notes: What was decided when they were made.
        windows: Church windows.
        isomap: Maps of the latents.
        distances: How far perturbations move them.
        distances_summary: Their numbers, with intervals and tests.
    """

    label: str
    folder: Path
    about: dict[str, Any]
    steps: dict[str, dict[str, Any]]
    preflight: list[dict[str, str]] = field(default_factory=list)
    clean: dict[str, CleanRecord] = field(default_factory=dict)
    pictures: Pictures | None = None
    attack: AttackRecord | None = None
    exhibits: Exhibits | None = None
    certificate: CertificateRecord | None = None
    sweep: SweepRecord | None = None
    latents: Embeddings | None = None
    notes: tuple[str, ...] = ()
    windows: Windows | None = None
    isomap: LatentMap | None = None
    distances: DistanceRecord | None = None
    distances_summary: DistanceSummary | None = None

    @property
    def class_names(self) -> list[str]:
        """The K classes."""
        return list(self.about["class_names"])

    def why_missing(self, step: str) -> str:
        """Why a step is not there, and how to get it."""
        refused = self.steps.get(step, {}).get("refused", "")
        command = COMMANDS[step].format(model=self.about["model"], attack=self.folder / "attack")
        if refused and not self.steps[step].get("finished"):
            return f"{self.label}: {refused}; run the audit again, which makes this step again, or look with: {command}"
        if refused:
            return f"{self.label}: {refused}."
        return f"{self.label}: the step {step!r} is not in {self.folder}; run the audit again, or look with: {command}"


def read_findings(folder: Path, label: str) -> Findings:
    """Reads the records of one model.

    Raises:
        InputError: If the folder is no audit of a model, was made by another version, or its records do not belong
            together.
    """
    about = read_json(folder / ABOUT)
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        found = about.get("schema") if isinstance(about, dict) else None
        raise InputError(f"expected the records in {folder} in schema {SCHEMA}, found {found}; run the audit again")
    steps = {name: read_json(folder / f"{name}.json") for name in COMMANDS if (folder / f"{name}.json").is_file()}
    if not all(isinstance(step, dict) for step in steps.values()):
        raise InputError(f"a note of a step in {folder} is damaged; run the audit again")
    finished = {name for name, step in steps.items() if step.get("finished") and not step.get("refused")}

    def kept(step: str, read: Callable[[], Any]) -> Any:
        """What is kept of a step; one that cannot be read is missing, and the others are shown."""
        if step not in finished or steps[step].get("refused"):
            return None
        try:
            return read()
        except (InputError, OSError) as error:
            note = folder / f"{step}.json"
            steps[step] = {**steps[step], "refused": f"{error}; remove {note} and run the audit again"}
            return None

    def load(step: str, kind: Any, *name: str) -> Any:
        return kept(step, lambda: kind.load(folder.joinpath(step, *name)))

    def say(step: str, name: str) -> Any:
        return kept(step, lambda: read_json(folder / step / name))

    def moved() -> tuple[DistanceRecord, DistanceSummary]:
        record = DistanceRecord.load(folder / "distances" / DISTANCES)
        return record, read_summary(folder / "distances", record.model)

    clean = kept("clean", lambda: [CleanRecord.load(path) for path in sorted((folder / "clean").glob("*.npz"))]) or []
    distances, numbers = kept("distances", moved) or (None, None)
    found = Findings(
        label=label,
        folder=folder,
        about=about,
        steps=steps,
        preflight=say("preflight", PREFLIGHT) or [],
        clean={one.domain: one for one in clean},
        pictures=load("pictures", Pictures, "pictures.npz"),
        attack=load("attack", AttackRecord, ATTACK),
        exhibits=load("exhibits", Exhibits, "exhibits.npz"),
        certificate=load("certify", CertificateRecord, CERTIFICATES),
        sweep=load("sweep", SweepRecord, SWEEP),
        latents=load("latents", Embeddings, EMBEDDINGS),
        notes=tuple(say("latents", NOTES) or ()),
        windows=load("windows", Windows, WINDOWS),
        isomap=load("isomap", LatentMap, MAP),
        distances=distances,
        distances_summary=numbers,
    )
    _check_together(found)
    return found


def _check_together(found: Findings) -> None:
    """Refuses records of different images or models in one folder."""
    ids = np.asarray(found.about["ids"], dtype=str)
    for name in ("pictures", "attack", "certificate", "sweep", "latents", "windows"):
        record = getattr(found, name)
        if record is None:
            continue
        if not np.array_equal(np.asarray(record.ids, dtype=str), ids):
            raise InputError(
                f"the {name} record in {found.folder} is of other images than the audit; run the audit again"
            )
    for name, step in found.steps.items():
        sha = step.get("inputs", {}).get("model_sha256")
        if sha is not None and sha != found.about["model_sha256"]:
            raise InputError(f"the step {name!r} in {found.folder} is of another model; run the audit again")


def check_pair(one: Findings, other: Findings) -> None:
    """Refuses two audits that cannot be paired image by image.

    Raises:
        InputError: If their images, true classes, or ways of asking differ.
    """
    if one.class_names != other.class_names:
        raise InputError(
            f"{one.label} knows the classes {', '.join(one.class_names)}, {other.label} knows "
            f"{', '.join(other.class_names)}; only models of the same classes can be compared"
        )
    if one.about["ids"] != other.about["ids"] or one.about["true"] != other.about["true"]:
        raise InputError(
            f"{one.label} and {other.label} were audited on different images; audit both with the same --data, --part, "
            "--n and --seed"
        )
    for step in ("attack", "certify", "sweep"):
        first, second = (each.steps.get(step, {}).get("inputs", {}).get("settings") for each in (one, other))
        if first is not None and second is not None and first != second:
            raise InputError(
                f"the step {step!r} of {one.label} and {other.label} was made with other settings; audit both alike"
            )
