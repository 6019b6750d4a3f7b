"""The images of a reproduction, simulated or published, as a source and a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from robustkit.data import ImageSet, open_images
from robustkit.data.readers.galaxies import GALAXIES_FILE
from robustkit.data.simulate import simulate
from robustkit.errors import InputError
from robustkit.files import read_json
from robustkit.reproduce.plan import NetworkPlan, PaperPlan

PARTS = ("train", "valid", "test")
PAIR = ("non-merger", "merger")
# The files of the papers, by their own names.
_AD22 = {domain: tuple(f"images_{domain}_{part}.npy" for part in PARTS) for domain in ("Y10", "Y1")}
_DA20 = ("SimSim_SOURCE_X_Illustris2_pristine.npy", "SimSim_TARGET_X_Illustris2_noisy.npy")
_ROWS = 256  # images copied at a time


def make_images(
    plan: PaperPlan, part: NetworkPlan, folder: Path, data: Path | None, say: Callable[[str], None]
) -> tuple[Path, Path]:
    """Makes or opens the images of a network, once.

    Args:
        plan: Plan of the reproduction.
        part: The network.
        folder: Folder for the images.
        data: A folder with the published files; `None` to simulate.
        say: Receives progress messages.

    Returns:
        Paths of source and target.

    Raises:
        InputError: If other galaxies are in the folder, or the published files do not fit each other.
    """
    if data is not None:
        return _published(plan, folder, data, say)
    galaxies = folder / f"galaxies-{part.galaxies}"
    if not (galaxies / GALAXIES_FILE).is_file():
        say(f"simulating {part.galaxies} galaxies of {plan.size}x{plan.size}")
        simulate(part.galaxies, years=plan.years, seed=0, out=galaxies, size=plan.size, classes=plan.shares)
    _check_galaxies(plan, part, galaxies)
    deep, shallow = (galaxies / f"Y{years:g}" for years in plan.years)
    if not plan.binary:
        return deep, shallow
    pairs = folder / f"mergers-{part.galaxies}"
    return _two_classes(deep, pairs / "source"), _two_classes(shallow, pairs / "target")


def _check_galaxies(plan: PaperPlan, part: NetworkPlan, galaxies: Path) -> None:
    wanted = {"n": part.galaxies, "size": plan.size, "seed": 0, "years": list(plan.years), "classes": dict(plan.shares)}
    found = read_json(galaxies / GALAXIES_FILE)
    other = [name for name, value in wanted.items() if found.get(name) != value]
    if other:
        name = other[0]
        raise InputError(
            f"{galaxies} holds other galaxies: {name} is {found.get(name)} and {wanted[name]} is expected; "
            "name another folder with --out"
        )


def _two_classes(whole: Path, out: Path) -> Path:
    """Mergers against all other galaxies."""
    if not out.is_dir():
        images = ImageSet.load(whole)
        assert images.labels is not None
        labels = (images.labels == images.class_names.index(PAIR[1])).astype(np.int64)
        replace(images, labels=labels, class_names=PAIR).save(out)
    return out


def check_published(plan: PaperPlan, data: Path) -> None:
    """Refuses a folder that lacks published files.

    Args:
        plan: Plan of the reproduction.
        data: The folder.

    Raises:
        InputError: If one is missing.
    """
    names = _DA20 if plan.binary else [name for files in _AD22.values() for name in files]
    missing = [name for name in names if not (data / name).is_file()]
    if missing:
        raise InputError(
            f"{data} lacks {missing[0]}; expected the files that the paper published, under their own names: "
            f"{', '.join(names)}, each with its labels"
        )


def _published(plan: PaperPlan, folder: Path, data: Path, say: Callable[[str], None]) -> tuple[Path, Path]:
    if plan.binary:
        return data / _DA20[0], data / _DA20[1]
    found = []
    for domain, files in _AD22.items():
        out = folder / "published" / domain
        if not out.is_dir():
            say(f"{domain}: joining {', '.join(files)}")
            joined(files, data).save(out)
        found.append(out)
    return found[0], found[1]


def joined(files: Sequence[str], data: Path) -> ImageSet:
    """Training, validation and test images of a domain as one set with its split.

    Args:
        files: Files of the three parts, in the order of `PARTS`.
        data: Their folder.

    Raises:
        InputError: If the files do not fit each other.
    """
    sets = [open_images(data / name) for name in files]
    first = sets[0]
    for one, name in zip(sets[1:], files[1:], strict=True):
        if one.images.shape[1:] != first.images.shape[1:] or one.class_names != first.class_names:
            raise InputError(
                f"{name} has other image sizes or classes than {files[0]}; expected one set in three parts"
            )
        if (one.labels is None) != (first.labels is None):
            raise InputError(f"{name} or {files[0]} has no labels; expected labels for all three parts")
    images = np.empty((sum(map(len, sets)), *first.images.shape[1:]), np.float32)
    start = 0
    for one in sets:
        for row in range(0, len(one), _ROWS):
            chunk = one.images[row : row + _ROWS]
            images[start + row : start + row + len(chunk)] = chunk
        start += len(one)
    ids = np.concatenate([one.ids for one in sets])
    parts = np.repeat(PARTS, [len(one) for one in sets]).tolist()
    return replace(
        first,
        images=images,
        labels=None if first.labels is None else np.concatenate([np.asarray(one.labels) for one in sets]),
        ids=ids,
        meta={**first.meta, "split": dict(zip(ids.tolist(), parts, strict=True))},
        provenance={name: digest for one in sets for name, digest in one.provenance.items()},
    )
