"""From what a reader found to an `ImageSet`: converted, checked, named, with every choice in its notes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.data.bounds import bounded_memory, stored_bytes
from robustkit.data.checks import duplicate_note, refuse_nonfinite, scan_images
from robustkit.data.imageset import ImageSet, Units
from robustkit.data.preprocess import Colour, Grey, Resize
from robustkit.data.readers.found import Found, Options, array_frames
from robustkit.data.readers.gather import as_float32
from robustkit.data.readers.labels import resolve_ids, resolve_labels, resolve_numbers
from robustkit.data.readers.provenance import manifest
from robustkit.errors import WARNING, InputError
from robustkit.records import BAND


def assemble(found: Found, options: Options, path: Path) -> ImageSet:
    """Makes an image set.

    Args:
        found: What the reader found.
        options: What the user asked for, which takes precedence.
        path: What was opened.

    Raises:
        InputError: If pixels are not finite, labels do not fit, or there are no images.
    """
    count, notes = len(found.frames), list(found.notes)
    if count == 0:
        raise InputError(f"{path} holds no images; expected at least one")
    stored = stored_bytes(path) if found.stored is None else found.stored
    with bounded_memory(stored, path):
        values = resolve_numbers(found, count) if options.numbers else None
        if values is not None:
            labels, class_names = np.zeros(count, dtype=np.int64), BAND
        else:
            labels, class_names = resolve_labels(
                found.labels,
                options.class_names,
                found.class_names,
                count,
                notes,
                classes=options.class_count,
                accepted=options.accepted,
            )
        ids = resolve_ids(found.ids, count, notes)
    images, dtype = as_float32(found.frames, options, notes, options.bounds or found.bounds, stored=stored)
    units, bounds = _units(found, options, dtype, notes)
    meta: dict[str, Any] = {"source": path.name, **found.meta}
    parts = _parts(found.split, count, notes)
    if parts is not None:
        meta["split"] = dict(zip(ids.tolist(), parts, strict=True))
    notes += [f"pictures: {n} of {count}: {remark}" for remark, n in sorted(found.remarks.items())]
    image_set = ImageSet(
        images=images,
        labels=labels,
        values=values,
        class_names=class_names,
        bands=_bands(images.shape[1], found, options, notes),
        ids=ids,
        units=units,
        bounds=bounds,
        meta=meta,
        provenance=found.provenance | manifest(found.hashes, path.name),
        notes=tuple(notes),
    )
    return checked(image_set, parts)


def stepped(image_set: ImageSet, options: Options) -> ImageSet:
    """A set that robustkit wrote, after the steps that were asked for.

    Raises:
        InputError: If it was stretched already, so that the steps come too late.
    """
    if not options.steps:
        return image_set
    if image_set.stretch is not None:
        raise InputError(
            f"the images are stretched by {image_set.stretch.name} already, and --resize, --crop, --pad, --grey, "
            "--rgb, --invert and --input-size come before a stretch; give calibrated images"
        )
    notes = list(image_set.notes)
    found = Found(array_frames(image_set.images, "the set"), bands=image_set.bands, units=image_set.units)
    images, dtype = as_float32(found.frames, options, notes, image_set.bounds)
    units, _ = _units(found, options, dtype, notes)
    return replace(
        image_set,
        images=images,
        bands=_bands(images.shape[1], found, options, notes),
        units=units,
        notes=tuple(notes),
    )


def checked(image_set: ImageSet, parts: list[str] | None = None) -> ImageSet:
    """The image set once every pixel is seen to be finite, with a note on images that are equal.

    Raises:
        InputError: If a pixel is NaN or infinite.
    """
    scan = scan_images(image_set.images)
    refuse_nonfinite(scan, image_set.ids, image_set.bands)
    note = duplicate_note(scan, image_set.ids, parts)
    if note is None or note in image_set.notes:
        return image_set
    return replace(image_set, notes=(*image_set.notes, note))


def _bands(count: int, found: Found, options: Options, notes: list[str]) -> tuple[str, ...]:
    bands = options.bands or found.bands
    made = [step.bands if isinstance(step, Grey) else 3 for step in options.steps if isinstance(step, Grey | Colour)]
    if made and not options.bands:
        return ("grey",) if made[-1] == 1 else ("R", "G", "B")
    if bands is None:
        bands = tuple(f"band{number}" for number in range(count))
        notes.append(f"bands: not named, so they are called {', '.join(bands)}; name them with --bands")
    if len(bands) != count:
        raise InputError(f"{len(bands)} bands are named ({', '.join(bands)}) but the images have {count}")
    return bands


def _units(
    found: Found, options: Options, dtype: np.dtype, notes: list[str]
) -> tuple[Units, tuple[float, float] | None]:
    units, bounds = options.units or found.units, options.bounds or found.bounds
    if units is None and dtype.kind in "ub" and dtype.itemsize == 1:
        units, bounds = "display", bounds or (0.0, 1.0 if dtype.kind == "b" else 255.0)
        notes.append(f"units: display, because the values are {dtype.name}; bounds {bounds[0]:g} to {bounds[1]:g}")
    elif units is None:
        units = "unknown"
        notes.append("units: not stated, so unknown; say --units electron for sky-subtracted counts")
    if units == "electron" and options.units is None and any(isinstance(step, Resize) for step in options.steps):
        units = "unknown"  # a pixel after resampling holds no counts of its own, so no noise can be made for it
        notes.append(
            f"{WARNING}the images were in electrons and are resampled, so their noise is that of no detector and their "
            "units are unknown; --units electron takes them as they are"
        )
    if units != "display" and options.bounds is None:
        bounds = None
    return units, bounds


def _parts(split: np.ndarray | None, count: int, notes: list[str]) -> list[str] | None:
    if split is None:
        return None
    parts = [str(part).strip() for part in split.tolist()]
    if len(parts) != count:
        raise InputError(f"{count} images but a split of {len(parts)}; expected the part of each image")
    notes.append("split: " + ", ".join(f"{n} {part}" for part, n in Counter(parts).items()) + "; kept as given")
    return parts
