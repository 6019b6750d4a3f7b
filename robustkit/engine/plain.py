"""The plain evaluator: every candidate is painted and sent through the whole network, as fast as that goes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, fx, nn

from robustkit.engine.batching import Batches
from robustkit.engine.candidates import Candidates
from robustkit.engine.forward import Forward, batch_size
from robustkit.engine.graph import Untraceable, trace
from robustkit.models import AuditedClassifier
from robustkit.models.fronts.base import flagged, without_class


class PlainEvaluator:
    """Scores candidates by full forward passes in large batches.

    Args:
        classifier: The classifier; its network is copied before anything in it is folded.
        images: Clean network input, shape (N, C, H, W), on the classifier's device.
        batch: Candidates in one forward pass to begin with; it halves when memory runs out. By default what suits
            the size of the network's activations.

    Attributes:
        name: `plain`.
        graph: The traced network that runs, or None where the network does not trace.
        why_not_traced: Why it does not; empty if it does.
        note: Why this evaluator was taken, where a faster one was wanted; for the summary.
        tolerance: 0: other evaluators are compared with this one.
    """

    name = "plain"
    tolerance = 0.0

    def __init__(
        self,
        classifier: AuditedClassifier,
        images: Tensor,
        *,
        batch: int | None = None,
    ) -> None:
        self.classifier = classifier
        self.images = images
        self.why_not_traced = ""
        self.note = ""
        self.graph: fx.GraphModule | None = None
        module: nn.Module = classifier.module
        self.output = classifier.output
        try:
            example = images.new_zeros(1, *classifier.input_shape) if len(images) == 0 else images[:1]
            self.graph = trace(classifier.module, example, part=classifier.output.part)
            module, self.output = self.graph, replace(classifier.output, part=None)
        except Untraceable as reason:
            self.why_not_traced = str(reason)
        self.forward = Forward(module)
        self.batches = Batches(batch or batch_size(module, images.device))
        self.memory_format = torch.contiguous_format if self.graph is None else torch.channels_last

    @property
    def why_not_faster(self) -> str:
        """Why every candidate goes through the whole network; empty where nothing else was asked for."""
        return self.note or self.why_not_traced

    @property
    def reason(self) -> str:
        """How the network runs and why, for a summary."""
        folded = self.why_not_traced or "batch norm folded, channels last"
        parts = [self.note, folded, f"{self.forward.way} ({self.forward.reason})", f"batches of {self.batches.size}"]
        return "; ".join(part for part in parts if part)

    @torch.inference_mode()
    def clean(self) -> Tensor:
        """Logits of the clean images, shape (N, K)."""
        return self.batches.run(lambda start, stop: self._logits(self.images[start:stop]), len(self.images))

    @torch.inference_mode()
    def __call__(self, candidates: Candidates) -> Tensor:
        """Logits of candidates, shape (M, P, K).

        Raises:
            InputError: If a pixel lies outside the images.
        """
        m, p = candidates.row.shape[:2]
        if len(candidates) == 0:
            return self.images.new_zeros(m, p, self.classifier.classes)
        candidates.check_places(self.images)
        # The rows go in blocks that fit a batch, and a block's candidates side by side: a batch holds each image of
        # the block some times over, so that the same clean images serve for all batches of the block.
        blocks = torch.arange(m, device=self.images.device).split(self.batches.size)
        return torch.cat([self._block(candidates.select(rows)) for rows in blocks])

    def _block(self, candidates: Candidates) -> Tensor:
        m, p = candidates.row.shape[:2]
        row, column, value = (
            part.transpose(0, 1).flatten(0, 1) for part in (candidates.row, candidates.column, candidates.value)
        )
        held: tuple[int, Tensor, Tensor] | None = None  # where in the block a batch begins, its images and their ids

        def forward(start: int, stop: int) -> Tensor:
            nonlocal held
            if held is None or held[0] != start % m or len(held[1]) < stop - start:
                ids = candidates.image[torch.arange(start, stop, device=row.device) % m]
                batch = self.images[ids].contiguous(memory_format=self.memory_format)
            else:
                _, batch, ids = held
            held = None  # until the pixels are clean again, also where memory runs out
            n, part = stop - start, slice(start, stop)
            at = torch.arange(n, device=row.device)
            for pixel in range(row.shape[1]):  # one after the other, so that the last of coinciding pixels holds
                batch[at, :, row[part, pixel], column[part, pixel]] = value[part, pixel]
            logits = self._logits(batch[:n])
            for pixel in range(row.shape[1]):
                places = row[part, pixel], column[part, pixel]
                batch[at, :, places[0], places[1]] = self.images[ids[:n], :, places[0], places[1]]
            held = (start % m, batch, ids)
            return logits

        batches = Batches(self.batches.size // m * m)
        begun = batches.size
        logits = batches.run(forward, m * p)
        if batches.size < begun:
            self.batches.size = batches.size
        return logits.unflatten(0, (p, m)).transpose(0, 1)

    def _logits(self, images: Tensor) -> Tensor:
        flags = flagged(self.classifier.module, images)
        return without_class(
            self.output.logits(self.forward(images.contiguous(memory_format=self.memory_format))), flags
        )
