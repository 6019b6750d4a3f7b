"""One file with one image, of any kind, by its suffix."""

from __future__ import annotations

from pathlib import Path

from robustkit.data.readers import fits, pictures
from robustkit.data.readers.found import Options
from robustkit.data.readers.npy import read_npy_image
from robustkit.data.readers.single import SingleImage
from robustkit.errors import InputError

SUFFIXES = (*pictures.SUFFIXES, *fits.SUFFIXES, ".npy")


def read_one(data: bytes, path: Path, options: Options) -> SingleImage:
    """Decodes the bytes of a PNG, JPEG, FITS or .npy file.

    Raises:
        InputError: If the suffix is not known, or the file is damaged or holds not exactly one image.
    """
    suffix = path.suffix.lower()
    if suffix in pictures.SUFFIXES:
        return pictures.read_picture(data, path.name)
    if suffix in fits.SUFFIXES:
        return fits.read_fits_image(data, path.name, options)
    if suffix == ".npy":
        return read_npy_image(data, path.name, options)
    raise InputError(f"{path} is not an image file; expected {', '.join(SUFFIXES)}")
