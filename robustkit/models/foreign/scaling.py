"""From the values of images to what a network takes: which stretch was said, and whether it does anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robustkit.data import STRETCHES, IdentityStretch, ImageSet, MeanStdStretch, Stretch, fit_stretch, stretch_from_json
from robustkit.data.pixels import blocks
from robustkit.data.unit import extremes, likely_range, unit_stretch
from robustkit.errors import WARNING, InputError
from robustkit.models.foreign.found import Found
from robustkit.models.foreign.options import ModelOptions
from robustkit.words import no_such

# Values up to here may be on the scale from 0 to 1, as a resampled or sharpened picture is.
_ABOUT_ONE = 1.5


def make_stretch(found: Found, options: ModelOptions, images: ImageSet | None, bands: int) -> Stretch:
    """The stretch that was said; where the range of the images is known, mean and std are those of values from 0 to 1.

    Args:
        found: The network; its notes receive what was chosen.
        options: What the user said.
        images: The images, where there are any.
        bands: C.

    Raises:
        InputError: If it is unknown, needs images, or needs a range that nobody states.
    """
    said, mean, std, notes = options.stretch, options.mean, options.std, found.notes
    if said is None and mean is None and found.mean is not None and found.std is not None:
        mean, std = found.mean, found.std
        notes.append(f"mean {_numbers(mean)} and std {_numbers(std)} come from the files of the model")
    if images is not None and images.stretch is not None and (mean is not None or said not in (None, "none")):
        notes.append(
            f"{WARNING}the images are stretched by {images.stretch.name} already, so no other stretch has an effect on "
            "them; give calibrated images for another"
        )
    if mean is not None and std is not None:
        return _normalise(mean, std, images, bands, notes)
    if said is None or said == "none":
        if said is None:
            notes.append("stretch: none said, so the images go into the network as they are; see --stretch, --mean")
        return IdentityStretch()
    if isinstance(said, dict):
        return stretch_from_json(said)
    if said == "unit":
        return unit_stretch(images, bands, notes)
    if said not in STRETCHES:
        raise InputError(no_such("--stretch", said, ("unit", *STRETCHES)))
    if images is None:
        raise InputError(
            f"the {said} stretch is fitted on images; name them with --data, or put its constants in a card"
        )
    fitted = fit_stretch(said, images.images)
    notes.append(f"stretch: {said}, fitted on the images given, because the model does not say its constants")
    return fitted


def _normalise(
    mean: Sequence[float], std: Sequence[float], images: ImageSet | None, bands: int, notes: list[str]
) -> Stretch:
    if len({len(mean), len(std), bands} - {1}) > 1:
        raise InputError(f"the network takes {bands} bands; give --mean and --std one or {bands} numbers each")
    wide = [tuple(values) * (bands if len(values) == 1 else 1) for values in (mean, std)]
    of_values = max(map(abs, mean)) > 1 or max(std) > 1  # given on the scale of the stored values
    bounds = None if images is None else images.bounds
    low, high = (0.0, 1.0) if of_values or bounds is None else bounds
    if images is not None and of_values:
        notes.append("stretch: mean and std are those of the values as they are stored")
    elif images is not None and bounds is not None:
        notes.append(f"stretch: {low:g} to {high:g} becomes 0 to 1, then mean and std")
    elif images is not None:
        first, last = extremes(images)
        text = f"mean and std are applied to the values as they are, {first:g} to {last:g}"
        if first >= 0 and last > _ABOUT_ONE and _looks_like_pictures(images, last):
            text = f"{WARNING}{text}; if they are those of 0 to 1, say --image-range{likely_range(first, last)}"
        notes.append(f"stretch: {text}" if not text.startswith(WARNING) else text)
    return MeanStdStretch(tuple(low + m * (high - low) for m in wide[0]), tuple(s * (high - low) for s in wide[1]))


def _looks_like_pictures(images: ImageSet, highest: float) -> bool:
    """Whether float values are those of a picture of 8 or 16 bits: whole numbers, or nearly up to its white."""
    some = np.asarray(images.images[:8])
    return bool((some == np.round(some)).all()) or 200 <= highest <= 255


def input_range(
    options: ModelOptions, images: ImageSet | None, stretch: Stretch, bands: int, notes: list[str]
) -> tuple[tuple[float, float], ...]:
    """Lowest and highest network input of each band: as said, or of the images.

    Args:
        options: What the user said.
        images: The images, where there are any.
        stretch: From their values to network input.
        bands: C.
        notes: Receives what was chosen.
    """
    if options.bounds is not None:
        return (options.bounds,) * bands
    if images is None:
        return ((0.0, 1.0),) * bands
    low, high = np.full(bands, np.inf), np.full(bands, -np.inf)
    for block in blocks(images.images):
        seen = block if images.stretch is not None else stretch(block)
        low, high = np.minimum(low, seen.min((0, 2, 3))), np.maximum(high, seen.max((0, 2, 3)))
    notes.append("range of values: that of the images given, because the training images are not known")
    return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
