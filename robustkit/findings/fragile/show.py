"""The chapter on fragile objects, and the files beside the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from robustkit.findings.finding import ModelRecords, section_name
from robustkit.findings.fragile.ranking import RULE, FragileObjects, for_programs, fragile_rows, regions
from robustkit.findings.fragile.record import FragileRecord
from robustkit.findings.fragile.slices import Slices, any_slices
from robustkit.report.section import Chapter, Section

CHAPTER, TITLE = "fragile", "Fragile objects"


def fragile_files(
    models: Sequence[ModelRecords],
) -> tuple[list[tuple[str, list[str], list[list[Any]]]], dict[str, str]]:
    """The same tables for other programs.

    Returns:
        Name, headings and rows of a table of each model, and region files by name, where the sky is known.
    """
    tables: list[tuple[str, list[str], list[list[Any]]]] = []
    places: dict[str, str] = {}
    for one in models:
        if "fragile" in one.records:
            name = section_name("fragile", one, models)
            tables.append((name, *for_programs(*fragile_rows(one))))
            text = regions(one)
            places |= {f"{name}.reg": text} if text else {}
    return tables, places


def chapter(models: Sequence[ModelRecords]) -> Chapter:
    """The objects that flip most easily, and of which kind they are."""
    missing = tuple(one.why_missing("fragile") for one in models if "fragile" not in one.records)
    have: dict[str, FragileRecord] = {one.label: one.records["fragile"] for one in models if "fragile" in one.records}
    sections: list[Section] = [
        FragileObjects(one, section_name("fragile-objects", one, models))
        for one in models
        if one.label in have and have[one.label].right.any()
    ]
    if any_slices(list(have.values())):
        sections.append(Slices(have))
    text: tuple[str, ...] = ()
    if have:
        first = next(iter(have.values()))
        text = (
            f"The catalogue is {first.source}; it has {first.matched} of the {len(first.ids)} images."
            if first.source
            else "No catalogue is known for these images; --catalogue names a table with their ids, and what is known "
            "of each: places on the sky, magnitudes, sizes.",
            f"Order of the objects: {RULE}.",
        )
    folded = tuple(one.name for one in sections[1:] if isinstance(one, FragileObjects))
    return Chapter(CHAPTER, TITLE, text, tuple(sections), missing, folded)
