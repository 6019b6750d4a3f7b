"""An attack from a checkpoint on disk to a run folder: what `robustkit attack` does, for use from Python too."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from robustkit.audit.attack_files import SUMMARY, write_attack
from robustkit.audit.attack_request import AttackRequest
from robustkit.audit.opening import Draw, open_chosen
from robustkit.audit.sample import Chosen, Inputs, Sample
from robustkit.audit.units import images_in, make_run_units, run_folder, run_manifest
from robustkit.engine.batching import free_memory, is_out_of_memory
from robustkit.errors import InputError, OutOfMemory
from robustkit.models import Checkpoint, ModelOptions
from robustkit.models.checkpoint import versions
from robustkit.perturb.attack import AttackJob
from robustkit.perturb.attack_record import OUT_OF_MEMORY, AttackRecord, Attempt, add_costs, attempt_arrays
from robustkit.perturb.attack_summary import AttackSummary, summarise
from robustkit.perturb.pursuit import Cost
from robustkit.perturb.threats import describe_values
from robustkit.progress import progress
from robustkit.runs import FinishedUnits, Run, Shard, StartExecutor, interruptible, open_run, units_of

__all__ = ["AttackRequest", "AttackRun", "OpenAttack", "about_inputs", "choose_device", "run_attack"]


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


class OpenAttack:
    """An attack whose checkpoint and images are open, and which can make each of its units.

    Args:
        model: The checkpoint.
        request: What to do.
        device: Where to run.

    Raises:
        InputError: If anything given cannot be used.
    """

    command = "attack"

    def __init__(self, model: str | os.PathLike[str], request: AttackRequest, device: str | None) -> None:
        self.model, self.request = Path(model), request
        draw = Draw(request.n, request.data, request.part, request.seed, request.take_all)
        self.said: list[str] = []
        self.checkpoint, self.chosen = open_chosen(
            model, request.options, draw, device=choose_device(device), say=self.said.append
        )
        self.images = Inputs(self.chosen, self.checkpoint.stretch)
        self.settings = request.settings(self.checkpoint, self.chosen.image_set, self.images)
        self.labels, self.ids = self.chosen.labels, self.chosen.ids
        self.about = about_inputs(self.model, self.chosen, self.checkpoint)
        self.inputs = {**self.about["inputs"], "settings": self.settings.to_json(), "group": request.group}

    def __len__(self) -> int:
        return -(-len(self.images) // self.request.group)

    def part(self, unit: int) -> slice:
        """Which of the images drawn belong to a unit."""
        return slice(unit * self.request.group, min(len(self.images), (unit + 1) * self.request.group))

    def job(self, part: slice, *, rehearse: bool = False) -> AttackJob:
        """The attack on some of the images drawn."""
        images, labels, ids = self.images[part], self.labels[part], self.ids[part]
        return AttackJob(
            self.checkpoint.classifier, images, labels, ids, self.settings, block=len(images), rehearse=rehearse
        )

    def make(self, unit: int, bar: tqdm[Any] | None = None) -> dict[str, Any]:
        """Attacks a group of images, and returns what came of it as JSON values."""
        return {"unit": unit, **self._attack(self.part(unit), bar)}

    def _attack(self, part: slice, bar: tqdm[Any] | None) -> dict[str, Any]:
        """Attacks images at once, or half of them and then the others where memory does not allow it."""
        shown = 0 if bar is None else bar.n
        try:
            return self._attack_at_once(part, bar)
        except (RuntimeError, MemoryError, OutOfMemory) as error:
            if not is_out_of_memory(error):
                raise
        free_memory()
        if bar is not None:
            bar.update(shown - bar.n)
        n = part.stop - part.start
        if n == 1:
            if bar is not None:
                bar.update(self.weight)
            unknown = [[None] * len(self.checkpoint.card.class_names)]
            nothing = {search.name: asdict(Cost()) for search in self.settings.searches}
            return {
                "clean_class": [OUT_OF_MEMORY], "clean_probabilities": unknown, "attempts": [], "costs": nothing,
                "engine": {}, "plan": [0],
            }  # fmt: skip
        middle = part.start + (n + 1) // 2
        one, other = self._attack(slice(part.start, middle), bar), self._attack(slice(middle, part.stop), bar)
        lists = {name: one[name] + other[name] for name in ("clean_class", "clean_probabilities", "attempts", "plan")}
        return {**lists, "costs": add_costs([one["costs"], other["costs"]]), "engine": other["engine"] or one["engine"]}

    def _attack_at_once(self, part: slice, bar: tqdm[Any] | None) -> dict[str, Any]:
        job = self.job(part)
        attempts = list(job.attempts(bar=bar))
        if bar is not None:
            bar.update(int((job.predicted != job.labels).sum()) * self.weight)  # these were wrong before the attack
        return {
            "clean_class": job.predicted.tolist(),
            "clean_probabilities": [[_number(p) for p in row] for row in job.clean.softmax(1).tolist()],
            "attempts": [attempt.to_json() for attempt in attempts],
            "costs": {name: asdict(cost) for name, cost in job.costs.items()},
            "engine": job.engine,
            "plan": [len(job.images)],
        }

    def record(self, entries: Iterable[dict[str, Any]]) -> AttackRecord:
        """The record of units, given in their order."""
        searches, classes = [search.name for search in self.settings.searches], self.checkpoint.card.class_names
        settings = {**self.settings.to_json(), "bands": list(self.checkpoint.card.bands)}

        def group(entry: dict[str, Any]) -> AttackRecord:
            part = self.part(entry["unit"])
            ids = self.ids[part]
            return AttackRecord(
                ids=ids,
                true=self.labels[part].numpy(),
                clean_class=np.array(entry["clean_class"], dtype=np.int64),
                clean_probabilities=np.array(entry["clean_probabilities"], dtype=np.float32),
                searches=searches,
                class_names=list(classes),
                settings=settings,
                costs=entry["costs"],
                **attempt_arrays(
                    map(Attempt.from_json, entry["attempts"]), ids=ids.tolist(), searches=searches,
                    pixels=self.settings.pixels, bands=self.images.shape[1], classes=len(classes),
                ),
            )  # fmt: skip

        return AttackRecord.join(group(entry) for entry in entries)

    @property
    def weight(self) -> int:
        """How many attempts a correct image gets."""
        return self.settings.attempts(len(self.checkpoint.card.class_names))

    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to be attacked, and how."""
        chosen, card = self.chosen, self.checkpoint.card
        where = f"part {chosen.part} of {chosen.path}, seed {self.request.seed}"
        say(f"{len(self.images)} of {chosen.available} images, {where}")
        if chosen.repeats:
            say(f"{chosen.repeats} further images of the same objects are left out, because they are not independent")
        for note in chosen.image_set.notes:
            say(note)
        units = chosen.image_set.units
        say(describe_values(self.settings.values, bands=card.bands, stretch=self.checkpoint.stretch, units=units))
        say(f"correctly classified images are attacked by {self.settings.describe()}")

    def write(self, run: Run, say: Callable[[str], None], **about: Any) -> AttackRun:
        """Writes what the finished units of a run amount to, all units being finished."""
        finished = FinishedUnits(run.journal)
        record = self.record(finished)
        plans = {
            str(entry["unit"]): entry["plan"] for entry in finished if len(entry["plan"]) > 1 or 0 in entry["plan"]
        }
        summary = summarise(record)
        write_attack(
            run.folder,
            record,
            summary,
            images=self.images,
            bands=self.checkpoint.card.bands,
            stretch=self.checkpoint.stretch,
            units=self.chosen.image_set.units,
            about={
                **self.about,
                **about,
                "engine": finished.last()["engine"],
                "plan": {"group": self.request.group, "halved": plans},
            },
        )
        say(summary.text())
        say(f"everything is in {run.folder}, the numbers in {run.folder / SUMMARY}")
        return AttackRun(run.folder, record, summary)


