"""Certificates drawn: what a run of them leaves in its folder, and their part of the chapter on single pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from robustkit.findings.attack.chapter import CHAPTER, TITLE
from robustkit.findings.certify.record import RECORD, CertificateRecord
from robustkit.findings.certify.summary import describe, describe_bounds, describe_flagged, summary, table
from robustkit.findings.certify.vulnerability import Chances, Vulnerability, VulnerabilityMap
from robustkit.findings.finding import ModelRecords
from robustkit.findings.writing import write_finding
from robustkit.report.blocks import Drawing
from robustkit.report.saving import draw_on
from robustkit.report.section import Chapter, Section

TABLE, MAPS = "certificates.csv", "vulnerability"


def write_certificates(folder: Path, record: CertificateRecord, about: dict[str, Any]) -> list[str]:
    """Writes everything about certificates, and returns lines for the terminal; see `write_finding`."""
    last = write_finding(
        folder,
        # How long it took stands in the summary: with it, no two runs would leave the same record.
        records={RECORD: replace(record, seconds=0.0)},
        texts={TABLE: table(record)},
        drawings={MAPS: _maps(record)},
        kinds=("png",),
        summary={**summary(record), **about},
    )
    return [describe(record), last]


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
    return Vulnerability([VulnerabilityMap(flips / options, counts, "")], record.class_names).drawing()


def chapter(models: Sequence[ModelRecords]) -> Chapter:
    """What the complete search says, in the chapter of the attack."""
    missing = [one.why_missing("certify") for one in models if one.certificate is None]
    tried = [(one, one.certificate) for one in models if one.certificate is not None]
    sections: list[Section] = []
    whole = {one.label: record.chance_low[record.complete] for one, record in tried if record.complete.any()}
    if whole:
        certified = {one.label: int(record.certified.sum()) for one, record in tried}
        sections.append(Chances(whole, tried[0][1].cells, certified))
    maps = []
    for one, record in tried:
        if not record.complete.any():
            continue
        flips, _ = record.class_maps()
        options = record.cells // flips[0].size
        counts = [int((record.correct & (record.labels == k)).sum()) for k in range(len(one.class_names))]
        maps.append(VulnerabilityMap(flips / options, counts, one.label))
    if maps:
        first = tried[0][0]
        sections.append(Vulnerability(maps, first.class_names, float(first.about.get("pixel_scale") or 0.0)))
    text = []
    for one, record in tried:
        broken = int((record.not_finite > 0).sum())
        if broken:
            text.append(
                f"{one.label}: in the complete search {int(record.not_finite.sum()):,} cells of {broken} images give "
                "output that is not finite: no flips, and these images are not certified."
            )
        if record.flagged.any():
            text.append(f"{one.label}: {describe_flagged(record)}.")
        if record.too_near.any():
            text.append(
                f"{one.label}: {int(record.too_near.sum())} images are flipped by no cell, but some cell comes nearer "
                "to the boundary than rounding can resolve; they are not certified."
            )
        if record.sampled.any():
            text.append(f"{one.label}: {describe_bounds(record)}.")
    return Chapter(CHAPTER, TITLE, tuple(text), tuple(sections), tuple(missing))
