"""A model and the images that it is looked at with, opened once and handed on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustkit.data import ImageSet, Stretch
from robustkit.data.pixels import picked
from robustkit.models import AuditedClassifier, Checkpoint, ModelOptions
from robustkit.models.checkpoint import versions
from robustkit.models.decision import Within


@dataclass(frozen=True, eq=False)
class Sample:
    """A model and images drawn for it; the images are read when they are asked for.

    Attributes:
        checkpoint: The model.
        model: Its file, or what it is called where it has none.
        path: Where the image set is.
        part: The part of the split that the images were drawn from, or `all`.
        available: How many objects that part has; one image of each can be drawn.
        repeats: How many further images of these objects there are, which would not be independent.
        whole: The whole image set; its images may be memory-mapped.
        rows: Positions of the images drawn, shape (N,).
        said: What was said when model and images were opened.
        warnings: What the preflight warned of, one sentence each.
    """

    checkpoint: Checkpoint
    model: Path
    path: Path
    part: str
    available: int
    repeats: int
    whole: ImageSet
    rows: np.ndarray
    said: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property  # asked for by every unit of a run
    def ids(self) -> np.ndarray:
        """Ids of the images drawn, shape (N,), str."""
        return np.asarray(self.whole.ids[self.rows], dtype=str)

    @cached_property
    def labels(self) -> Tensor:
        """True classes of the images drawn, shape (N,), int64."""
        assert self.whole.labels is not None
        return torch.from_numpy(self.whole.labels[self.rows].astype(np.int64))

    def values_of(self, part: slice) -> Iterator[tuple[float, slice]]:
        """Runs of images with the number that each is asked about; all of them together for classes.

        Args:
            part: Which of the images drawn.
        """
        if self.whole.values is None:
            yield 0.0, part
            return
        for i in range(*part.indices(len(self))):
            yield float(self.whole.values[self.rows[i]]), slice(i, i + 1)

    def asked(self, part: slice) -> Iterator[tuple[AuditedClassifier, slice]]:
        """The classifier as it is asked about each run of images."""
        for value, one in self.values_of(part):
            yield self.checkpoint.classifier.about(value), one

    @cached_property
    def constant(self) -> tuple[float, np.ndarray] | None:
        """The best constant answer of a regression, and for which images it is right, shape (N,); `None` for classes.

        It is chosen with the true values of these images, which favours it slightly.
        """
        decision = self.checkpoint.classifier.output.decision
        if self.whole.values is None or not isinstance(decision, Within):
            return None
        values = self.whole.values[self.rows]
        from robustkit.stats.majority import best_constant  # here, because SciPy takes long to load

        half = decision.half_width(values)
        return best_constant(values - half, values + half)

    @cached_property
    def image_set(self) -> ImageSet:
        """The images drawn, as the image set has them."""
        return self.whole.select(self.rows)

    @cached_property
    def images(self) -> Tensor:
        """Network input of all images drawn, shape (N, C, H, W), float32, on the CPU."""
        return as_input(self.checkpoint.stretch, self.image_set, self.image_set.images)

    @property
    def inputs(self) -> Inputs:
        """The same, read slice by slice."""
        return Inputs(self)

    def first(self, n: int) -> Sample:
        """The first images drawn."""
        return replace(self, rows=self.rows[:n])

    @property
    def data_sha256(self) -> dict[str, str]:
        """SHA-256 of each file of the image set, by name."""
        return self.whole.provenance

    def about(self) -> dict[str, Any]:
        """What a run is about, as JSON values: hashes under `inputs`, names and versions beside them."""
        origin = self.checkpoint.origin
        said = ModelOptions.from_json(origin.options).without_paths  # a worker finds the same code under another path
        known = origin.own and not origin.options
        foreign = {} if known else {"model_options": said, "code_sha256": origin.code_sha256}
        return {
            "inputs": {
                "model_sha256": origin.sha256,
                **foreign,
                "data_sha256": self.data_sha256,
                "split_sha256": self.checkpoint.card.data.get("split_sha256"),
                "part": self.part,
                "n": len(self),
            },
            "model": str(self.model),
            "model_notes": list(origin.notes),
            "warnings": list(self.warnings),
            "data": str(self.path),
            "versions": versions(),
            "device": str(self.checkpoint.classifier.device),
        }


class Inputs:
    """Network input of the images of a sample, read when it is asked for.

    Args:
        sample: The sample.
    """

    def __init__(self, sample: Sample) -> None:
        self.sample = sample

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return (len(self.sample), *self.sample.whole.images.shape[1:])

    def __len__(self) -> int:
        return len(self.sample)

    def __getitem__(self, part: slice, /) -> Tensor:
        """Network input, shape (M, C, H, W), float32, on the CPU."""
        if "images" in self.sample.__dict__:  # read already
            return self.sample.images[part]
        values = picked(self.sample.whole.images, self.sample.rows[part])
        return as_input(self.sample.checkpoint.stretch, self.sample.whole, values)


def as_input(stretch: Stretch, image_set: ImageSet, images: np.ndarray) -> Tensor:
    """Images of a set as network input, shape (M, C, H, W), float32, on the CPU; stretched unless the set is."""
    stretched = images if image_set.stretch is not None else stretch(images)
    return torch.from_numpy(np.ascontiguousarray(stretched, dtype=np.float32))
