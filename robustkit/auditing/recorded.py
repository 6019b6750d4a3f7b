"""Everything that an audit found out about one model, read back from its records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.errors import InputError
from robustkit.files import read_json
from robustkit.findings.finding import Finding, ModelRecords
from robustkit.findings.registry import built_in

ABOUT = "about.json"
# Version of what is kept of an audit; another one is refused.
SCHEMA = 1


def read_model(folder: Path, label: str, kinds: Sequence[Finding] = ()) -> ModelRecords:
    """Reads the records of one model.

    Args:
        folder: Where they are.
        label: The name of the model in the report.
        kinds: The findings of the audit; by default those of robustkit.

    Raises:
        InputError: If the folder is no audit of a model, was made by another version, or its records do not belong
            together.
    """
    kinds = kinds or built_in()
    about = read_json(folder / ABOUT)
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        found = about.get("schema") if isinstance(about, dict) else None
        raise InputError(f"expected the records in {folder} in schema {SCHEMA}, found {found}; run the audit again")
    notes = {kind.name: folder / f"{kind.name}.json" for kind in kinds}
    steps = {name: read_json(note) for name, note in notes.items() if note.is_file()}
    if not all(isinstance(step, dict) for step in steps.values()):
        raise InputError(f"a note of a step in {folder} is damaged; run the audit again")
    records: dict[str, Any] = {}
    for kind in kinds:
        step = steps.get(kind.name, {})
        if step.get("finished") and not step.get("refused"):
            try:
                records |= kind.load(folder / kind.name)
            except (InputError, OSError) as error:  # it is missing then, and the others are shown
                steps[kind.name] = {**step, "refused": f"{error}; run the audit again, which makes this step again"}
    found = ModelRecords(label, folder, about, steps, records, {kind.name: kind.alone for kind in kinds})
    _check_together(found)
    return found


def _check_together(found: ModelRecords) -> None:
    """Refuses records of different images or models in one folder."""
    place = {str(one): i for i, one in enumerate(found.about["ids"])}
    for name, record in found.records.items():
        # In the same order, though some findings are of a part of the images.
        rows = np.array([place.get(str(one), -1) for one in getattr(record, "ids", ())], dtype=np.int64)
        if (np.diff(rows, prepend=-1) <= 0).any():
            raise InputError(
                f"the {name} record in {found.folder} is of other images than the audit; run the audit again"
            )
    for name, step in found.steps.items():
        sha = step.get("inputs", {}).get("model_sha256")
        if sha is not None and sha != found.about["model_sha256"]:
            raise InputError(f"the step {name!r} in {found.folder} is of another model; run the audit again")


def check_pair(one: ModelRecords, other: ModelRecords) -> None:
    """Refuses two audits that cannot be paired image by image.

    Raises:
        InputError: If their images, true classes, or ways of asking differ.
    """
    if one.class_names != other.class_names:
        raise InputError(
            f"{one.label} has the classes {', '.join(one.class_names)}, {other.label} has "
            f"{', '.join(other.class_names)}; only models of the same classes can be compared"
        )
    if one.about["ids"] != other.about["ids"] or one.about["true"] != other.about["true"]:
        mine, its = ({**each.about, "n": len(each.about["ids"])} for each in (one, other))
        shared = len(set(one.about["ids"]) & set(other.about["ids"]))
        raise InputError(
            f"{one.label} and {other.label} were audited on different images {other_images(mine, its, shared)}"
        )
    for step in one.steps:
        first, second = (each.steps.get(step, {}).get("inputs", {}).get("settings") for each in (one, other))
        if first is not None and second is not None and first != second:
            raise InputError(
                f"the step {step!r} of {one.label} and {other.label} was made with other settings"
                f"{_other_settings(first, second)}; audit both alike"
            )


def _other_settings(first: Any, second: Any) -> str:
    if not (isinstance(first, Mapping) and isinstance(second, Mapping)):
        return ""
    keys = sorted(str(key) for key in {*first, *second} if first.get(key) != second.get(key))
    return f" ({', '.join(f'{key} {first.get(key)} and {second.get(key)}' for key in keys)})"


def other_images(first: Mapping[str, Any], other: Mapping[str, Any], shared: int) -> str:
    """By what the images of two audits differ, and how the second is audited on those of the first.

    Args:
        first: Its `n`, `part`, `seed` and `data`.
        other: Likewise.
        shared: How many images both have.
    """
    keys = ("n", "part", "seed", "data")
    differ = [f"{key} {other[key]} instead of {first[key]}" for key in keys if other[key] != first[key]]
    why = ", ".join(differ) or "the image sets differ"
    return (
        f"({why}; {shared} of {first['n']} are shared); audit it again with --data {first['data']} --part "
        f"{first['part']} --n {first['n']} --seed {first['seed']}"
    )
