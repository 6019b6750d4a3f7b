"""Certificates drawn, and what a run of them leaves in its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from robustkit.files import jsonable, write_json, write_text
from robustkit.findings.certify.record import RECORD, CertificateRecord
from robustkit.findings.certify.summary import describe, summary, table
from robustkit.report.blocks import Drawing
from robustkit.report.saving import draw_on, save_drawing
from robustkit.report.sections.vulnerability import Vulnerability

TABLE, SUMMARY, MAPS = "certificates.csv", "summary.json", "vulnerability.png"


def write_certificates(folder: Path, record: CertificateRecord, about: dict[str, Any]) -> list[str]:
    """Writes everything about certificates; `summary.json` comes last, so where it is the rest is whole.

    Args:
        folder: An existing folder.
        record: What was found.
        about: What else the summary says, as JSON values.

    Returns:
        Lines for the terminal.
    """
    # How long it took stands in the summary: with it, no two runs would leave the same record.
    replace(record, seconds=0.0).save(folder / RECORD)
    write_text(folder / TABLE, table(record))
    save_drawing(_maps(record), folder, Path(MAPS).stem, kinds=("png",))
    write_json(folder / SUMMARY, {**jsonable(summary(record)), **about})
    return [describe(record), f"everything is in {folder}, the numbers in {folder / SUMMARY}"]


def plot(record: CertificateRecord, on: Any = None) -> Any:
    """Draws the share of options of each pixel that flip an image, averaged over the correct images of each class.

    Args:
        record: The certificates.
        on: A Matplotlib axes or figure; by default a new figure.

    Returns:
        The figure.
    """
    return draw_on(_maps(record), on)


def _maps(record: CertificateRecord) -> Drawing:
    flips, _ = record.class_maps()
    counts = [int((record.correct & (record.labels == k)).sum()) for k in range(len(record.class_names))]
    options = record.cells // flips[0].size
    return Vulnerability(flips / options, counts, record.class_names, "").drawing()