def run_attack(
    model: str | os.PathLike[str],
    request: AttackRequest | None = None,
    *,
    options: ModelOptions | None = None,
    out: str | os.PathLike[str] | None = None,
    device: str | None = None,
    resume: bool = False,
    shard: Shard | str | None = None,
    executor: Executor | StartExecutor | None = None,
    say: Callable[[str], None] = print,
) -> AttackRun:
    """Attacks a checkpoint and leaves record, table, summary and pictures in a run folder.

    Images are attacked in groups. A finished group is journalled, so a run that was stopped goes on where it was, to
    the same bytes.

    Args:
        model: The checkpoint.
        request: What to do.
        options: What to say about a model that robustkit did not train.
        out: The run folder; by default `runs/attack-<model>-<n>-<seed>`.
        device: Where to run; by default a GPU if there is one.
        resume: Go on with the run in the folder.
        shard: Work on a part of the groups only, such as `3/64`, and leave the rest to others; `merge_runs` makes one
            run of all shards.
        executor: Where groups are attacked: any executor of `concurrent.futures`, or what starts one; by default here.
            Its workers read the model and the images from the same paths.
        say: Where the lines for the terminal go.

    Raises:
        InputError: If anything given cannot be used; nothing is written then.
        RunInterrupted: If a signal stopped the run; what was finished is kept.
    """
    request = request or AttackRequest()
    opened = OpenAttack(model, request if options is None else replace(request, options=options), device)
    part = None if shard is None else Shard.parse(str(shard))
    units = units_of(part, len(opened))
    opened.job(slice(0, 1), rehearse=True)  # what a search refuses, it refuses before anything is written
    folder = run_folder(opened, out, part)
    with open_run(folder, run_manifest(opened, part), resume=resume) as run, interruptible():
        for line in opened.said:
            say(line)
        opened.describe(say)
        finished = FinishedUnits(run.journal)
        left = [unit for unit in units if unit not in finished]
        with progress(total=images_in(opened, units) * opened.weight, label="attacking", unit="image") as bar:
            bar.update((images_in(opened, units) - images_in(opened, left)) * opened.weight)
            make_run_units(
                opened, left, lambda _, entry: run.append([entry]), executor=executor, device=device, bar=bar
            )
        if part is None:
            return opened.write(run, say, resumed_after=len(units) - len(left))
        record = opened.record(FinishedUnits(run.journal))
    say(f"shard {part} is finished, {len(record.ids)} images; when all are, make one run of them with robustkit merge")
    return AttackRun(folder, record, summarise(record))


def about_inputs(model: Path, sample: Sample | Chosen, checkpoint: Checkpoint) -> dict[str, Any]:
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
            "n": len(sample.labels),
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


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no nan; NumPy reads `None` as one
