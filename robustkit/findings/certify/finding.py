"""The complete search as a step of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from robustkit.files import read_json
from robustkit.findings.attack.record import AttackPart
from robustkit.findings.certify import show
from robustkit.findings.certify.record import RECORD, CertificateRecord, CertifyPart, CertifyRequest, chances
from robustkit.findings.finding import Finding, ModelRecords, Subject
from robustkit.report.section import Chapter
from robustkit.stats import Estimate, bounded_mean, wilson

if TYPE_CHECKING:
    from robustkit.runs.sample import Sample


class Certified(Finding):
    """Which images no pixel can flip, as far as the seconds allow."""

    name: ClassVar[str] = "certify"
    alone: ClassVar[str] = "robustkit certify --model {model}"
    file: ClassVar[str] = RECORD
    meaning: ClassVar[Mapping[str, str]] = {
        "certified_rate": "rate of correctly classified images that no cell flips",
        "random_extreme": "mean chance that a random extreme pixel flips a correctly classified image",
    }

    def inputs(self, subject: Subject) -> dict[str, Any]:
        """The value set and the seconds."""
        return {"settings": _settings(subject)}

    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Tries the cells, as `robustkit certify` does."""
        from robustkit.findings.certify.measure import run_certify
        from robustkit.runs import MANIFEST

        values, seconds = _settings(subject).values()
        # What the seconds allow is measured once: a run that is resumed keeps to it.
        if resume and (folder / MANIFEST).is_file():
            budget = read_json(folder / MANIFEST)["inputs"]["settings"]["budget"]
        else:
            budget = _affordable(subject.sample, values, seconds)
        asked = CertifyRequest(values=values, budget=budget, **subject.drawn)
        run_certify(subject.sample, asked, out=folder, resume=resume, mix=True, say=subject.say_engine(self.name))

    def load(self, folder: Path) -> Mapping[str, Any]:
        """The certificates."""
        return {"certificate": CertificateRecord.load(folder / RECORD)}

    def chapter(self, models: Sequence[ModelRecords]) -> Chapter:
        """Its part of the chapter on single pixels."""
        return show.chapter(models)

    def metrics(self, found: ModelRecords) -> dict[str, Estimate]:
        """The rate of certificates, and the chance of a random extreme pixel."""
        record = found.certificate
        if record is None:
            return {}
        numbers = {"certified_rate": wilson(int(record.certified.sum()), int(record.correct.sum()))}
        of_each = chances(record)
        return numbers | ({"random_extreme": bounded_mean(of_each)} if len(of_each) else {})

    def columns(self, found: ModelRecords) -> dict[str, list[Any]]:
        """Which images are certified, and the chance of a random extreme pixel."""
        record = found.certificate
        if record is None:
            return dict.fromkeys(("certified", "chance_of_a_random_extreme"), [""] * len(found.about["ids"]))
        complete = record.complete.tolist()
        return {
            "certified": [int(yes) if known else "" for yes, known in zip(record.certified, complete, strict=True)],
            "chance_of_a_random_extreme": [
                f"{chance:.6g}" if known else "" for chance, known in zip(record.chance_low, complete, strict=True)
            ],
        }

    def outcomes(self, found: ModelRecords) -> dict[str, list[float | None]]:
        """The chance of a random extreme pixel."""
        record = found.certificate
        if record is None:
            return {}
        pairs = zip(record.chance_low, record.complete, strict=True)
        return {"random extreme pixel": [float(chance) if known else None for chance, known in pairs]}


def _settings(subject: Subject) -> dict[str, Any]:
    return {"values": subject.settings(AttackPart).values, "seconds": subject.settings(CertifyPart).seconds}


def _affordable(sample: Sample, values: str, seconds: float) -> int | None:
    """The cells of an image that the seconds allow; `None` for all of them."""
    from robustkit.engine import make_evaluator
    from robustkit.engine.rate import candidates_per_second
    from robustkit.perturb.threats import make_values

    if seconds <= 0:
        return None
    classifier, images = sample.checkpoint.classifier, sample.images
    value_set = make_values(
        values,
        input_range=sample.checkpoint.card.input_range,
        stretch=sample.checkpoint.stretch,
        units=sample.whole.units,
        bounds=sample.whole.bounds,
        device=classifier.device,
    )
    cells = images.shape[2] * images.shape[3] * value_set.size
    evaluator = make_evaluator(classifier, images[:8].to(classifier.device))
    budget = int(seconds * candidates_per_second(evaluator) / len(images))
    return None if budget >= cells else max(budget, 1)


FINDING = Certified()
