"""An attack from a checkpoint on disk to a run folder: what `robustkit attack` does, for use from Python too."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from robustkit.audit.attack_files import SUMMARY, write_attack
from robustkit.audit.opening import Draw, open_audit
from robustkit.audit.sample import Sample
from robustkit.engine import make_evaluator
from robustkit.engine.rate import candidates_per_second
from robustkit.errors import InputError
from robustkit.models import Checkpoint, ModelOptions
from robustkit.models.checkpoint import versions
from robustkit.perturb.attack import AttackJob
from robustkit.perturb.attack_record import AttackRecord, Attempt
from robustkit.perturb.attack_settings import AttackSettings, Targeted
from robustkit.perturb.attack_summary import AttackSummary, summarise
from robustkit.perturb.proof import FlipRule
from robustkit.perturb.search.differential_evolution import DifferentialEvolution
from robustkit.perturb.search.registry import DEFAULT_SEARCHES, make_search
from robustkit.perturb.threats import ValueRange, describe_values, make_values
from robustkit.perturb.values import ValueSet
from robustkit.runs import interruptible, open_run

PRESETS = ("paper",)


@dataclass(frozen=True, eq=False)
class AttackRun:
    """A finished run.

    Attributes:
        folder: Where its files are.
        record: What was found.
        summary: Its numbers.
    """

    folder: Path
    record: AttackRecord
    summary: AttackSummary


@dataclass(frozen=True)
class AttackRequest:
    """What an attack on a checkpoint is asked to do; `None` takes the default, or what the preset says.

    Attributes:
        n: How many images to draw.
        data: The image set; by default the one that the model was trained on.
        part: A part of the model's split, or `all`.
        searches: Names of searches, run side by side.
        budget: The most queries of an image, for each search and target.
        values: What a pixel may become; see `robustkit.perturb.threats.make_values`.
        value_range: `data` or `paper`.
        preset: `paper` for exactly the published search: targeted at the wrong classes in turn, a success above
            probability 0.5, 400 candidates, 80 generations, values from 0 to 1.
        targeted: `in-turn` or `each`; see `AttackSettings`.
        pixels: How many pixels a candidate overwrites.
        seed: Of the draw and of all random streams.
        take_all: Go on with all images of the part when there are fewer than n.
    """

    n: int = 150
    data: str | os.PathLike[str] | None = None
    part: str = "test"
    searches: Sequence[str] = ()
    budget: int | None = None
    values: str | None = None
    value_range: ValueRange | None = None
    preset: str | None = None
    targeted: Literal["in-turn", "each"] | None = None
    pixels: int = 1
    seed: int = 0
    take_all: bool = False

    def __post_init__(self) -> None:
        if self.targeted not in (None, "in-turn", "each"):
            raise InputError(f"unknown targets {self.targeted!r}; --targeted takes in-turn, its default, or each")
        if self.preset is None:
            return
        if self.preset not in PRESETS:
            raise InputError(f"unknown preset {self.preset!r}; known are {', '.join(PRESETS)}")
        fixed = {"--search": self.searches, "--budget": self.budget, "--values": self.values}
        fixed |= {"--range": self.value_range, "--targeted": self.targeted, "--pixels": self.pixels != 1}
        given = [option for option, value in fixed.items() if value]
        if given:
            raise InputError(
                f"--preset {self.preset} fixes what {', '.join(given)} would change; leave either of them away"
            )

    def settings(self, checkpoint: Checkpoint, sample: Sample) -> AttackSettings:
        """The settings of the attack on these images."""
        paper = self.preset == "paper"
        values = make_values(
            "paper" if paper else self.values or "corners",
            input_range=checkpoint.card.input_range,
            value_range=self.value_range,
            stretch=checkpoint.stretch,
            units=sample.image_set.units,
            bounds=sample.image_set.bounds,
            device=checkpoint.classifier.device,
        )
        if paper:
            searches = (DifferentialEvolution(form="published"),)
            return AttackSettings(searches, values, self.seed, targeted=True, rule=FlipRule(0.5), report="best")
        self._check_complete(checkpoint, sample, values)
        targeted: Targeted = self.targeted if self.targeted == "each" else self.targeted is not None
        return AttackSettings(
            tuple(make_search(name) for name in self.searches or DEFAULT_SEARCHES),
            values,
            self.seed,
            budget=self.budget,
            pixels=self.pixels,
            targeted=targeted,
        )

    def _check_complete(self, checkpoint: Checkpoint, sample: Sample, values: ValueSet) -> None:
        """Refuses a complete search that the budget would cut short, with what it would take."""
        cells = sample.images.shape[2] * sample.images.shape[3] * values.size
        if "complete" not in self.searches or self.budget is None or self.budget >= cells:
            return
        evaluator = make_evaluator(checkpoint.classifier, sample.images[:8].to(checkpoint.classifier.device))
        seconds = cells / candidates_per_second(evaluator)
        raise InputError(
            f"a complete search tries {cells:,} cells an image and --budget allows {self.budget:,}; "
            f"leave --budget away (about {seconds:.2g} s an image here), or use --search auto"
        )


def run_attack(
    model: str | os.PathLike[str],
    request: AttackRequest | None = None,
    *,
    options: ModelOptions | None = None,
    out: str | os.PathLike[str] | None = None,
    device: str | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> AttackRun:
    """Attacks a checkpoint and leaves record, table, summary and pictures in a run folder.

    Finished attempts are journalled, so a run that was stopped goes on where it was.

    Args:
        model: The checkpoint.
        request: What to do.
        options: What to say about a model that robustkit did not train.
        out: The run folder; by default `runs/attack-<model>-<n>-<seed>`.
        device: Where to run; by default a GPU if there is one.
        resume: Go on with the run in the folder.
        say: Where the lines for the terminal go.

    Raises:
        InputError: If anything given cannot be used; nothing is written then.
        RunInterrupted: If a signal stopped the run; what was finished is kept.
    """
    request = request or AttackRequest()
    model = Path(model)
    draw = Draw(request.n, request.data, request.part, request.seed, request.take_all)
    checkpoint, sample = open_audit(model, options, draw, device=choose_device(device), say=say)
    settings = request.settings(checkpoint, sample)
    card, units = checkpoint.card, sample.image_set.units
    job = AttackJob(checkpoint.classifier, sample.images, sample.labels, sample.image_set.ids, settings)
    about = about_inputs(model, sample, checkpoint)
    manifest = {"inputs": {**about["inputs"], "settings": settings.to_json()}, "versions": about["versions"]}
    folder = Path(out) if out is not None else Path("runs") / f"attack-{model.stem}-{request.n}-{request.seed}"
    with open_run(folder, manifest, resume=resume) as run, interruptible():
        where = f"part {sample.part} of {sample.path}, seed {request.seed}"
        say(f"{len(sample.images)} of {sample.available} images, {where}")
        if sample.repeats:
            say(f"{sample.repeats} further images of the same objects are left out, because they are not independent")
        for note in sample.image_set.notes:
            say(note)
        say(describe_values(settings.values, bands=card.bands, stretch=checkpoint.stretch, units=units))
        say(job.describe())
        found = [Attempt.from_json(entry) for entry in run.finished]
        about["resumed_after"] = len(found)
        for attempt in job.attempts(finished=found):
            run.append([attempt.to_json()])
            found.append(attempt)
        record = job.record(found)
        record = replace(record, settings={**record.settings, "bands": list(card.bands)})
        summary = summarise(record)
        write_attack(
            folder,
            record,
            summary,
            images=sample.images.numpy(),
            bands=card.bands,
            stretch=checkpoint.stretch,
            units=units,
            about={**about, "engine": job.engine},
        )
    say(summary.text())
    say(f"everything is in {folder}, the numbers in {folder / SUMMARY}")
    return AttackRun(folder, record, summary)


def about_inputs(model: Path, sample: Sample, checkpoint: Checkpoint) -> dict[str, Any]:
    """What a run is about, for its manifest and summary: hashes under `inputs`, names and versions beside them."""
    origin = checkpoint.origin
    foreign = {} if origin.own else {"model_options": origin.options, "code_sha256": origin.code_sha256}
    return {
        "inputs": {
            "model_sha256": origin.sha256,
            **foreign,
            "data_sha256": sample.image_set.provenance,
            "split_sha256": checkpoint.card.data.get("split_sha256"),
            "part": sample.part,
            "n": len(sample.images),
        },
        "model": str(model),
        "model_notes": list(origin.notes),
        "data": str(sample.path),
        "versions": versions(),
        "device": str(checkpoint.classifier.device),
    }


def choose_device(name: str | None) -> torch.device:
    """The device of that name, or a GPU if there is one.

    Raises:
        InputError: If the name is unknown or the device is not here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"unknown device {name!r}; expected cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device is here; use --device cpu")
    return device
