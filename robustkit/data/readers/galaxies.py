"""A folder of simulated galaxies: the same objects at several depths, each depth an image set in its own subfolder."""

from __future__ import annotations

from pathlib import Path

from robustkit.data.guard import reading
from robustkit.errors import InputError
from robustkit.files import read_json

GALAXIES_FILE = "galaxies.json"
KIND = "robustkit-galaxies"


def depths_of(folder: Path) -> tuple[str, ...]:
    """The names of the depths, deep to shallow.

    Raises:
        InputError: If the folder does not describe simulated galaxies, or lacks a depth that it names.
    """
    with reading(folder / GALAXIES_FILE, "the description of simulated galaxies"):
        value = read_json(folder / GALAXIES_FILE)
    depths = value.get("depths") if isinstance(value, dict) and value.get("kind") == KIND else None
    if not isinstance(depths, list) or not depths or not all(isinstance(depth, str) for depth in depths):
        raise InputError(f"{folder / GALAXIES_FILE} does not list depths of simulated galaxies; simulate them again")
    for depth in depths:
        if Path(depth).name != depth or not (folder / depth).is_dir():
            raise InputError(
                f"{folder} names the depth {depth!r} but has no such subfolder; simulate the galaxies again"
            )
    return tuple(depths)
