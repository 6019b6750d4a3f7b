"""What a finding leaves in its folder: records, tables, drawings and, last of all, a summary."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustkit.files import jsonable, own_folder, write_json, write_text
from robustkit.records import Record
from robustkit.report.blocks import Drawing
from robustkit.report.saving import save_drawing
from robustkit.runs.folder import SUMMARY

KINDS = ("png", "pdf")  # of drawings
_MOST_BYTES = 60  # of a part of a file's name: three fit into the 255 that a file system takes


def write_finding(
    folder: Path,
    *,
    records: Mapping[str, Record],
    texts: Mapping[str, str],
    summary: Mapping[str, Any],
    drawings: Mapping[str, Drawing] | None = None,
    kinds: tuple[str, ...] = KINDS,
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


def file_name(name: str) -> str:
    """A name of an image or class as a part of a file name: at most 60 bytes, and another for every other name.

    Examples:
        >>> file_name("galaxy-7"), file_name("galaxy 7")
        ('galaxy-7', 'galaxy_7~d8ff50')
    """
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
    if plain == name and len(name.encode()) <= _MOST_BYTES:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:6]
    return f"{plain.encode()[: _MOST_BYTES - 7].decode(errors='ignore')}~{digest}"
