"""What a finding leaves in its folder: records, tables, drawings and, last of all, a summary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustkit.files import jsonable, own_folder, write_json, write_text
from robustkit.records import Record
from robustkit.report.blocks import Drawing
from robustkit.report.saving import save_drawing
from robustkit.runs.folder import SUMMARY


def write_finding(
    folder: Path,
    *,
    records: Mapping[str, Record],
    texts: Mapping[str, str],
    summary: Mapping[str, Any],
    drawings: Mapping[str, Drawing] | None = None,
    kinds: tuple[str, ...] = ("png", "pdf"),
) -> str:
    """Writes a finding; `summary.json` comes last, so where it is the rest is whole.

    Args:
        folder: An existing folder.
        records: By the names of their files.
        texts: Tables, likewise.
        summary: What `summary.json` says; what is not finite becomes null.
        drawings: By the names of their files, without the suffix; one folder deep at most.
        kinds: Suffixes of the drawings.

    Returns:
        A line for the terminal.
    """
    for name, record in records.items():
        record.save(folder / name)
    for name, text in texts.items():
        write_text(folder / name, text)
    for name, drawing in (drawings or {}).items():
        path = folder / name
        own_folder(path.parent)
        save_drawing(drawing, path.parent, path.name, kinds=kinds)
    write_json(folder / SUMMARY, jsonable(summary))
    return f"everything is in {folder}, the numbers in {folder / SUMMARY}"
