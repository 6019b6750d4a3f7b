"""An attack from a checkpoint on disk to a run folder: what `robustkit attack` does, for use from Python too."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from robustkit.audit.attack_files import SUMMARY, write_attack
from robustkit.audit.attack_request import AttackRequest
from robustkit.audit.halving import halved, plan
from robustkit.audit.running import run_opened
from robustkit.audit.sample import Inputs
from robustkit.audit.units import OpenRun
from robustkit.errors import OutOfMemory
from robustkit.models import ModelOptions
from robustkit.models.memory import is_out_of_memory
from robustkit.perturb.attack import AttackJob
from robustkit.perturb.attack_record import OUT_OF_MEMORY, AttackRecord, Attempt, add_costs, attempt_arrays
from robustkit.perturb.attack_summary import AttackSummary, summarise
from robustkit.perturb.pursuit import Cost
from robustkit.perturb.threats import describe_values
from robustkit.runs import JOURNAL, FinishedUnits, Run, Shard, StartExecutor, interruptible

__all__ = ["AttackRequest", "AttackRun", "OpenAttack", "run_attack"]


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


class OpenAttack(OpenRun):
    """An attack whose checkpoint and images are open; see `OpenRun`."""

    command, doing = "attack", "attacking"

    def __init__(self, model: str | os.PathLike[str], request: AttackRequest, device: str | None) -> None:
        super().__init__(model, request, device)
        self.images = Inputs(self.chosen, self.checkpoint.stretch)
        self.settings = request.settings(self.checkpoint, self.chosen.image_set, self.images)
        self.labels, self.ids = self.chosen.labels, self.chosen.ids
        self.inputs["settings"] = self.settings.to_json()

    def job(self, part: slice, *, rehearse: bool = False) -> AttackJob:
        """The attack on some of the images drawn."""
        images, labels, ids = self.images[part], self.labels[part], self.ids[part]
        return AttackJob(
            self.checkpoint.classifier, images, labels, ids, self.settings, block=len(images), rehearse=rehearse
        )

    def make(self, unit: int, bar: tqdm[Any] | None = None) -> dict[str, Any]:
        """Attacks a group of images, and returns what came of it as JSON values."""
        entry, sizes = halved(
            self.part(unit), partial(self._attack, bar), alone=self._unknown, join=_join, bar=bar, weight=self.weight
        )
        return {"unit": unit, **entry, "plan": sizes}

    def _attack(self, bar: tqdm[Any] | None, part: slice) -> dict[str, Any]:
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
        }

    def _unknown(self, part: slice) -> dict[str, Any]:
        """What stands for images that do not fit into memory."""
        return {
            "clean_class": [OUT_OF_MEMORY],
            "clean_probabilities": [[None] * len(self.checkpoint.card.class_names)],
            "attempts": [],
            "costs": {search.name: asdict(Cost()) for search in self.settings.searches},
            "engine": {},
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

    def found(self, folder: Path, units: Iterable[int]) -> AttackRun:
        """What some of the units of a run amount to, as they are in its folder."""
        entries = FinishedUnits(folder / JOURNAL)
        record = self.record(entries[unit] for unit in units)
        return AttackRun(folder, record, summarise(record))

    def write(self, run: Run, say: Callable[[str], None], **about: Any) -> AttackRun:
        """Writes what the units of a run amount to, all of them being finished."""
        finished = FinishedUnits(run.journal)
        record = self.record(finished)
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
                "plan": plan(self.request.group, ((entry["unit"], entry["plan"]) for entry in finished)),
            },
        )
        say(summary.text())
        say(f"everything is in {run.folder}, the numbers in {run.folder / SUMMARY}")
        return AttackRun(run.folder, record, summary)


@interruptible()
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
    try:
        opened.job(slice(0, 1), rehearse=True)  # what a search refuses, it refuses before anything is written
    except (RuntimeError, MemoryError, OutOfMemory) as error:
        if not is_out_of_memory(error):
            raise  # an image that does not fit is marked in the record
    return run_opened(opened, out=out, device=device, resume=resume, shard=shard, executor=executor, say=say)


def _join(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    lists = {name: one[name] + other[name] for name in ("clean_class", "clean_probabilities", "attempts")}
    return {**lists, "costs": add_costs([one["costs"], other["costs"]]), "engine": other["engine"] or one["engine"]}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no nan; NumPy reads `None` as one
