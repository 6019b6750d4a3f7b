"""The attack: searches propose, an evaluator scores, and every flip is proved before it counts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from robustkit.engine import Evaluator, PlainEvaluator, make_evaluator
from robustkit.engine.rate import candidates_per_second, spoken_trial
from robustkit.errors import InputError
from robustkit.findings.attack.loop import AttackSettings, Block, Cost, Report, Targeted, pursue, watched
from robustkit.findings.attack.record import AttackRecord, AttackRequest, Attempt, attempt_arrays
from robustkit.findings.attack.show import write_attack
from robustkit.findings.attack.summary import AttackResult
from robustkit.models import AuditedClassifier
from robustkit.models.fronts.splitting import flagging
from robustkit.perturb.decision import answers, decide
from robustkit.perturb.proof import FlipRule
from robustkit.perturb.search.auto import Auto
from robustkit.perturb.search.base import UNTARGETED, SearchSettings
from robustkit.perturb.search.differential_evolution import DifferentialEvolution
from robustkit.perturb.search.registry import DEFAULT_SEARCHES, make_search
from robustkit.perturb.threats import describe_values, make_values
from robustkit.perturb.values import ValueSet
from robustkit.progress import progress
from robustkit.records import OUT_OF_MEMORY
from robustkit.runs.measurement import Measurement, Records
from robustkit.runs.running import run_measurement
from robustkit.runs.sample import Sample

MakeEvaluator = Callable[[AuditedClassifier, Tensor], Evaluator]


def attack(
    classifier: AuditedClassifier,
    images: Tensor,
    labels: Tensor,
    *,
    search: SearchSettings | Sequence[SearchSettings],
    values: ValueSet,
    seed: int,
    ids: Sequence[str] | np.ndarray,
    budget: int | None = None,
    pixels: int = 1,
    targeted: Targeted = None,
    success: str | float = "argmax",
    report: Report = "first",
    evaluator: MakeEvaluator = make_evaluator,
) -> AttackRecord:
    """Looks for pixels that change the predicted class of images, and proves each flip it reports.

    Only images that are classified correctly are attacked. The answer for an image depends on the seed and on its id,
    and not on the other images or their order.

    Args:
        classifier: The classifier.
        images: Clean network input, shape (N, C, H, W), float32, finite.
        labels: True classes, shape (N,), int64.
        search: The settings of one search, or of several that run side by side.
        values: What a pixel may become, on the classifier's device.
        seed: Of all random streams, at least 0.
        ids: A unique id for each image.
        budget: The most queries per image, for each search and target; `None` for each search's own end.
        pixels: L, how many pixels a candidate overwrites.
        targeted: As in `AttackRequest`.
        success: `"argmax"`, or a probability that the new class must exceed besides.
        report: Which flip of a generation is kept, `first` or `best`; see `AttackSettings`.
        evaluator: Makes what scores the candidates.

    Raises:
        InputError: If the images, labels, ids or settings do not fit each other.
    """
    searches = tuple(search) if isinstance(search, Sequence) else (search,)
    settings = AttackSettings(searches, values, seed, budget, pixels, targeted, FlipRule.parse(success), report)
    job = AttackJob(classifier, images, labels, ids, settings, evaluator=evaluator)
    return job.record(job.attempts())


class AttackJob:
    """An attack on some images: attempts come one by one, and a record is made of all of them.

    Args:
        classifier: The classifier.
        images: Clean network input, shape (N, C, H, W), float32, finite.
        labels: True classes, shape (N,), int64.
        ids: A unique id for each image.
        settings: Everything that decides the answer.
        evaluator: Makes what scores the candidates.
        block: How many images are attacked at once; it changes no answer.
        rehearse: Start each search on one image first, so that what it refuses it refuses now.

    Attributes:
        clean: What the network says of each clean image alone, logits, shape (N, K), on the CPU.
        costs: What each search has cost so far.
        engine: Which evaluator scored, and why not a faster one where it says so.

    Raises:
        InputError: If the images, labels, ids or settings do not fit each other, or a search refuses them.
    """

    def __init__(
        self,
        classifier: AuditedClassifier,
        images: Tensor,
        labels: Tensor,
        ids: Sequence[str] | np.ndarray,
        settings: AttackSettings,
        *,
        evaluator: MakeEvaluator = make_evaluator,
        block: int = 128,
        rehearse: bool = True,
    ) -> None:
        self.classifier, self.images, self.labels = classifier, images, labels.cpu()
        self.ids = [str(image_id) for image_id in ids]
        self.settings, self.evaluator, self.block = settings, evaluator, block
        self._check()
        self.clean = self._clean_logits()
        self.costs = {search.name: Cost() for search in settings.searches}
        self.engine: dict[str, str | None] = {}
        if rehearse:
            self._rehearse()

    @property
    def predicted(self) -> Tensor:
        """The predicted classes before the attack, shape (N,); -1 where an output is not finite."""
        return decide(self.clean)

    def attempts(self, bar: tqdm[Any] | None = None) -> Iterator[Attempt]:
        """Attacks the correctly classified images.

        Args:
            bar: A progress bar of several jobs; by default this one shows its own.

        Yields:
            Each attempt as soon as it is finished: one for each correct image and search, and for each wrong class
            where the settings say `"each"`.
        """
        right = (self.predicted == self.labels).nonzero().squeeze(1)
        total = len(right) * self.settings.attempts(self.classifier.classes)
        with progress(total=total, label="attacking", unit="image") if bar is None else nullcontext(bar) as bar:
            # By time alone, because minutes may pass between two images.
            bar.miniters, bar.dynamic_miniters = 0, False
            for part in right.split(self.block):
                block = self._block(part, bar.update)
                for search in self.settings.searches:
                    cost = self.costs[search.name]
                    for attempt in pursue(block, list(range(len(part))), search, self.settings, cost):
                        bar.set_postfix_str(f"{search.name}, {cost.rate:,.0f} candidates/s", refresh=False)
                        bar.update()
                        yield attempt

    def record(self, attempts: Iterable[Attempt], *, bands: Sequence[str] = ()) -> AttackRecord:
        """The record of attempts, in any order.

        Args:
            attempts: The attempts.
            bands: Names of the C bands, if they have any.
        """
        searches = [search.name for search in self.settings.searches]
        arrays = attempt_arrays(
            attempts,
            ids=self.ids,
            searches=searches,
            pixels=self.settings.pixels,
            bands=self.images.shape[1],
            classes=self.classifier.classes,
        )
        return AttackRecord(
            ids=np.array(self.ids),
            true=self.labels.numpy(),
            clean_class=self.predicted.numpy(),
            clean_probabilities=self.clean.softmax(1).numpy(),
            searches=searches,
            class_names=list(self.classifier.class_names),
            settings=self.settings.to_json() | flagging(self.classifier) | ({"bands": list(bands)} if bands else {}),
            costs={name: asdict(cost) for name, cost in self.costs.items()},
            **arrays,
        )

    def _block(self, part: Tensor, beat: Callable[[int], Any]) -> Block:
        images = self.images[part].to(self.classifier.device)
        scorer = self.evaluator(self.classifier, images)
        said = {name: getattr(scorer, name, None) for name in ("runner", "reason")}
        self.engine = {"name": type(scorer).__name__, **said}
        return self._group(part, images, scorer, beat)

    def _group(self, part: Tensor, images: Tensor, evaluator: Evaluator, beat: Callable[[int], Any]) -> Block:
        return Block(
            classifier=self.classifier,
            scorer=watched(evaluator, beat),
            tolerance=lambda: evaluator.tolerance,
            images=images,
            labels=self.labels[part].to(images.device),
            clean_logits=self.clean[part].to(images.device),
            ids=[self.ids[i] for i in part.tolist()],
        )

    def _rehearse(self) -> None:
        """Starts each search on one image, so that what it refuses it refuses now."""
        first = torch.tensor([0])
        images = self.images[:1].to(self.classifier.device)
        block = self._group(first, images, PlainEvaluator(self.classifier, images), lambda count: None)
        where, targets = first.to(images.device), torch.full((1,), UNTARGETED, device=images.device)
        for search in self.settings.searches:
            search.start(block.problem(where, targets, self.settings, "rehearsal"))

    def _clean_logits(self) -> Tensor:
        # Cloned, because tensors of inference mode cannot meet a search that takes gradients.
        return answers(self.classifier, self.images).cpu().clone()

    def _check(self) -> None:
        shape, images = self.classifier.input_shape, self.images
        if tuple(images.shape[1:]) != shape or images.dtype != torch.float32 or len(images) == 0:
            raise InputError(
                f"expected float32 images of shape (N, {', '.join(map(str, shape))}), "
                f"got {images.dtype} of shape {tuple(images.shape)}"
            )
        if len(self.labels) != len(images) or len(self.ids) != len(images):
            raise InputError(
                f"{len(images)} images need a label and an id each, got {len(self.labels)}, {len(self.ids)}"
            )
        if len(set(self.ids)) != len(self.ids):
            raise InputError("image ids must be unique, because each image's random stream is made from its id")
        if int(self.labels.min()) < 0 or int(self.labels.max()) >= self.classifier.classes:
            raise InputError(
                f"labels run from {int(self.labels.min())} to {int(self.labels.max())}; "
                f"expected classes from 0 to {self.classifier.classes - 1}"
            )
        broken = (~images.isfinite().flatten(1).all(1)).nonzero().squeeze(1)
        if len(broken):
            raise InputError(
                f"{len(broken)} of {len(images)} images hold pixels that are not finite, the first is "
                f"{self.ids[int(broken[0])]}; omit or repair them"
            )
        bands = len(self.settings.values.low)
        if bands != images.shape[1]:
            raise InputError(f"the values are for {bands} bands, the images have {images.shape[1]}")


def run_attack(
    model: str | os.PathLike[str] | Sample, request: AttackRequest | None = None, **how: Any
) -> AttackResult:
    """Attacks a checkpoint and leaves record, table, summary and pictures in a run folder.

    Args:
        model: The checkpoint, or a sample that is open already.
        request: What to do.
        **how: Where and how; see `robustkit.runs.running.run_measurement`, whose errors it raises.
    """
    return run_measurement(Attack, model, request, **how)


class Attack(Measurement):
    """The one-pixel attack on the images of a sample."""

    command, doing = "attack", "attacking"
    request_type = AttackRequest

    def __init__(self, sample: Sample, request: AttackRequest) -> None:
        super().__init__(sample, request)
        self.kinds = {"attack": AttackRecord}
        self.images = sample.inputs
        self.plan = self._settings(request)
        self.inputs["settings"] = self.plan.to_json()
        self._engine: dict[str, Any] = {}

    @property
    def weight(self) -> int:
        """How many attempts a correct image gets."""
        return self.plan.attempts(len(self.sample.checkpoint.card.class_names))

    def rehearse(self) -> None:
        """Lets each search refuse what it cannot do, before anything is written."""
        classifier, one = next(self.sample.asked(slice(0, 1)))
        self._job(classifier, one, rehearse=True)

    def measure(self, part: slice, bar: tqdm[Any] | None) -> Records:
        """Attacks some of the images."""
        records: list[AttackRecord] = []
        for classifier, one in self.sample.asked(part):
            job = self._job(classifier, one, rehearse=False)
            records.append(job.record(list(job.attempts(bar)), bands=self.sample.checkpoint.card.bands))
            self._engine = job.engine or self._engine
            if bar is not None:
                bar.update(int((job.predicted != job.labels).sum()) * self.weight)  # these were wrong before the attack
        return {"attack": AttackRecord.join(records)}

    def unknown(self, part: slice) -> Records:
        """The record of images that do not fit into memory."""
        card, ids = self.sample.checkpoint.card, self.sample.ids[part]
        searches = [search.name for search in self.plan.searches]
        self._engine = {}
        record = AttackRecord(
            ids=ids,
            true=self.sample.labels[part].numpy(),
            clean_class=np.full(len(ids), OUT_OF_MEMORY),
            clean_probabilities=np.full((len(ids), len(card.class_names)), np.nan, dtype=np.float32),
            searches=searches,
            class_names=list(card.class_names),
            settings={**self.plan.to_json(), **flagging(self.sample.checkpoint.classifier), "bands": list(card.bands)},
            costs={name: asdict(Cost()) for name in searches},
            **attempt_arrays(
                (), ids=ids.tolist(), searches=searches, pixels=self.plan.pixels, bands=len(card.bands),
                classes=len(card.class_names),
            ),
        )  # fmt: skip
        return {"attack": record}

    def note(self) -> dict[str, Any]:
        """Which engine scored."""
        return {"engine": self._engine}

    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to be attacked, and how."""
        sample, card = self.sample, self.sample.checkpoint.card
        where = f"part {sample.part} of {sample.path}, seed {self.request.seed}"
        say(f"{len(sample)} of {sample.available} images, {where}")
        if sample.repeats:
            say(f"{sample.repeats} further images of the same objects are left out, because they are not independent")
        for note in sample.whole.notes:
            say(note)
        stretch, units = sample.checkpoint.stretch, sample.whole.units
        say(describe_values(self.plan.values, bands=card.bands, stretch=stretch, units=units))
        say(f"correctly classified images are attacked by {self.plan.describe()}")

    def forecast(self, images: int) -> str:
        """Which engine scores, why not a faster one, how fast, and how long the whole attack takes at most."""
        classifier = self.sample.checkpoint.classifier
        cells = self.images.shape[2] * self.images.shape[3] * self.plan.values.size
        each = self.plan.most_candidates(cells, classifier.classes)
        return spoken_trial(classifier, self.images[slice(0, 2)], images * each)

    def result(self, records: Records, folder: Path | None) -> AttackResult:
        """The attack with its numbers."""
        return AttackResult(records["attack"], self.sample, folder)

    def write(self, folder: Path, result: AttackResult, about: dict[str, Any]) -> list[str]:
        """Writes record, table, pictures and summary."""
        engines = [note["engine"] for note in about.pop("notes") if note["engine"]]
        return write_attack(folder, result, {**about, "engine": engines[-1] if engines else {}})

    def _job(self, classifier: AuditedClassifier, part: slice, *, rehearse: bool) -> AttackJob:
        images, labels, ids = self.images[part], self.sample.labels[part], self.sample.ids[part]
        return AttackJob(classifier, images, labels, ids, self.plan, block=len(images), rehearse=rehearse)

    def _settings(self, request: AttackRequest) -> AttackSettings:
        """The searches and values that the request names."""
        checkpoint, paper = self.sample.checkpoint, request.preset == "paper"
        values = make_values(
            "paper" if paper else request.values or "corners",
            input_range=checkpoint.card.input_range,
            value_range=request.value_range,
            stretch=checkpoint.stretch,
            units=self.sample.whole.units,
            bounds=self.sample.whole.bounds,
            device=checkpoint.classifier.device,
        )
        if paper:
            searches = (DifferentialEvolution(form="published"),)
            rule = FlipRule(0.5)
            return AttackSettings(searches, values, request.seed, targeted="in-turn", rule=rule, report="best")
        self._check_complete(values)
        made = (make_search(name) for name in request.searches or DEFAULT_SEARCHES)
        searches = tuple(one.of_run(len(self.sample.ids)) if isinstance(one, Auto) else one for one in made)
        return AttackSettings(
            searches, values, request.seed, budget=request.budget, pixels=request.pixels, targeted=request.targeted
        )

    def _check_complete(self, values: ValueSet) -> None:
        """Refuses a complete search that the budget would cut short, with what it would take."""
        cells, budget = self.images.shape[2] * self.images.shape[3] * values.size, self.request.budget
        if "complete" not in self.request.searches or budget is None or budget >= cells:
            return
        classifier = self.sample.checkpoint.classifier
        evaluator = make_evaluator(classifier, self.images[slice(0, 8)].to(classifier.device))
        seconds = cells / candidates_per_second(evaluator)
        raise InputError(
            f"a complete search tries {cells:,} cells per image and --budget allows {budget:,}; "
            f"omit --budget (about {seconds:.2g} s per image here), or use --search auto"
        )
