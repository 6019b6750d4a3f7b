"""Lossy file formats; `robustkit.perturb.workers` also runs this file as a script.

The script needs NumPy and the library of the format. Until its standard input ends, it reads a line of JSON
with `shape` and `settings` and float32 values of that shape, and answers with as many values.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def fits_quantised(image: np.ndarray, *, algorithm: str, step: float, seed: int) -> np.ndarray:
    """An image (C, H, W), float32, after lossy FITS compression.

    Args:
        image: Calibrated values.
        algorithm: `RICE_1` (tiles are rows) or `HCOMPRESS_1` (tiles are bands).
        step: Quantisation step, in units of the noise that the compressor measures in a tile.
        seed: Seed of the subtractive dither, 1 to 10000.
    """
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
        read: Any = opened[1]
        return np.asarray(read.data, dtype=np.float32).reshape(image.shape)


def jpeg(image: np.ndarray, *, quality: int, low: float, high: float) -> np.ndarray:
    """An image (C, H, W), float32, after JPEG: three bands as a colour picture, others as grey pictures.

    Args:
        image: Network input.
        quality: Quality of libjpeg, 1 to 100.
        low: The value of black.
        high: The value of white; what lies outside is clipped.
    """
    eight = np.rint(np.clip((image - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    if len(eight) == 3:
        read = np.moveaxis(_picture(np.ascontiguousarray(np.moveaxis(eight, 0, -1)), quality), -1, 0)
    else:
        read = np.stack([_picture(band, quality) for band in eight])
    return (read / np.float32(255) * np.float32(high - low) + np.float32(low)).astype(np.float32)


def _picture(picture: np.ndarray, quality: int) -> np.ndarray:
    from PIL import Image

    stored = io.BytesIO()
    options = {"subsampling": 2} if picture.ndim == 3 else {}
    Image.fromarray(picture).save(stored, "JPEG", quality=quality, **options)
    return np.asarray(Image.open(stored))


CODECS: dict[str, Callable[..., np.ndarray]] = {"fits": fits_quantised, "jpeg": jpeg}


def encoded(image: np.ndarray, settings: dict[str, Any]) -> np.ndarray:
    """An image after the codec that the settings name."""
    return CODECS[settings["codec"]](image, **{key: value for key, value in settings.items() if key != "codec"})


def main() -> None:
    """Serves until standard input ends."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while line := source.readline():
        request = json.loads(line)
        shape = tuple(request["shape"])
        image = np.frombuffer(source.read(4 * int(np.prod(shape))), np.float32).reshape(shape)
        sink.write(np.ascontiguousarray(encoded(image, request["settings"]), dtype=np.float32).tobytes())
        sink.flush()


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # the other side shows the last line
        sys.exit(f"{type(error).__name__}: {error}")
