"""A folder of FITS files with one band each: g.fits, r.fits, i.fits, or NAME_g.fits, NAME_r.fits, NAME_i.fits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from robustkit.data.readers import fits
from robustkit.data.readers.decode import read_one
from robustkit.data.readers.found import Found, Options, stack_bands
from robustkit.data.readers.labels import stated_labels
from robustkit.data.readers.single import find_files
from robustkit.errors import InputError

_FILTERS = ("u", "g", "r", "i", "z", "y", "Y", "J", "H", "K", "Ks")


def is_one_file_a_band(files: Sequence[Path], options: Options) -> bool:
    """Whether the names of these files end in the bands that the user named.

    Raises:
        InputError: If no bands were named and the names end in usual filters, so that both readings are possible.
    """
    if any(path.suffix.lower() not in fits.SUFFIXES for path in files):
        return False
    if options.bands is not None:
        return len(options.bands) > 1 and all(_split(path, options.bands) for path in files)
    ends = [_split(path, _FILTERS) for path in files]
    bands = sorted({end[1] for end in ends if end})
    if all(ends) and len(bands) > 1:
        raise InputError(
            f"the names of the FITS files end in filters; give --bands {','.join(bands)} in the order to join "
            "them, or --bands NAME with one name if each file is an image by itself"
        )
    return False


def may_be_joined(path: Path) -> bool:
    """Whether a path is a folder of FITS files, without classes, whose names could end in bands."""
    if not path.is_dir():
        return False
    files = [one for one in path.iterdir() if not one.name.startswith(".")]
    return bool(files) and all(one.is_file() and one.suffix.lower() in fits.SUFFIXES for one in files)


def read_bands(folder: Path, files: Sequence[Path], options: Options) -> Found:
    """Joins files of one band each into images of all bands.

    Raises:
        InputError: If an object lacks a band, or the bands disagree in number, size or units.
    """
    bands = options.bands or ()
    objects: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in files:
        name, band = _split(path, bands) or ("", "")
        objects[name][band] = path
    for name, present in objects.items():
        missing = [band for band in bands if band not in present]
        if missing:
            raise InputError(f"object {name!r} in {folder} has no file for band {', '.join(missing)}")
    if len(objects) == 1:
        name, present = next(iter(objects.items()))
        parts = [fits.read_fits(present[band], replace(options, bands=(band,), labels=None)) for band in bands]
        ids = parts[0].ids
    else:
        parts = [_objects_in_band(folder, objects, band, options) for band in bands]
        ids = np.array(list(objects), dtype=str)
    return _join(parts, bands, ids, options)


def _objects_in_band(folder: Path, objects: dict[str, dict[str, Path]], band: str, options: Options) -> Found:
    own = replace(options, bands=(band,))
    return find_files(
        folder, [present[band] for present in objects.values()], lambda data, path: read_one(data, path, own)
    )


def _join(parts: list[Found], bands: tuple[str, ...], ids: np.ndarray | None, options: Options) -> Found:
    units = parts[0].units
    if any(part.units != units for part in parts):
        raise InputError(f"the bands {', '.join(bands)} are in different units; bring them to one")
    found = Found(stack_bands([part.frames for part in parts], bands), ids=ids, bands=bands, units=units)
    found.labels = stated_labels(options, found.notes, found.provenance)
    found.notes.append(f"bands: one file per band, {', '.join(bands)}")
    for part, band in zip(parts, bands, strict=True):
        found.notes += [f"{band}: {note}" for note in part.notes]
        found.provenance |= part.provenance
        part.hashes, part.remarks = found.hashes, found.remarks  # filled while the images are read
    return found


def _split(path: Path, bands: Sequence[str]) -> tuple[str, str] | None:
    """The object and the band in a file's name, or `None` where it does not end in a band."""
    for band in sorted(bands, key=len, reverse=True):
        if path.stem == band:
            return "", band
        if path.stem.endswith(band) and path.stem[-len(band) - 1] in "_-.":
            return path.stem[: -len(band) - 1], band
    return None
