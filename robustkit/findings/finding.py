"""What an audit needs to know of a finding: the step that makes it, its record, its numbers, its chapter.

`robustkit.findings.registry` holds those of robustkit in the order of an audit. A finding of your own is a class like
them; docs/howto/add-a-finding.md shows one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

if TYPE_CHECKING:
    from robustkit.findings.attack.record import AttackRecord
    from robustkit.findings.certify.record import CertificateRecord
    from robustkit.findings.clean.record import CleanRecord
    from robustkit.findings.distances.record import DistanceRecord
    from robustkit.findings.distances.summary import DistanceSummary
    from robustkit.findings.exhibits.record import Exhibits
    from robustkit.findings.maps.record import LatentMap
    from robustkit.findings.pictures.record import Pictures
    from robustkit.findings.sweep.record import SweepRecord
    from robustkit.findings.windows.record import Windows
    from robustkit.latent.embeddings import Embeddings
    from robustkit.models import ModelOptions
    from robustkit.report.section import Chapter
    from robustkit.runs.opening import ImageSets
    from robustkit.runs.sample import Sample
    from robustkit.stats import Estimate

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class ModelRecords:
    """What an audit found out about one model, read back from its records.

    Attributes:
        label: Its name in the report.
        folder: Where its records are.
        about: What it is: file, hashes, images, versions.
        steps: What is kept of each step, by name: inputs, seconds, whether and why it was refused.
        records: What the findings loaded, by name; what was not made is not in it.
        commands: How to get each finding alone, by the name of its step.
    """

    label: str
    folder: Path
    about: dict[str, Any]
    steps: dict[str, dict[str, Any]]
    records: Mapping[str, Any] = field(default_factory=dict)
    commands: Mapping[str, str] = field(default_factory=dict)

    @property
    def class_names(self) -> list[str]:
        """The K classes."""
        return list(self.about["class_names"])

    @property
    def preflight(self) -> list[dict[str, str]]:
        """Name, verdict, text and advice of everything that was looked at first."""
        return self.records.get("preflight", [])

    @property
    def clean(self) -> dict[str, CleanRecord]:
        """Predictions by domain, the first those of the audited images."""
        return self.records.get("clean", {})

    @property
    def pictures(self) -> Pictures | None:
        """Small pictures and sky noise."""
        return self.records.get("pictures")

    @property
    def attack(self) -> AttackRecord | None:
        """The one-pixel attack."""
        return self.records.get("attack")

    @property
    def exhibits(self) -> Exhibits | None:
        """Flips to look at."""
        return self.records.get("exhibits")

    @property
    def certificate(self) -> CertificateRecord | None:
        """The complete search."""
        return self.records.get("certificate")

    @property
    def sweep(self) -> SweepRecord | None:
        """The sweeps."""
        return self.records.get("sweep")

    @property
    def latents(self) -> Embeddings | None:
        """Embeddings of clean, noisy and attacked images."""
        return self.records.get("latents")

    @property
    def windows(self) -> Windows | None:
        """Church windows."""
        return self.records.get("windows")

    @property
    def isomap(self) -> LatentMap | None:
        """Maps of the latents."""
        return self.records.get("isomap")

    @property
    def distances(self) -> DistanceRecord | None:
        """How far perturbations move the latents."""
        return self.records.get("distances")

    @property
    def distances_summary(self) -> DistanceSummary | None:
        """Their numbers, with intervals and tests."""
        return self.records.get("distances_summary")

    def why_missing(self, step: str) -> str:
        """Why a finding is missing, and how to get it."""
        refused = self.steps.get(step, {}).get("refused", "")
        alone = self.commands.get(step, "").format(model=self.about["model"], attack=self.folder / "attack")
        look = f", or look with: {alone}" if alone else "."
        if refused and not self.steps[step].get("finished"):
            return f"{self.label}: {refused}; run the audit again, which makes this step again{look}"
        if refused:
            return f"{self.label}: {refused}."
        return f"{self.label}: the step {step!r} is not in {self.folder}; run the audit again{look}"


class Subject(Protocol):
    """The model that is audited, with its images, as a finding gets it."""

    @property
    def sample(self) -> Sample:
        """The model and the images drawn."""
        ...

    @property
    def path(self) -> Path:
        """The checkpoint."""
        ...

    @property
    def options(self) -> ModelOptions | None:
        """What is said about a model that robustkit did not train."""
        ...

    @property
    def own_images(self) -> bool:
        """Whether the images are those that the checkpoint itself names."""
        ...

    @property
    def catalogue(self) -> str:
        """A table of what is known of the objects; empty for the one that comes with the images, if one does."""
        ...

    @property
    def sets(self) -> ImageSets:
        """Image sets that are open already."""
        ...

    @property
    def seed(self) -> int:
        """Random seed, for drawing images and for everything random."""
        ...

    @property
    def drawn(self) -> dict[str, Any]:
        """How every step draws its images, as arguments of a `Selection`: the same ones."""
        ...

    def settings(self, kind: type[T]) -> T:
        """The settings of this kind in the request of the audit."""
        ...

    def say_engine(self, step: str) -> Callable[[str], None]:
        """What hands on, of the lines that a step says, the one that says what computes and how long it may take."""
        ...

    def say_of(self, step: str) -> Callable[[str], None]:
        """What hands on every line that a step says, for steps that take long."""
        ...

    def folder(self, step: str) -> Path | None:
        """Where the files of an earlier step are; `None` where it was not made, or refused."""
        ...


class Finding(ABC):
    """One thing that an audit finds out about a model.

    Attributes:
        name: Of its step and of the step's folder; lower case letters, digits and hyphens.
        alone: The command that gets it without an audit, with {model} and {attack} for the checkpoint and the folder of
            the attack; empty if no command does.
        file: The record by which steps that are made from this one know it.
        needs: Steps from which it is made; it is refused with the first of them that was refused.
        uses: Steps that it takes into account where they were made.
        meaning: What each of its numbers is, by the name under which gates and machines find it. A name with a dot
            stands for one number for each class, perturbation or domain.
    """

    name: ClassVar[str]
    alone: ClassVar[str] = ""
    file: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    uses: ClassVar[tuple[str, ...]] = ()
    meaning: ClassVar[Mapping[str, str]] = {}

    def asked(self, subject: Subject) -> bool:
        """Whether the audit asks for it; what is not asked for is not made, and its chapter says how to ask."""
        del subject
        return True

    def inputs(self, subject: Subject) -> dict[str, Any]:
        """What its answer depends on besides the model, the images and the steps that it names, as JSON values."""
        del subject
        return {}

    @abstractmethod
    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Measures, and fills its folder.

        Args:
            subject: The model and its images.
            folder: The folder of the step, which does not exist yet unless it is resumed.
            resume: Whether to continue with what is there.

        Raises:
            InputError: If it cannot be measured of this model or these images; the page says why.
        """

    def require(self, folder: Path) -> None:
        """Called when it was made, or was there already; refuses to continue if nothing else should be measured.

        Raises:
            InputError: If so; it ends the audit.
        """
        del folder

    @abstractmethod
    def load(self, folder: Path) -> Mapping[str, Any]:
        """Reads back its records, by the names that `ModelRecords.records` has for them."""

    def chapter(self, models: Sequence[ModelRecords]) -> Chapter | None:
        """What the page says of one model, or of two side by side; findings may share a chapter by its name."""
        del models
        return None

    def metrics(self, found: ModelRecords) -> dict[str, Estimate]:
        """Its numbers, by the names in `meaning`; empty if it was not made."""
        del found
        return {}

    def columns(self, found: ModelRecords) -> dict[str, list[Any]]:
        """Its columns of the table of images: a cell for each of the N images drawn, "" where nothing is known."""
        del found
        return {}

    def outcomes(self, found: ModelRecords) -> dict[str, list[float | None]]:
        """What went wrong with each of the N images, by measure, for comparison with a later audit.

        Returns:
            0 for well, 1 for badly, shares between, `None` for images without an answer.
        """
        del found
        return {}


def section_name(name: str, one: ModelRecords, models: Sequence[ModelRecords]) -> str:
    """The name of a section that each model has: that of the base ends in -base."""
    return name if one is models[0] else f"{name}-base"
