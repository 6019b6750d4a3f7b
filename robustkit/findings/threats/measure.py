"""A search that chooses a physical fault's own parameters; every flip is proved by the network, alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from robustkit.engine import make_evaluator
from robustkit.errors import InputError
from robustkit.findings.attack.measure import run_attack
from robustkit.findings.attack.record import AttackRequest
from robustkit.findings.threats.record import ThreatRecord
from robustkit.findings.threats.show import write_threat
from robustkit.findings.threats.summary import ThreatResult
from robustkit.perturb.conditions import calibrated, conditions_of
from robustkit.perturb.decision import answers, decide, flips, margin
from robustkit.perturb.fault_scorer import FaultScorer
from robustkit.perturb.faults.space import FaultSpace, Floats
from robustkit.perturb.search.base import UNTARGETED, Problem
from robustkit.perturb.search.faults import FAULT_SEARCHES, start_fault_search
from robustkit.perturb.threats import make_values
from robustkit.records import OUT_OF_MEMORY
from robustkit.runs.measurement import Measurement, Records
from robustkit.runs.running import run_measurement
from robustkit.runs.sample import Sample
from robustkit.seeds import Streams
from robustkit.words import no_such

BUDGET = 2000
# Of a generation, how many that flip in the batch are tried alone; and how many images of a unit have pictures.
_TRIED, _PICTURES = 8, 2


def run_attack_or_threat(model: str | os.PathLike[str] | Sample, request: AttackRequest, **how: Any) -> Any:
    """What `robustkit attack` does: a fault's own parameters with `--threat`, else pixels.

    Args:
        model: The checkpoint, or a sample that is open already.
        request: What to do.
        **how: Where and how; see `robustkit.runs.running.run_measurement`, whose errors it raises.
    """
    return (
        run_attack(model, request, **how) if request.threat is None else run_measurement(Threat, model, request, **how)
    )


_INSTEAD = "attack with --values instead of --threat, which needs no units"


class Threat(Measurement):
    """A fault that a search places, on the images of a sample."""

    command, doing = "attack-threat", "placing faults"
    request_type = AttackRequest

    def __init__(self, sample: Sample, request: AttackRequest) -> None:
        super().__init__(sample, request)
        assert request.threat is not None
        self.kinds = {"threat": ThreatRecord}
        self.searches = tuple(request.searches) or ("de-best1bin", "random")
        for name in self.searches:
            if name not in FAULT_SEARCHES:
                raise InputError(no_such("search of a fault", name, FAULT_SEARCHES))
        self.budget = BUDGET if request.budget is None else request.budget
        if self.budget < 1:
            raise InputError(f"--budget must be at least 1, got {self.budget}")
        self.conditions, stretch = conditions_of(sample.whole, _INSTEAD), sample.checkpoint.stretch
        if stretch is None or (sample.whole.stretch is not None and not sample.whole.stretch.invertible):
            raise InputError("a fault happens before the stretch, which is not known or cannot be inverted")
        size = (sample.inputs.shape[2], sample.inputs.shape[3])
        self.space = FaultSpace(request.threat, self.conditions, size, stretch)
        self.names, _ = self.space.values(np.full((1, len(self.space)), 0.5))
        if "complete" in self.searches:
            start_fault_search("complete", self.space, self._problem(sample.inputs[:1], 0, "rehearsal"), 1)
        self.inputs["settings"] = {
            "threat": request.threat, "ranges": [vars(one) for one in self.space.ranges], "draws": self.space.draws,
            "searches": list(self.searches), "budget": self.budget, "footprints": request.footprints,
            "seed": request.seed, "source_sha256": self.space.named.source_sha256(),
            "conditions": self.conditions.to_json(),
        }  # fmt: skip

    def measure(self, part: slice, bar: tqdm[Any] | None) -> Records:
        """Searches on some of the images."""
        classifier, ids = self.sample.checkpoint.classifier, self.sample.ids[part]
        whole = calibrated(self.sample.whole.select(self.sample.rows[part]))
        stored = torch.from_numpy(np.array(whole.images, np.float32))
        inputs, labels = self.sample.inputs[part], self.sample.labels[part]
        clean = decide(answers(classifier, inputs)).cpu()
        rows: list[dict[str, Any]] = []
        pictures: list[tuple[int, np.ndarray, np.ndarray]] = []
        for i in (clean == labels).nonzero().squeeze(1).tolist():
            scorer = FaultScorer(
                classifier, make_evaluator(classifier, inputs[i : i + 1].to(classifier.device)), self.space,
                stored[i : i + 1].to(classifier.device),
            )  # fmt: skip
            tried = [
                self._search(name, scorer, inputs[i : i + 1], int(labels[i]), str(ids[i])) for name in self.searches
            ]
            rows += [{**one, "image": i, "search": s} for s, one in enumerate(tried)]
            best = max(tried, key=lambda attempt: (attempt["flipped"], attempt["margin"]))
            if best["flipped"] and len(pictures) < _PICTURES:
                pictures.append((i, scorer.seen[0].cpu().numpy(), scorer.alone(best["point"])[0].cpu().numpy()))
            if bar is not None:
                bar.update(1)
        if bar is not None:
            bar.update(int((clean != labels).sum()))
        return {"threat": self._record(part, clean.numpy(), rows, pictures)}

    def unknown(self, part: slice) -> Records:
        """The record of images that do not fit into memory."""
        return {"threat": self._record(part, np.full(part.stop - part.start, OUT_OF_MEMORY), [], [])}

    def describe(self, say: Callable[[str], None]) -> None:
        """Says what is about to be searched."""
        sample, space = self.sample, self.space
        say(f"{len(sample)} of {sample.available} images, part {sample.part} of {sample.path}")
        for note in sample.whole.notes:
            say(note)
        ends = [
            f"{one.name} {one.low:g}" if one.low == one.high else f"{one.name} {one.low:g} to {one.high:g}"
            for one in space.ranges
        ]
        say(f"{space.named.kind.name}: {', '.join(ends)} (level in {space.named.kind.unit}); "
            f"it draws {', '.join(space.draws) or 'nothing'}")  # fmt: skip

    def result(self, records: Records, folder: Path | None) -> ThreatResult:
        """What was found, with its numbers."""
        return ThreatResult(records["threat"], self.sample, folder)

    def write(self, folder: Path, result: ThreatResult, about: dict[str, Any]) -> list[str]:
        """Writes record, table, pictures and summary."""
        del about["notes"]
        return write_threat(folder, result.record, {**about, "settings": self.inputs["settings"]})

    def _problem(self, image: torch.Tensor, label: int, image_id: str, search: str = "") -> Problem:
        """One image, as the searches see it."""
        request, one = self.request, torch.tensor([label])
        card = self.sample.checkpoint.card
        # Never asked: the points of a fault are no values of a pixel.
        values = make_values("corners", input_range=card.input_range)
        streams = Streams(request.seed, [image_id], f"threat {search}")
        nothing = torch.zeros(1, len(card.class_names))
        return Problem(image, nothing, one, torch.full_like(one, UNTARGETED), values, streams, budget=self.budget)

    def _search(self, name: str, scorer: FaultScorer, image: torch.Tensor, label: int, image_id: str) -> dict[str, Any]:
        """One attempt: a complete pass looks at all places, the others stop at the first proved flip."""
        problem = self._problem(image, label, image_id, name)
        search = start_fault_search(name, self.space, problem, self.request.footprints)
        queries = reached = unproved = 0
        best: dict[str, Any] = {"flipped": False, "new_class": -1, "margin": -np.inf, "point": None}
        while name == "complete" or queries < self.budget:
            points = search.propose()
            if points is None:
                break
            if name != "complete":
                points = points[: self.budget - queries]
            logits = scorer(points)
            found = margin(logits[None], problem.labels, problem.targets)[0].double().numpy()
            flipped = flips(logits[None], problem.labels, problem.targets)[0].numpy()
            queries, reached = queries + len(points), reached + int(flipped.sum())
            top = int(found.argmax())
            if not best["flipped"] and found[top] > best["margin"]:
                best |= {"margin": float(found[top]), "point": points[top]}
            tried = np.flatnonzero(flipped)
            for at in tried[np.argsort(-found[tried], kind="stable")][:_TRIED]:
                if best["flipped"] and found[at] <= best["margin"]:
                    break
                _, alone = scorer.alone(points[at])
                if not bool(flips(alone[None, None], problem.labels, problem.targets)):
                    unproved += 1
                    continue
                own = float(margin(alone[None, None], problem.labels, problem.targets))
                best |= {"flipped": True, "margin": own, "point": points[at], "new_class": int(decide(alone))}
                break
            if best["flipped"] and name != "complete":
                break
            if queries < self.budget:  # the last generation may have been cut
                search.tell(logits)
        return {**best, "queries": queries, "reached": reached, "unproved": unproved}

    def _record(
        self, part: slice, clean: np.ndarray, rows: list[dict[str, Any]],
        pictures: list[tuple[int, np.ndarray, np.ndarray]],
    ) -> ThreatRecord:  # fmt: skip
        def column(name: str, dtype: type) -> np.ndarray:
            return np.array([row[name] for row in rows], dtype)

        points: list[Floats] = [np.full(len(self.space), np.nan) if r["point"] is None else r["point"] for r in rows]
        nothing = np.empty((0, *self.sample.inputs.shape[1:]), np.float32)
        return ThreatRecord(
            ids=np.asarray(self.sample.ids[part], dtype=str), true=self.sample.labels[part].numpy(), clean_class=clean,
            image=column("image", np.int64), search=column("search", np.int64), flipped=column("flipped", np.bool_),
            queries=column("queries", np.int64), reached=column("reached", np.int64),
            unproved=column("unproved", np.int64), new_class=column("new_class", np.int64),
            margin=column("margin", np.float64),
            values=self.space.values(np.array(points).reshape(-1, len(self.space)))[1],
            shown=np.array([i for i, _, _ in pictures], np.int64),
            before=np.stack([one for _, one, _ in pictures]) if pictures else nothing,
            after=np.stack([one for _, _, one in pictures]) if pictures else nothing.copy(),
            names=self.names, searches=list(self.searches), bands=list(self.sample.checkpoint.card.bands),
            class_names=list(self.sample.checkpoint.card.class_names), settings=self.inputs["settings"],
        )  # fmt: skip
