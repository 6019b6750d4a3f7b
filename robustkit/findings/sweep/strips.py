"""One image at every level of a sweep, to be shown above its curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from robustkit.findings.attack.gallery import picture_limits, to_stamp
from robustkit.findings.sweep.measure import Sweep
from robustkit.findings.sweep.record import STRIP_SIDE, Strips, SweepRequest
from robustkit.perturb.perturbation import Stage
from robustkit.seeds import Streams

if TYPE_CHECKING:
    from robustkit.runs.sample import Sample


def take_strips(sample: Sample, request: SweepRequest) -> Strips:
    """The first image drawn at every step of a sweep, with the random numbers that the sweep itself draws first."""
    job, bands = Sweep(sample, request).jobs["model"], sample.checkpoint.card.bands
    with torch.inference_mode():
        stored = torch.from_numpy(np.array(job.images[slice(0, 1)], dtype=np.float32))
        seen = stored if job.stretch is None else job.stretch(stored)
        limits = picture_limits(seen[0].numpy())

        def picture(image: Tensor) -> np.ndarray:
            return to_stamp(image[0].numpy(), bands, STRIP_SIDE, limits)

        pictures = []
        for step in job.perturbations:
            late = step.stage == Stage.STRETCHED
            streams = Streams(job.seed, job.ids[:1], f"perturb {step.name}")
            after = step(seen if late else stored, conditions=job.conditions, streams=streams)
            pictures.append(picture(after if late or job.stretch is None else job.stretch(after)))
    return Strips(str(job.ids[0]), picture(seen), np.stack(pictures))
