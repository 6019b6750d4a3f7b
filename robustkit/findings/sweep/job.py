"""Perturbations over a set of images: what a classifier says at each level, and how far its latents move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from robustkit.data import Stretch
from robustkit.data.pixels import picked
from robustkit.errors import InputError
from robustkit.findings.sweep.record import DRAWS, SweepRecord
from robustkit.models import AuditedClassifier
from robustkit.models.ensemble import disagreement
from robustkit.models.fronts.splitting import flagging
from robustkit.perturb.boundary import boundary_distance
from robustkit.perturb.conditions import Conditions
from robustkit.perturb.decision import decide, settled
from robustkit.perturb.faults.plain_noise import GaussianNoise
from robustkit.perturb.perturbation import Perturbation, Stage
from robustkit.perturb.search.ranking import has_gradients
from robustkit.progress import progress
from robustkit.records import OUT_OF_MEMORY
from robustkit.seeds import Streams

BLOCK = 64  # images at once


class Images(Protocol):
    """Images that may stay on disk: an array, or anything that gives a slice of them as one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> np.ndarray: ...


class Rows:
    """Some images of a set, before its stretch if it has one, read when they are asked for.

    Args:
        images: Shape (M, C, H, W); may be memory-mapped.
        rows: Positions of the n images, shape (n,).
        undo: The stretch to undo.

    Raises:
        InputError: If the stretch cannot be undone.
    """

    def __init__(self, images: np.ndarray, rows: np.ndarray, undo: Stretch | None = None) -> None:
        self.images, self.rows, self.undo = images, rows, undo
        if undo is not None and not undo.invertible:
            undo.inverse(images[:1])  # says why

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, C, H, W)."""
        return (len(self.rows), *self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice, /) -> np.ndarray:
        values = picked(self.images, self.rows[part])
        return values if self.undo is None else np.asarray(self.undo.inverse(values), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class SweepJob:
    """A sweep over some images; the levels of a perturbation share their random numbers.

    Attributes:
        classifier: The network.
        images: Stored values, or network input where `stretch` is `None`, shape (N, C, H, W).
        labels: True classes, shape (N,).
        ids: Their ids, shape (N,).
        perturbations: At least one, each at one level.
        stretch: In front of the network; without one only perturbations of network input can be made.
        conditions: How the images were taken, for perturbations in physical units.
        bounds: Lowest and highest stored value that a pixel can take.
        seed: Of the random streams.
        draws: How often a perturbation with random numbers is drawn for each image; the answers are averaged. The
            numbers depend on the seed and the image alone, so every model meets the same ones.
        nearest: Whether the nearest boundary is looked for where a perturbation is white noise.
        block: Images at once; beside them only a few numbers per image are kept.

    Raises:
        InputError: If something given does not fit together.
    """

    classifier: AuditedClassifier
    images: Images
    labels: np.ndarray
    ids: Sequence[str] | np.ndarray
    perturbations: Sequence[Perturbation]
    stretch: Stretch | None
    conditions: Conditions | None = None
    bounds: tuple[float, float] | None = None
    seed: int = 0
    draws: int = DRAWS
    nearest: bool = True
    block: int = BLOCK

    def __post_init__(self) -> None:
        _check(self.images, self.labels, self.ids, self.perturbations, self.stretch, self.conditions, self.draws)

    def sweep(self, part: slice, bar: tqdm[Any] | None = None) -> SweepRecord:
        """Sweeps some of the images at once, and moves a bar that counts each of them at each step."""
        with torch.inference_mode():
            values = np.array(self.images[part], dtype=np.float32)
            if not np.isfinite(values).all():
                raise InputError("some images hold values that are not finite; open them with --nan fill or omit them")
            stored = torch.from_numpy(values).to(self.classifier.device)
            true = torch.as_tensor(self.labels[part], device=stored.device).long()
            seen = stored if self.stretch is None else self.stretch(stored)
            latents, clean_class, clean_margin = _look(self.classifier, seen, true)
            boundary = np.full(len(stored), np.nan)
            noise = self.nearest and any(isinstance(perturbation, GaussianNoise) for perturbation in self.perturbations)
            if noise and has_gradients(self.classifier):  # neither a black box nor an ONNX graph has any
                boundary = boundary_distance(self.classifier, seen, true)
            found = []
            for perturbation in self.perturbations:
                found.append(self._step(perturbation, stored, seen, latents, true, self.ids[part]))
                if bar is not None:
                    bar.update(len(stored))
        new_class, right, margin, distance, draws, outside, apart = map(np.stack, zip(*found, strict=True))
        return self._record(
            part, clean_class=clean_class, clean_margin=clean_margin, boundary=boundary, new_class=new_class,
            right=right, margin=margin, distance=distance, draws=draws, outside=outside,
            disagreement=np.vstack([disagreement(self.classifier, seen)[None], apart]),
        )  # fmt: skip

    @torch.inference_mode()
    def faulty(self, part: slice) -> Iterator[Tensor]:
        """Some of the images after each perturbation, the first draw of it, as network input (B, C, H, W)."""
        stored = torch.from_numpy(np.array(self.images[part], dtype=np.float32)).to(self.classifier.device)
        for perturbation in self.perturbations:
            streams = Streams(self.seed, self.ids[part], f"perturb {perturbation.name}")
            yield self._after(perturbation, stored, streams)

    def unknown(self, part: slice) -> SweepRecord:
        """The record of images that do not fit into memory."""
        n, wide = part.stop - part.start, (len(self.perturbations), part.stop - part.start)
        nothing, unseen = np.full(n, np.nan), np.full(wide, np.nan)
        none = np.zeros(len(self.perturbations), dtype=np.int64)
        return self._record(
            part, clean_class=np.full(n, OUT_OF_MEMORY), clean_margin=nothing, boundary=nothing,
            new_class=np.full(wide, OUT_OF_MEMORY), right=np.zeros(wide), margin=unseen, distance=unseen,
            draws=none, outside=none, disagreement=np.full((1 + wide[0], n), np.nan),
        )  # fmt: skip

    def _step(
        self, perturbation: Perturbation, stored: Tensor, seen: Tensor, latents: Tensor, true: Tensor, ids: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, int, np.ndarray]:
        """What a block keeps of a step, over as many draws of its random numbers as are asked for."""
        purpose = f"perturb {perturbation.name}"
        streams = Streams(self.seed, ids, purpose)
        looks = [self._draw(perturbation, stored, seen, latents, true, streams)]
        if self.draws > 1 and streams.used_since(Streams(self.seed, ids, purpose)):
            for draw in range(1, self.draws):
                streams = Streams(self.seed, ids, f"{purpose} {draw}")
                looks.append(self._draw(perturbation, stored, seen, latents, true, streams))
        drawn, margins, distances, outside, apart = zip(*looks, strict=True)
        classes = np.stack(drawn)  # (R, B)
        right, worst = (classes == true.cpu().numpy()).mean(0), classes.min(0)
        new_class = np.where(worst < 0, worst, classes[0])
        return new_class, right, np.mean(margins, 0), np.mean(distances, 0), len(looks), outside[0], np.mean(apart, 0)

    def _draw(
        self, perturbation: Perturbation, stored: Tensor, seen: Tensor, latents: Tensor, true: Tensor, streams: Streams
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, np.ndarray]:
        """New classes, margins, distances of the latents, how many values are out of bounds, and disagreement."""
        before, outside = (seen if perturbation.stage == Stage.STRETCHED else stored), 0
        after = perturbation(before, conditions=self.conditions, streams=streams)
        if perturbation.stage != Stage.STRETCHED:
            outside = self._outside(after)
            assert self.stretch is not None
            after = self.stretch(after)
        elif self.stretch is not None and self.stretch.invertible:
            outside = self._outside(self.stretch.inverse(after))
        moved, new_class, margin = _look(self.classifier, after, true)
        distance = (moved - latents).norm(dim=1).cpu().double().numpy()
        return new_class, margin, distance, outside, disagreement(self.classifier, after)

    def _after(self, perturbation: Perturbation, stored: Tensor, streams: Streams) -> Tensor:
        """Network input of stored values after a perturbation."""
        stretch = self.stretch or (lambda values: values)
        if perturbation.stage == Stage.STRETCHED:
            return perturbation(stretch(stored), conditions=self.conditions, streams=streams)
        return stretch(perturbation(stored, conditions=self.conditions, streams=streams))

    def _outside(self, stored: Tensor) -> int:
        """How many stored values no pixel can take, beyond rounding."""
        if self.bounds is None:
            return 0
        low, high = self.bounds
        hair = 1e-5 * (high - low)
        return int(((stored < low - hair) | (stored > high + hair)).sum())

    def _record(self, part: slice, **found: np.ndarray) -> SweepRecord:
        """The record of some of the images."""
        steps = self.perturbations
        return SweepRecord(
            ids=np.asarray(self.ids[part], dtype=str),
            true=np.asarray(self.labels[part], dtype=np.int64),
            name=np.array([p.label for p in steps]),
            level=np.array([p.level for p in steps], dtype=np.float64),
            strength=np.array([p.strength() for p in steps], dtype=np.float64),
            class_names=list(self.classifier.class_names),
            settings={
                "seed": self.seed,
                "draws": self.draws,
                "perturbations": [p.to_json() for p in steps],
                "conditions": None if self.conditions is None else self.conditions.to_json(),
                "bounds": None if self.bounds is None else list(self.bounds),
                "expected_per_image": _rates(steps, self.conditions, (self.images.shape[2], self.images.shape[3])),
            }
            | flagging(self.classifier),
            **found,
        )


def sweep(
    classifier: AuditedClassifier,
    images: Images,
    labels: np.ndarray,
    ids: Sequence[str] | np.ndarray,
    perturbations: Sequence[Perturbation],
    *,
    stretch: Stretch | None,
    **options: Any,
) -> SweepRecord:
    """Perturbs all images by each perturbation; errors are those of `SweepJob`.

    Args:
        classifier: The network.
        images: Stored values, read block by block, shape (N, C, H, W).
        labels: True classes, shape (N,).
        ids: Of the images, shape (N,).
        perturbations: What is done to them, each at one level.
        stretch: From stored values to network input; `None` where they are that already.
        **options: Further fields of `SweepJob`.
    """
    job = SweepJob(classifier, images, labels, ids, perturbations, stretch, **options)
    count = len(images)
    with progress(total=count * len(perturbations), label="sweeping", unit="images") as bar:
        starts = range(0, count, job.block)
        return SweepRecord.join([job.sweep(slice(start, min(start + job.block, count)), bar) for start in starts])


def _look(classifier: AuditedClassifier, seen: Tensor, true: Tensor) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Latents, classes (`NOT_FINITE` where a logit is not) and margins."""
    latents, logits = classifier.embed_and_answer(seen)
    if latents is None:  # a black box, or a network that goes around its latent for these images
        latents = logits.new_full((len(logits), 1), torch.nan)
    logits = settled(classifier, seen, logits)
    right = logits.gather(1, true[:, None])[:, 0]
    others = logits.scatter(1, true[:, None], -torch.inf).amax(1)
    return latents, decide(logits).cpu().numpy(), (right - others).cpu().double().numpy()


