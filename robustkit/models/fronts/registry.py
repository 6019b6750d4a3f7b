"""Front ends by name: `across`, `clip:2`, `joint:5`, `nan+clip`, or one of your own as package.module:Class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from robustkit.code_gate import import_code, read_code, refuse_code
from robustkit.data import ImageSet, Stretch
from robustkit.errors import InputError
from robustkit.models.fronts.base import Detect, FrontEnd, InTurn
from robustkit.models.fronts.kinds import Across, Clip, FillNaN, Joint, Line, Median
from robustkit.words import brief, no_such

OPTION = "--front"

# By name: what it does, in a line for the help and the docs.
FRONTS: dict[str, str] = {
    "across": "each pixel clipped to the means of the neighbours across it, with room for noise; across:1 leaves less",
    "clip": "each pixel clipped to the range of its 8 neighbours; clip:2 to their second lowest and highest, up to 4",
    "joint": "joint:K, a pixel more than K sigmas from its neighbours, bands together, becomes their median",
    "median": "the median of 3 x 3 pixels",
    "line": "bad columns, rows and trails of one pixel; line:2 of two pixels",
    "nan": "pixels that are not finite become the mean of their neighbours",
    "detect": "detect:joint:8, nothing is changed, and an image that joint:8 would change gets no class",
}
DETECT = "detect:"
# Entries of the table of a noise.
_STEPS = 65
_MOST_PARTS = 8
# A noise that differs by more than this factor is that of another survey, or depth.
_OTHER = 2.0


def make_front(name: str, constants: Mapping[str, Any] | None = None) -> FrontEnd:
    """A front end by its name.

    Args:
        name: A name in `FRONTS` with its number after a colon, or `package.module:Class` or `path/to/file.py:Class`,
            which is then imported; several joined by `+`, of which the first gets the images.
        constants: What `joint` (`noise`) and `nan` (`fill`) need to know.

    Raises:
        InputError: If a name or number is not known, or a constant is missing.

    Examples:
        >>> make_front("nan+clip:2").radius
        2
    """
    if not isinstance(name, str):
        raise InputError(f"expected the name of a front end, such as 'across', got {brief(repr(name))}")
    parts = [_make_part(part.strip(), constants or {}) for part in split_names(name)]
    front = parts[0] if len(parts) == 1 else InTurn(parts)
    front.name, front.constants = "+".join(split_names(name)), dict(constants or {})
    return front


def split_names(text: str) -> list[str]:
    """The front ends that a name holds, first to last."""
    names = [name.strip() for name in text.split("+")]
    if not 0 < len(names) <= _MOST_PARTS or not all(names):
        raise InputError(f"expected {OPTION} as 1 to {_MOST_PARTS} front ends joined by +, got {brief(text)!r}")
    return names


def provided(text: str) -> bool:
    """Whether robustkit provides every front end of a name, so that a file may name it."""
    return all(_kind(name) in FRONTS for name in split_names(text))


def needs_noise(text: str) -> bool:
    """Whether a front end of this name needs the noise of the images."""
    return any(_kind(name) == "joint" for name in split_names(text))


def front_from_json(value: Any, *, file: object, named: str | None = None) -> FrontEnd:
    """The front end that a file describes.

    Args:
        value: `{"name": ..., "constants": {...}}`.
        file: The file, for messages.
        named: What a person named with `--front`; a file alone never chooses code.

    Raises:
        SecurityError: If it is code of others and the person did not name the same.
        InputError: If it is not a front end.
    """
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise InputError(f"{file} describes its front end as {brief(repr(value))}; expected a name and constants")
    name, constants = value["name"], value.get("constants", {})
    if not isinstance(constants, dict):
        raise InputError(f"{file} has constants of its front end that are no table: {brief(repr(constants))}")
    if named != name:
        for part in split_names(name):
            if _kind(part) not in FRONTS:
                refuse_code(f"python {part}", file=file, option=f"{OPTION} {brief(name)}")
    try:
        return make_front(name, constants)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the constants of the front end in {file} cannot be used: {brief(repr(error))}") from error


def noise_constants(
    stretch: Stretch, meta: Mapping[str, Any], bands: Sequence[str], input_range: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    """The noise of images in network input, from what they declare, for `joint`.

    Args:
        stretch: From calibrated values to network input.
        meta: Of the image set: `noise_sigma` of each band, and `scale`, the variance per unit of light.
        bands: Names of the C bands.
        input_range: Lowest and highest network input of each band.

    Returns:
        JSON values: `low`, `high`, `sigma` (C, steps), and the declared `noise_sigma` and `scale`.

    Raises:
        InputError: If the images do not declare their noise.
    """
    declared = meta.get("noise_sigma")
    if not isinstance(declared, Mapping) or any(band not in declared for band in bands):
        raise InputError(
            "joint needs the noise of the images, and they do not declare noise_sigma for each band; use --front "
            "across, which needs none"
        )
    if not stretch.invertible:
        raise InputError(
            f"joint needs the noise in network input, and the stretch {stretch.name} has no inverse; use across"
        )
    sky = np.array([float(declared[band]) for band in bands])
    slope = float(meta.get("scale", 0.0))
    low, high = (np.array([ends[i] for ends in input_range], dtype=float) for i in (0, 1))
    high = np.where(high > low, high, low + 1e-6)
    grid = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, _STEPS)  # (C, steps)
    light = np.asarray(stretch.inverse(grid[:, None, :]))  # as images of one row
    spread = np.sqrt(sky[:, None, None] ** 2 + slope * np.maximum(light, 0))
    # To either side: where the stretch clips, one of them says nothing.
    middle = np.asarray(stretch(light))
    sides = [np.abs(np.asarray(stretch(light + sign * spread)) - middle) for sign in (-1, 1)]
    sigma = np.maximum(*sides)[:, 0]
    return {
        "low": low.tolist(),
        "high": high.tolist(),
        "sigma": sigma.astype(np.float32).tolist(),
        "noise_sigma": {band: float(declared[band]) for band in bands},
        "scale": slope,
    }


def fitted_constants(
    name: str, stretch: Stretch, images: ImageSet, input_range: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    """What the front ends of a name need to know of the images.

    Args:
        name: As for `make_front`.
        stretch: From calibrated values to network input.
        images: The images that it is fitted on.
        input_range: Lowest and highest network input of each band; only for the noise.

    Raises:
        InputError: If the images do not say it.
    """
    constants: dict[str, Any] = {}
    if needs_noise(name):
        constants["noise"] = noise_constants(stretch, images.meta, images.bands, input_range) | {"units": images.units}
    if any(_kind(part) == "nan" for part in split_names(name)):
        dark = np.zeros((len(images.bands), 1, 1), dtype=np.float32)
        constants["fill"] = np.asarray(stretch(dark)).ravel().tolist()
    return constants


def other_noise(front: Mapping[str, Any], meta: Mapping[str, Any], units: str) -> str | None:
    """Why images are not those that a front end was fitted on, in a sentence; `None` if nothing says so.

    Args:
        front: As a card has it.
        meta: Of the images.
        units: Of the images.
    """
    noise = front.get("constants", {}).get("noise")
    if not isinstance(noise, Mapping):
        return None
    fitted, name = f"the front end {front['name']} was fitted on {noise.get('data', 'other images')}", "units"
    if noise.get(name, units) != units:
        return f"{fitted} in units of {noise[name]}, and these images are in {units}; repair the model for these"
    mine, its = noise.get("noise_sigma"), meta.get("noise_sigma")
    if not isinstance(mine, Mapping) or not isinstance(its, Mapping):
        return None
    ratios = {band: float(its[band]) / float(mine[band]) for band in mine if band in its and float(mine[band]) > 0}
    band = max(ratios, key=lambda band: abs(math.log(max(ratios[band], 1e-30))), default=None)
    if band is None or 1 / _OTHER <= ratios[band] <= _OTHER:
        return None
    return (
        f"{fitted}, and the noise of these images is {ratios[band]:.2g} times that in {band}; it may let bad pixels "
        "pass, or repair good ones"
    )


def _kind(part: str) -> str:
    """What stands before the number of one front end, or what flags."""
    return part.removeprefix(DETECT).partition(":")[0]


def _make_part(text: str, constants: Mapping[str, Any]) -> FrontEnd:
    if text.startswith(DETECT):
        looks = text.removeprefix(DETECT)
        if not looks or looks.startswith(DETECT):
            raise InputError(f"expected {OPTION} detect:joint:8, a front end after detect, got {brief(text)!r}")
        return Detect(_make_part(looks, constants))
    name, colon, number = text.partition(":")
    if name == "detect":
        raise InputError(f"detect flags what another front end would change; name it, as in {OPTION} detect:joint:8")
    if name not in FRONTS:
        return _import(text)
    if name in ("median", "nan") and colon:
        raise InputError(f"the front end {name} takes no number, got {brief(text)!r}")
    if name == "joint":
        if "noise" not in constants:
            raise InputError("joint needs the noise of the images; make it with `robustkit repair`, or use across")
        return Joint(_number(text, number, float), constants["noise"])
    if name == "nan":
        return FillNaN(constants.get("fill", 0.0))
    if name == "across":
        return Across(_number(text, number, float)) if colon else Across()
    made: Callable[[int], FrontEnd] = Clip if name == "clip" else Line
    return made(_number(text, number, int) if colon else 1) if name != "median" else Median()


def _number(text: str, number: str, kind: type[Any]) -> Any:
    try:
        value = kind(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        name = text.partition(":")[0]
        example = "joint:5" if name == "joint" else f"{name}:2"
        raise InputError(f"expected a number as in {OPTION} {example}, got {brief(text)!r}")
    return value


def _import(text: str) -> FrontEnd:
    if ":" not in text:
        raise InputError(no_such("front end", text, FRONTS, more="your own as package.module:Class"))
    code = read_code(text, OPTION)
    if code.kind == "library":
        raise InputError(f"{code.source} is no package of front ends; name your own as package.module:Class")
    kind = getattr(import_code(code, OPTION), code.name, None)
    if not (isinstance(kind, type) and issubclass(kind, FrontEnd)):
        raise InputError(f"{brief(text)} is not a subclass of robustkit.models.fronts.FrontEnd")
    try:
        return kind()
    except TypeError as error:
        raise InputError(f"{brief(text)} cannot be made without arguments: {brief(str(error))}") from error
