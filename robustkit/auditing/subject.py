"""One model with the images that it is audited on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from robustkit import __version__
from robustkit.auditing.recorded import SCHEMA
from robustkit.auditing.request import AuditRequest
from robustkit.auditing.steps import Steps
from robustkit.data.readers.galaxies import GALAXIES_FILE, depths_of
from robustkit.errors import InputError
from robustkit.files import sha256_file
from robustkit.findings.finding import Finding
from robustkit.models import Checkpoint, ModelOptions
from robustkit.models.checkpoint import is_own, versions
from robustkit.models.foreign import kinds
from robustkit.models.foreign.kinds import kind_of
from robustkit.models.foreign.weights import read_weights
from robustkit.progress import ENGINE
from robustkit.runs.opening import ImageSets, open_sample
from robustkit.runs.sample import Sample
from robustkit.runs.selection import Selection

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Subject:
    """One model with the images that it is audited on."""

    path: Path
    options: ModelOptions | None
    data: str | None
    request: AuditRequest
    sample: Sample
    steps: Steps
    device: str
    sets: ImageSets

    @property
    def checkpoint(self) -> Checkpoint:
        """The model."""
        return self.sample.checkpoint

    @property
    def inputs(self) -> dict[str, Any]:
        """What every step depends on."""
        origin = self.checkpoint.origin
        foreign = {} if origin.own else {"model_options": origin.options, "code_sha256": origin.code_sha256}
        return {
            "robustkit": __version__,
            "model_sha256": origin.sha256,
            **foreign,
            "data_sha256": self.sample.data_sha256,
            "part": self.request.part,
            "n": len(self.sample),
            "seed": self.request.seed,
            "device": self.device,
        }

    def say_engine(self, step: str) -> Callable[[str], None]:
        """What hands on, of the lines that a step says, the one that says what computes; the others are in the page."""

        def say(line: str) -> None:
            if line.startswith(ENGINE):
                self.steps.say(step, line)

        return say

    def say_of(self, step: str) -> Callable[[str], None]:
        """What hands on every line that a step says."""
        return partial(self.steps.say, step)

    @property
    def own_images(self) -> bool:
        """Whether the images are those that the checkpoint names, or one depth of the galaxies that it names."""
        return self.data is None or self.data != self.request.data

    @property
    def catalogue(self) -> str:
        """A table of what is known of the objects; empty for the one that comes with the images, if one does."""
        return self.request.catalogue

    @property
    def seed(self) -> int:
        """Random seed, for drawing images and for everything random."""
        return self.request.seed

    def settings(self, kind: type[T]) -> T:
        """The settings of this kind in the request."""
        parts = (getattr(self.request, field.name) for field in fields(self.request))
        return next(part for part in parts if isinstance(part, kind))

    def folder(self, step: str) -> Path | None:
        """Where the files of an earlier step are; `None` where it was not made, or refused."""
        done = self.steps.done.get(step)
        return None if done is None or done.refused else done.folder

    def make(self, finding: Finding, kinds: Sequence[Finding]) -> None:
        """Makes a finding as a step, unless it is there, made from the same.

        Args:
            finding: The finding.
            kinds: All findings of the audit, among them those that it needs or uses.

        Raises:
            InputError: If nothing else should be measured.
        """
        if not finding.asked(self):
            self.steps.forget(finding.name, self.inputs)
            return
        inputs = {**self.inputs, **finding.inputs(self)}
        for kind in kinds:
            if kind.name in (*finding.needs, *finding.uses):
                folder = self.folder(kind.name)
                inputs[f"{kind.name}_sha256"] = "" if folder is None else sha256_file(folder / kind.file)

        def make(folder: Path, resume: bool) -> None:
            for name in finding.needs:
                step = self.steps.done[name]
                if step.refused:
                    raise InputError(f"the step {name!r} was not run: {step.refused}")
            finding.make(self, folder, resume=resume)

        place = f"{[kind.name for kind in kinds].index(finding.name) + 1} of {len(kinds)}"
        step = self.steps.run(finding.name, inputs, make, finding.load, place)
        if not step.refused:
            finding.require(step.folder)

    @property
    def drawn(self) -> dict[str, Any]:
        """How every step draws its images: the same ones."""
        one = self.request
        return {"data": self.data, "part": one.part, "n": one.n, "seed": one.seed, "take_all": one.take_all}


def open_subject(
    path: Path,
    options: ModelOptions | None,
    request: AuditRequest,
    device: str,
    folder: Path,
    say: Callable[[str], None],
    sets: ImageSets,
) -> Subject:
    """Opens a model of any form and draws its images.

    Args:
        path: The checkpoint.
        options: What is said about a model that robustkit did not train.
        request: The audit.
        device: Where to run.
        folder: Where its steps are kept.
        say: Receives progress messages.
        sets: Image sets that are open already.

    Raises:
        InputError: If model or images cannot be used.
    """
    data = _image_set(request.data)
    drawn = Selection(
        n=request.n, data=data, part=request.part, seed=request.seed, take_all=request.take_all, options=options
    )
    sample = open_sample(path, drawn, device=device, say=say, sets=sets)
    return Subject(path, options, data, request, sample, Steps(folder, say), device, sets)


def subject_of(
    sample: Sample, request: AuditRequest, folder: Path, say: Callable[[str], None], sets: ImageSets
) -> Subject:
    """A model and images that are open already.

    Args:
        sample: The model with its images, which are all looked at.
        request: The audit.
        folder: Where its steps are kept.
        say: Receives progress messages.
        sets: Image sets that are open already.
    """
    device = str(sample.checkpoint.classifier.device)
    return Subject(sample.model, None, None, request, sample, Steps(folder, say), device, sets)


def options_for(path: str, options: ModelOptions | None) -> ModelOptions | None:
    """What is said of models of others, for those that robustkit did not write."""
    if options is None or not options.given:
        return None
    kind = kind_of(Path(path))
    readable = kind in (kinds.TORCH, kinds.LEGACY, kinds.SAFETENSORS) and options.trust is None
    return None if readable and is_own(read_weights(Path(path))) else options


def _image_set(data: str) -> str | None:
    """The image set that is named; of simulated galaxies at several depths the deepest, as in training."""
    if not data:
        return None
    folder = Path(data)
    return str(folder / depths_of(folder)[0]) if (folder / GALAXIES_FILE).is_file() else data


def check_same_images(subjects: dict[str, Subject]) -> None:
    """Refuses models that cannot be compared image by image.

    Raises:
        InputError: If they put aside different images.
    """
    drawn = [subject.sample.ids.tolist() for subject in subjects.values()]
    if any(ids != drawn[0] for ids in drawn):
        raise InputError(
            "the model and the base put aside different test images, so they cannot be compared image by image; train "
            "both with one --split-seed, or name images that neither has seen with --data and --part all"
        )


def about_subject(subject: Subject) -> dict[str, Any]:
    """What a report must know of the model and its images, as JSON values."""
    card, sample = subject.checkpoint.card, subject.sample
    return {
        "schema": SCHEMA,
        "model": str(subject.path),
        "model_sha256": subject.checkpoint.origin.sha256,
        "form": subject.checkpoint.origin.form,
        "network": card.network,
        "method": card.training.get("settings", {}).get("method", ""),
        "training_seed": card.training.get("settings", {}).get("seed"),
        "latent": card.latent,
        "class_names": list(card.class_names),
        "bands": list(card.bands),
        "input_shape": list(card.input_shape),
        "stretch": card.stretch,
        "data": str(sample.path),
        "pixel_scale": float(sample.whole.meta.get("pixel_scale") or 0.0),
        "data_sha256": sample.data_sha256,
        "split_sha256": card.data.get("split_sha256"),
        "units": sample.whole.units,
        "notes": [*subject.checkpoint.origin.notes, *sample.whole.notes],
        "part": sample.part,
        "available": sample.available,
        "repeats": sample.repeats,
        "seed": subject.request.seed,
        "ids": sample.ids.tolist(),
        "true": sample.labels.tolist(),
        "versions": versions(),
        "device": subject.device,
    }