def _check(
    images: Images,
    labels: np.ndarray,
    ids: Sequence[str] | np.ndarray,
    perturbations: Sequence[Perturbation],
    stretch: Stretch | None,
    conditions: Conditions | None,
    draws: int,
) -> None:
    if draws < 1:
        raise InputError(f"--draws must be at least 1, got {draws}")
    if not perturbations:
        raise InputError("expected at least one perturbation, got none")
    pairs = {(perturbation.label, perturbation.level) for perturbation in perturbations}
    if len(pairs) < len(perturbations):
        raise InputError("a perturbation is given twice at the same level; give each once")
    if not len(images) == len(labels) == len(ids):
        raise InputError(f"{len(images)} images need as many labels and ids, got {len(labels)} and {len(ids)}")
    for perturbation in perturbations:
        if stretch is None and perturbation.stage != Stage.STRETCHED:
            raise InputError(
                f"{perturbation.name} happens before the stretch, and these images are network input; give the "
                "calibrated images, or use gaussian, poisson or jpeg, which happen after it"
            )
        if images.shape[1] < perturbation.least_bands:
            raise InputError(f"{perturbation.name} needs images of {perturbation.least_bands} or more bands; omit it")
        if perturbation.physical and conditions is None:
            raise InputError(
                f"{perturbation.name} needs the conditions of the images; see robustkit.perturb.conditions"
            )


def _rates(
    perturbations: Sequence[Perturbation], conditions: Conditions | None, size: tuple[int, int]
) -> dict[str, float]:
    if conditions is None:
        return {}
    found = {p.label: p.expected_per_image(conditions, size) for p in perturbations}
    return {name: rate for name, rate in found.items() if rate is not None}
