"""The attack: searches propose, an evaluator scores, and every flip is proved before it counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from robustkit.engine import Candidates, Evaluator, PlainEvaluator, make_evaluator
from robustkit.errors import InputError
from robustkit.models import AuditedClassifier
from robustkit.perturb.attack_record import AttackRecord, Attempt, attempt_arrays
from robustkit.perturb.attack_settings import AttackSettings, Report, Targeted
from robustkit.perturb.decision import answers, decide
from robustkit.perturb.proof import FlipRule
from robustkit.perturb.pursuit import Block, Cost, Scorer, pursue
from robustkit.perturb.search.base import UNTARGETED, SearchSettings
from robustkit.perturb.values import ValueSet
from robustkit.progress import progress

MakeEvaluator = Callable[[AuditedClassifier, Tensor], Evaluator]

# Candidates in one call of the evaluator: many enough for its speed, few enough for a bar that moves.
_CUT = 16_384


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
    targeted: Targeted = False,
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
        budget: The most queries of an image, for each search and target; `None` for each search's own end.
        pixels: L, how many pixels a candidate overwrites.
        targeted: `False` for any other class; `True` for the wrong classes in turn, until one is reached; `"each"`
            for every wrong class as an attempt of its own.
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
    """An attack that can be watched: attempts come one by one, and a record is made of those there are.

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

    def describe(self) -> str:
        """One line for the terminal: what is about to be done."""
        right = int((self.predicted == self.labels).sum())
        return f"{right} of {len(self.images)} are classified correctly: {self.settings.describe()}"

    def attempts(self, finished: Iterable[Attempt] = (), bar: tqdm[Any] | None = None) -> Iterator[Attempt]:
        """Attacks the correctly classified images.

        Args:
            finished: Attempts made before; where a search has all of its attempts on an image, it makes none.
            bar: A progress bar of several jobs; by default this one shows its own.

        Yields:
            Each attempt as soon as it is finished: one for each correct image and search, and for each wrong class
            where the settings say `"each"`.
        """
        right = (self.predicted == self.labels).nonzero().squeeze(1)
        each = self.settings.attempts(self.classifier.classes) // len(self.settings.searches)
        made = Counter((attempt.image_id, attempt.search) for attempt in finished)
        total = len(right) * len(self.settings.searches) * each
        with progress(total=total, label="attacking", unit="image") if bar is None else nullcontext(bar) as bar:
            # By time alone, because minutes may pass between two images.
            bar.miniters, bar.dynamic_miniters = 0, False
            for part in right.split(self.block):
                names = [self.ids[i] for i in part.tolist()]
                left = {
                    search.name: [row for row, name in enumerate(names) if made[name, search.name] < each]
                    for search in self.settings.searches
                }
                bar.update(sum(len(part) - len(rows) for rows in left.values()) * each)
                if not any(left.values()):
                    continue
                block = self._block(part, bar.update)
                for search in self.settings.searches:
                    cost = self.costs[search.name]
                    for attempt in pursue(block, left[search.name], search, self.settings, cost):
                        bar.set_postfix_str(f"{search.name}, {cost.rate:,.0f} candidates/s", refresh=False)
                        bar.update()
                        yield attempt

    def record(self, attempts: Iterable[Attempt]) -> AttackRecord:
        """The record of attempts, in any order."""
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
            settings=self.settings.to_json(),
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
            scorer=_watched(evaluator, beat),
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
                f"came {images.dtype} of shape {tuple(images.shape)}"
            )
        if len(self.labels) != len(images) or len(self.ids) != len(images):
            raise InputError(
                f"{len(images)} images need a label and an id each, came {len(self.labels)}, {len(self.ids)}"
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
                f"{self.ids[int(broken[0])]}; leave them out or repair them"
            )
        bands = len(self.settings.values.low)
        if bands != images.shape[1]:
            raise InputError(f"the values are for {bands} bands, the images have {images.shape[1]}")


def _watched(evaluator: Evaluator, beat: Callable[[int], Any]) -> Scorer:
    """An evaluator that shows signs of life: large calls are cut, and after each cut the progress bar is told."""

    def score(candidates: Candidates) -> Tensor:
        images = max(1, _CUT // max(1, candidates.row.shape[1]))
        parts = []
        for rows in torch.arange(len(candidates.image), device=candidates.image.device).split(images):
            parts.append(evaluator(candidates.select(rows)))
            beat(0)
        return torch.cat(parts)

    return score
