"""The run folder: a manifest of what the run is, a part for each finished unit, and what was found."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustkit.errors import InputError
from robustkit.files import clear_unfinished, is_unfinished, jsonable, new_folder, read_object, write_json
from robustkit.runs.lock import only_writer
from robustkit.runs.trouble import trouble_in_words

MANIFEST = "manifest.json"
# What was found; written last, so where it is the run is finished.
SUMMARY = "summary.json"
# Version of what is kept of an unfinished run; another one is refused.
FORMAT = 2
LOCK = "lock"
# What to do about a run that cannot be gone on with, when it was stopped.
AGAIN = "start again in a new folder"


@dataclass(frozen=True)
class Run:
    """An open run folder.

    Attributes:
        folder: Where it is.
    """

    folder: Path


@contextmanager
def open_run(
    folder: str | os.PathLike[str],
    manifest: dict[str, Any],
    *,
    resume: bool = False,
    advice: str = "continue with --resume, finished work is kept",
) -> Generator[Run]:
    """Opens a run folder for writing, new or to continue with.

    Args:
        folder: The run folder.
        manifest: What the run is, as JSON values: under `inputs` what its answers depend on (settings, seeds, hashes
            of model and data), beside it what is only worth knowing (versions, device).
        resume: Continue with what is there; a folder that is not there yet is started.
        advice: What to do when the disk was full and there is room again, for the message.

    Yields:
        The run.

    Raises:
        InputError: If the folder holds something and `resume` is false, another process writes to it, or its inputs
            are not those of `manifest`; the message lists the differences.
        RobustkitError: If the file system fails, as when the disk is full, here or while the run is open.
    """
    folder = Path(folder)
    if not (resume and was_started(folder)):
        new_folder(folder)
    with trouble_in_words(folder, advice), only_writer(folder / LOCK):
        clear_unfinished(folder)
        if (folder / MANIFEST).is_file():
            _same_inputs(folder, read_manifest(folder), manifest)
        else:
            write_json(folder / MANIFEST, {**manifest, "format": FORMAT})
        yield Run(folder)


def read_manifest(folder: Path, **fields: type) -> dict[str, Any]:
    """What the run in a folder is.

    Args:
        folder: The run folder.
        fields: What the manifest must hold, and of which type.

    Raises:
        InputError: If it is missing, or lacks something.
    """
    return read_object(folder / MANIFEST, "the manifest of a run", **fields)


def was_started(folder: Path) -> bool:
    """Whether a run was begun here, if only to the point where nothing but its lock was written, or half of it."""
    if not folder.is_dir():
        return False
    return (folder / MANIFEST).is_file() or all(path.name == LOCK or is_unfinished(path) for path in folder.iterdir())


def check_format(folder: Path, manifest: dict[str, Any]) -> None:
    """Refuses a run folder whose units were kept by another robustkit in another way.

    Raises:
        InputError: If its format is not `FORMAT`.
    """
    if manifest.get("format") != FORMAT:
        raise InputError(
            f"the run in {folder} was kept by another version of robustkit (format {manifest.get('format', 1)}, "
            f"this one reads {FORMAT}); start it again in a new folder"
        )


def _same_inputs(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    check_format(folder, old)
    found = list(differences(old.get("inputs"), new.get("inputs")))
    if found:
        raise InputError(
            f"the run in {folder} was started with other inputs: {'; '.join(found)}; "
            "give the same again, or name a new folder with --out"
        )


def differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """What differs between two values once they are written as JSON, a few words for each difference.

    Args:
        old: A value, as it was read back or not.
        new: Another.
        name: Where they stand, for the words.
    """
    old, new = jsonable(old), jsonable(new)
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield f"{name} was {_short(old)} and is {_short(new)}"


def _short(value: Any, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
