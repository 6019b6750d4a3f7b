"""Noisy twins of the images of an attack: the same objects in another exposure, or the same images with noise added."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robustkit.data import ImageSet, open_images
from robustkit.data.pixels import picked
from robustkit.data.readers.galaxies import GALAXIES_FILE, depths_of
from robustkit.errors import InputError
from robustkit.files import real_path
from robustkit.findings.latents.attacked import Attacked
from robustkit.models import Checkpoint
from robustkit.perturb.conditions import calibrated, conditions_of
from robustkit.perturb.faults.naming import Named, read_name
from robustkit.perturb.faults.on_input import OnInput
from robustkit.perturb.faults.registry import PERTURBATIONS
from robustkit.perturb.perturbation import LEVEL_NAMES, Perturbation, Stage
from robustkit.runs.draw import check_pixels_fit
from robustkit.runs.sample import as_input
from robustkit.seeds import Streams

NONE = "none"
# Ten years of exposure to one, as between the two depths of the paper.
DEFAULT = "exposure:0.1"


@dataclass(frozen=True, eq=False)
class Twins:
    """Perturbed twins of N images.

    Attributes:
        present: Which images have one, shape (N,), bool.
        images: Network input of the twins of some images: positions (B,) to (B, C, H, W).
        words: What they are, or why there are none.
    """

    present: np.ndarray
    images: Callable[[np.ndarray], Tensor]
    words: str


def make_twins(attacked: Attacked, noisy: str | os.PathLike[str] | None = None, *, seed: int = 0) -> Twins:
    """Noisy twins of the images of an attack.

    Args:
        attacked: The attack and its images.
        noisy: An image set; the name of a depth of the same galaxies, such as `Y1`; a perturbation and its level,
            such as `exposure:0.1` or `psf:s2`; or `none`. By default the shallowest depth of the same galaxies, then
            the target that the model was adapted to if it shows the same objects, then `exposure:0.1` if the images
            are in electrons, then none.
        seed: Of noise that is made here.

    Raises:
        InputError: If what was asked for cannot be had; without anything asked for, `Twins.words` says what is missing.
    """
    if noisy is None:
        return _default(attacked, seed)
    name = os.fspath(noisy)
    if name == NONE:
        return _nothing(attacked, "none, as asked for")
    depth = _depths(attacked).get(name)
    if depth is not None:
        return _from_set(attacked, depth)
    if Path(name).exists():
        return _from_set(attacked, Path(name))
    kind = name.rpartition(":")[0]
    if kind.partition(",")[0] in PERTURBATIONS or kind.count(":") == 1:
        return perturbed(attacked, parse_perturbation(name, attacked.sample.checkpoint), seed=seed)
    depths = ", ".join(_depths(attacked)) or "none here"
    raise InputError(
        f"no noisy images are called {name!r}; expected a path, a depth of the same galaxies ({depths}), a "
        f"perturbation with its level such as {DEFAULT}, or none"
    )


def perturbed(attacked: Attacked, perturbation: Perturbation, *, seed: int) -> Twins:
    """Twins made by a perturbation; every image has its own random stream.

    Raises:
        InputError: If the images are not in the units, or not at the stage, that the perturbation needs.
    """
    stretch, late = attacked.sample.checkpoint.stretch, perturbation.stage == Stage.STRETCHED
    source = attacked.sample.image_set if late else calibrated(attacked.sample.image_set)
    conditions = conditions_of(source) if perturbation.physical else None
    ids = attacked.record.ids

    def images(rows: np.ndarray) -> Tensor:
        before = picked(source.images, rows)
        start = as_input(stretch, source, before) if late else torch.from_numpy(before)
        streams = Streams(seed, ids[rows].tolist(), f"perturb {perturbation.name}")
        after = perturbation(start, conditions=conditions, streams=streams)
        return after if late else stretch(after)

    words = f"made by {perturbation.label} at {perturbation.level:g} {perturbation.unit}, seed {seed}"
    return Twins(np.ones(len(ids), dtype=bool), images, words)


def parse_perturbation(text: str, checkpoint: Checkpoint) -> Perturbation:
    """A perturbation from `name:level`, the level in its unit or one of s1 to s5.

    Args:
        text: The name, with options after commas as for `robustkit sweep`, and the level.
        checkpoint: Whose input range is that of perturbations of network input.

    Raises:
        InputError: If it is not of this form, or not known.
    """
    name, _, level = text.rpartition(":")
    named = read_name(name)
    lows, highs = zip(*checkpoint.card.input_range, strict=True)
    fitted = {"low": min(lows), "high": max(highs)} if issubclass(named.kind, OnInput) else {}
    try:
        number = level if level in LEVEL_NAMES else float(level)
    except ValueError as error:
        raise InputError(f"expected a perturbation and its level such as {DEFAULT}, got {text!r}") from error
    return Named(named.kind, fitted | named.options).at(number)


def _default(attacked: Attacked, seed: int) -> Twins:
    depths = _depths(attacked)
    if depths:
        shallowest = list(depths.values())[-1]
        if real_path(shallowest) != real_path(attacked.sample.path):
            return _from_set(attacked, shallowest)
    target = attacked.sample.checkpoint.card.data.get("target") or {}
    places = [attacked.sample.model.parent / target["relative"]] if target.get("relative") else []
    places += [Path(target["path"])] if target.get("path") else []
    for path in (place for place in places if place.exists()):
        other = open_images(path)
        if np.isin(attacked.record.ids, other.ids).any():
            return _from_set(attacked, path)
        break
    try:
        return perturbed(attacked, parse_perturbation(DEFAULT, attacked.sample.checkpoint), seed=seed)
    except InputError as error:
        return _nothing(attacked, f"none: no shallower exposure of these images is known, and {error}")


def _depths(attacked: Attacked) -> dict[str, Path]:
    """The depths of the same galaxies by name, deep to shallow, without the one that was attacked."""
    for folder in (attacked.sample.path, attacked.sample.path.parent):
        if (folder / GALAXIES_FILE).is_file():
            names = depths_of(folder)
            own = names[0] if folder == attacked.sample.path else attacked.sample.path.name
            return {name: folder / name for name in names if name != own}
    return {}


def _from_set(attacked: Attacked, path: Path) -> Twins:
    other, ids = open_images(path), attacked.record.ids
    check_pixels_fit(attacked.sample.checkpoint, other, path)
    present = np.isin(ids, other.ids)
    if not present.any():
        raise InputError(
            f"none of the {len(ids)} images that were attacked is in {path}; the noisy twins must have the same ids, "
            "so name another image set with --noisy"
        )
    places = np.full(len(ids), -1)
    places[present] = other.positions(ids[present])
    missing = int((~present).sum())
    words = f"the same objects in {path}" + (f", of which {missing} are missing" if missing else "")
    return Twins(present, lambda rows: _rows(attacked, other, places[rows]), words)


def _rows(attacked: Attacked, images: ImageSet, rows: np.ndarray) -> Tensor:
    return as_input(attacked.sample.checkpoint.stretch, images, picked(images.images, rows))


def _nothing(attacked: Attacked, words: str) -> Twins:
    return Twins(np.zeros(len(attacked.record.ids), dtype=bool), lambda rows: attacked.clean(0, 0), words)
