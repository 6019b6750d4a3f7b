"""Embeddings as a step of an audit, and what the findings made of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from robustkit.files import own_folder, read_json, write_json
from robustkit.findings.attack.record import RECORD as ATTACK
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.finding import Finding, ModelRecords, Subject
from robustkit.findings.latents import show
from robustkit.findings.latents.record import EMBEDDINGS, NOTES
from robustkit.latent.embeddings import Embeddings
from robustkit.progress import quiet
from robustkit.report.section import Chapter

if TYPE_CHECKING:
    from robustkit.findings.latents.attacked import Attacked
    from robustkit.findings.latents.measure import Embedded


class Embedding(Finding):
    """Latents of clean, noisy and attacked images."""

    name: ClassVar[str] = "latents"
    alone: ClassVar[str] = "robustkit window --model {model} --run {attack}"
    file: ClassVar[str] = EMBEDDINGS
    needs: ClassVar[tuple[str, ...]] = ("attack",)

    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Embeds the images of the attack."""
        from robustkit.findings.latents.measure import embed_attacked

        embedded = embed_attacked(_attacked(subject), seed=subject.seed, say=quiet)
        own_folder(folder)
        embedded.record.save(folder / EMBEDDINGS)
        write_json(folder / NOTES, list(embedded.notes))

    def load(self, folder: Path) -> Mapping[str, Any]:
        """The embeddings, and what was decided when they were made."""
        return {self.name: Embeddings.load(folder / EMBEDDINGS), "notes": read_json(folder / NOTES)}

    def chapter(self, models: Sequence[ModelRecords]) -> Chapter:
        """What the head makes of them."""
        return show.chapter(models)


class OfLatents(Finding):
    """Something that is measured on the embeddings of an audit."""

    needs: ClassVar[tuple[str, ...]] = ("latents", "attack")

    def keep(self, subject: Subject, folder: Path, kind: Any, request: Any) -> None:
        """Measures it as its command does, on the embeddings that the audit has."""
        from robustkit.findings.latents.running import keep

        keep(kind, folder, {subject.path.stem: embedded_in(subject)}, request)


def embedded_in(subject: Subject) -> Embedded:
    """The embeddings that the audit has made."""
    from robustkit.findings.latents.measure import Embedded

    folder = subject.folder("latents")
    assert folder is not None
    notes = tuple(read_json(folder / NOTES))
    return Embedded(_attacked(subject), Embeddings.load(folder / EMBEDDINGS), notes)


def _attacked(subject: Subject) -> Attacked:
    from robustkit.findings.latents.attacked import Attacked

    folder = subject.folder("attack")
    assert folder is not None
    return Attacked(subject.sample, AttackRecord.load(folder / ATTACK), folder)


FINDING = Embedding()
