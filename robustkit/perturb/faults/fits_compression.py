"""FITS files that were compressed with loss."""

from __future__ import annotations

import io
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import ClassVar

import numpy as np
from torch import Tensor

from robustkit.errors import InputError
from robustkit.extras import require
from robustkit.perturb.conditions import Conditions
from robustkit.perturb.perturbation import Perturbation, Stage, tensor
from robustkit.seeds import Streams


@dataclass(frozen=True)
class Rice(Perturbation):
    """Values in steps of a times the noise that the compressor measures, with subtractive dither, then RICE_1.

    The error of a pixel is uniform in a step, rms a sigma / sqrt(12). Levels: steps of 1/16 (the standard of astropy)
    to one sigma; fpack takes 1/4. Source: Pence, White & Seaman 2010, doi:10.1086/656249. Needs astropy.

    Attributes:
        workers: Processes that compress; with 1 it is done in this one. They are started for every batch.
    """

    name = "rice"
    unit = "sigma per step"
    stage = Stage.PIPELINE
    levels = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
    valid = (0.001, 10.0)
    physical = False
    algorithm: ClassVar[str] = "RICE_1"

    workers: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers < 1:
            raise InputError(f"expected at least one process, came {self.workers}")
        if self.level != self.identity:  # said here, before a run has begun
            require("astropy.io.fits", extra="fits", purpose="compress images")

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Compresses every band of every image and reads it again."""
        values = images.detach().cpu().numpy().astype(np.float32)
        seeds = (1 + streams.integers(10000, 1)[:, 0]).tolist()
        jobs = [(image, seed, self.algorithm, self.level) for image, seed in zip(values, seeds, strict=True)]
        if self.workers == 1 or len(jobs) < 2:
            return tensor(np.stack([_store(*job) for job in jobs]), images)
        with ProcessPoolExecutor(min(self.workers, len(jobs)), get_context("spawn")) as pool:
            return tensor(np.stack(list(pool.map(_store, *zip(*jobs, strict=True), chunksize=16))), images)


@dataclass(frozen=True)
class HCompress(Rice):
    """As `Rice`, in the blocks of HCOMPRESS_1, a wavelet transform that is itself without loss here."""

    name = "hcompress"
    algorithm: ClassVar[str] = "HCOMPRESS_1"


def _store(image: np.ndarray, seed: int, algorithm: str, step: float) -> np.ndarray:
    """An image (C, H, W) after compression."""
    from astropy.io import fits

    # The bands lie below one another in one file, so that each tile is of one band.
    count, height, width = image.shape
    compressed = fits.CompImageHDU(
        image.reshape(count * height, width),
        compression_type=algorithm,
        tile_shape=(1 if algorithm == "RICE_1" else height, width),
        quantize_level=1 / step,
        quantize_method=1,
        dither_seed=seed,
    )
    stored = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), compressed]).writeto(stored)
    stored.seek(0)
    with fits.open(stored) as opened:
        return np.asarray(opened[1].data, dtype=np.float32).reshape(image.shape)
