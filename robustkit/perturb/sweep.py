"""Perturbations over a set of images: what a classifier says at each level, and how far its latents move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustkit.data import Stretch
from robustkit.errors import InputError
from robustkit.models import AuditedClassifier
from robustkit.perturb.conditions import Conditions
from robustkit.perturb.perturbation import Perturbation, Stage
from robustkit.progress import progress
from robustkit.records import Record
from robustkit.seeds import Streams


@dataclass(frozen=True, eq=False)
class SweepRecord(Record):
    """What was found. N images, S steps (a perturbation at a level), K classes.

    Attributes:
        ids: The images, shape (N,), str.
        true: True classes, shape (N,).
        clean_class: Of the images as they are, shape (N,); -1 where the logits are not finite.
        clean_margin: Logit of the true class less the highest other one, shape (N,).
        name: The perturbation of each step, shape (S,), str.
        level: Its level, shape (S,), float64.
        strength: Its strength, shape (S,): 0 where nothing happens, growing with severity.
        new_class: Shape (S, N); -1 where the logits are not finite.
        margin: Shape (S, N).
        distance: How far the latent moved, Euclidean, shape (S, N); nan for a black box.
        outside: Stored values that left the declared bounds in each step, shape (S,); they are counted, not clipped.
        class_names: The K classes.
        settings: What made the record, JSON values.
    """

    ids: np.ndarray
    true: np.ndarray
    clean_class: np.ndarray
    clean_margin: np.ndarray
    name: np.ndarray
    level: np.ndarray
    strength: np.ndarray
    new_class: np.ndarray
    margin: np.ndarray
    distance: np.ndarray
    outside: np.ndarray
    class_names: list[str]
    settings: dict[str, Any]

    def steps(self, name: str) -> np.ndarray:
        """The steps of one perturbation from mild to severe."""
        chosen = np.flatnonzero(self.name == name)
        return chosen[np.argsort(self.strength[chosen], kind="stable")]


def sweep(
    classifier: AuditedClassifier,
    images: np.ndarray,
    labels: np.ndarray,
    ids: Sequence[str] | np.ndarray,
    perturbations: Sequence[Perturbation],
    *,
    stretch: Stretch | None,
    conditions: Conditions | None = None,
    bounds: tuple[float, float] | None = None,
    seed: int = 0,
    block: int = 64,
) -> SweepRecord:
    """Perturbs all images by each perturbation; the levels of one share their random numbers: curves are smooth.

    Args:
        classifier: The network.
        images: Stored values, or network input where `stretch` is `None`, shape (N, C, H, W); may be memory-mapped.
        labels: True classes, shape (N,).
        ids: Their ids, shape (N,).
        perturbations: At least one, each at one level.
        stretch: In front of the network; without one only perturbations of network input can be made.
        conditions: How the images were taken, for perturbations in physical units.
        bounds: Lowest and highest stored value that a pixel can take.
        seed: Of the random streams.
        block: Images at once; beside them only a few numbers an image are kept.

    Raises:
        InputError: If something given does not fit together.
    """
    _check(images, labels, ids, perturbations, stretch, conditions)
    count, steps = len(images), len(perturbations)
    clean_class, clean_margin = np.empty(count, np.int64), np.empty(count)
    new_class = np.empty((steps, count), np.int64)
    margin, distance, outside = np.empty((steps, count)), np.empty((steps, count)), np.zeros(steps, np.int64)
    with torch.inference_mode(), progress(total=count * steps, label="sweeping", unit="images") as bar:
        for start in range(0, count, block):
            part = slice(start, min(start + block, count))
            stored = torch.from_numpy(np.array(images[part], dtype=np.float32)).to(classifier.device)
            true = torch.as_tensor(labels[part], device=stored.device).long()
            seen = stored if stretch is None else stretch(stored)
            latents, clean_class[part], clean_margin[part] = _look(classifier, seen, true)
            for s, perturbation in enumerate(perturbations):
                streams = Streams(seed, ids[part], f"perturb {perturbation.name}")
                before = seen if perturbation.stage == Stage.STRETCHED else stored
                after = perturbation(before, conditions=conditions, streams=streams)
                if perturbation.stage != Stage.STRETCHED:
                    if bounds is not None:
                        outside[s] += int(((after < bounds[0]) | (after > bounds[1])).sum())
                    assert stretch is not None
                    after = stretch(after)
                moved, new_class[s, part], margin[s, part] = _look(classifier, after, true)
                distance[s, part] = (moved - latents).norm(dim=1).cpu().numpy()
                bar.update(len(stored))
    return SweepRecord(
        ids=np.asarray(ids, dtype=str),
        true=np.asarray(labels, dtype=np.int64),
        clean_class=clean_class,
        clean_margin=clean_margin,
        name=np.array([p.name for p in perturbations]),
        level=np.array([p.level for p in perturbations], dtype=np.float64),
        strength=np.array([p.strength() for p in perturbations], dtype=np.float64),
        new_class=new_class,
        margin=margin,
        distance=distance,
        outside=outside,
        class_names=list(classifier.class_names),
        settings={
            "seed": seed,
            "perturbations": [p.to_json() for p in perturbations],
            "conditions": None if conditions is None else conditions.to_json(),
            "bounds": None if bounds is None else list(bounds),
            "expected_per_image": _rates(perturbations, conditions, (images.shape[2], images.shape[3])),
        },
    )


def _look(classifier: AuditedClassifier, seen: Tensor, true: Tensor) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Latents, classes (-1 where a logit is not finite) and margins."""
    if classifier.latent_name is None:  # a black box
        logits = classifier(seen)
        latents = logits.new_full((len(logits), 1), torch.nan)
    else:
        latents = classifier.embed(seen)
        logits = classifier.head(latents)
    right = logits.gather(1, true[:, None])[:, 0]
    others = logits.scatter(1, true[:, None], -torch.inf).amax(1)
    predicted = torch.where(logits.isfinite().all(1), logits.argmax(1), -1)
    return latents, predicted.cpu().numpy(), (right - others).double().cpu().numpy()


def _check(
    images: np.ndarray,
    labels: np.ndarray,
    ids: Sequence[str] | np.ndarray,
    perturbations: Sequence[Perturbation],
    stretch: Stretch | None,
    conditions: Conditions | None,
) -> None:
    if not perturbations:
        raise InputError("expected at least one perturbation, came none")
    pairs = {(perturbation.name, perturbation.level) for perturbation in perturbations}
    if len(pairs) < len(perturbations):
        raise InputError("a perturbation is there twice at the same level; give each once")
    if not len(images) == len(labels) == len(ids):
        raise InputError(f"{len(images)} images need as many labels and ids, came {len(labels)} and {len(ids)}")
    for perturbation in perturbations:
        if stretch is None and perturbation.stage != Stage.STRETCHED:
            raise InputError(
                f"{perturbation.name} happens before the stretch, and these images are network input; give the "
                "calibrated images, or use gaussian, poisson or jpeg"
            )
        if perturbation.physical and conditions is None:
            raise InputError(
                f"{perturbation.name} needs the conditions of the images; see robustkit.perturb.conditions"
            )


def _rates(
    perturbations: Sequence[Perturbation], conditions: Conditions | None, size: tuple[int, int]
) -> dict[str, float]:
    if conditions is None:
        return {}
    found = {p.name: p.expected_per_image(conditions, size) for p in perturbations}
    return {name: rate for name, rate in found.items() if rate is not None}
