"""Which objects flip most easily, as a step of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from robustkit.errors import InputError
from robustkit.files import own_folder, sha256_file
from robustkit.findings.attack.record import RECORD as ATTACK
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.certify.record import RECORD as CERTIFICATES
from robustkit.findings.certify.record import CertificateRecord
from robustkit.findings.finding import Finding, ModelRecords, Subject
from robustkit.findings.fragile import show
from robustkit.findings.fragile.record import RECORD, FragileRecord
from robustkit.findings.pictures.finding import RECORD as PICTURES
from robustkit.findings.pictures.record import Pictures
from robustkit.report.section import Chapter


class Fragile(Finding):
    """The objects in the order in which they flip, with what a catalogue says of them."""

    name: ClassVar[str] = "fragile"
    alone: ClassVar[str] = "robustkit audit --model {model}"
    file: ClassVar[str] = RECORD
    uses: ClassVar[tuple[str, ...]] = ("pictures", "attack", "certify")

    def inputs(self, subject: Subject) -> dict[str, Any]:
        """The catalogue."""
        path, _ = _catalogue(subject)
        return {"catalogue_sha256": "" if path is None or not path.is_file() else sha256_file(path)}

    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Cuts flips short, and reads the catalogue."""
        from robustkit.data.columns import nothing_known, read_columns
        from robustkit.findings.fragile.measure import find_fragile

        path, asked = _catalogue(subject)
        columns = nothing_known(len(subject.sample))
        try:
            if path is not None:
                columns = read_columns(path, subject.sample.ids)
        except InputError:
            if asked:
                raise
        attack, certificate, pictures = (subject.folder(step) for step in ("attack", "certify", "pictures"))
        record = find_fragile(
            subject.sample,
            columns,
            attack=None if attack is None else AttackRecord.load(attack / ATTACK),
            certificate=None if certificate is None else CertificateRecord.load(certificate / CERTIFICATES),
            pictures=None if pictures is None else Pictures.load(pictures / PICTURES),
        )
        own_folder(folder)
        record.save(folder / RECORD)

    def load(self, folder: Path) -> Mapping[str, Any]:
        """How easily each object flips."""
        return {self.name: FragileRecord.load(folder / RECORD)}

    def chapter(self, models: Sequence[ModelRecords]) -> Chapter:
        """The objects that flip most easily, and of which kind they are."""
        return show.chapter(models)

    def columns(self, found: ModelRecords) -> dict[str, list[Any]]:
        """Margin, least change, and all that the catalogue says."""
        record: FragileRecord | None = found.records.get(self.name)
        if record is None:
            return dict.fromkeys(("margin", "least_change_sigmas"), [""] * len(found.about["ids"]))
        own = {"margin": record.margin, "least_change_sigmas": record.sigmas}
        own |= {f"catalogue_{name}": values for name, values in zip(record.names, record.values.T, strict=True)}
        return {name: [f"{one:.10g}" if np.isfinite(one) else "" for one in values] for name, values in own.items()}


def _catalogue(subject: Subject) -> tuple[Path | None, bool]:
    """The catalogue of the images, and whether somebody asked for it."""
    from robustkit.data.columns import find_catalogue

    if subject.catalogue:
        return Path(subject.catalogue), True
    return find_catalogue(subject.sample.path), False


FINDING = Fragile()
