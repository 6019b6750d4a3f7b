"""The objects in the order in which they flip, as a table, and as files for other programs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np

from robustkit.data.columns import magnitude_of, sky_places
from robustkit.findings.finding import ModelRecords
from robustkit.findings.fragile.record import FragileRecord
from robustkit.report.section import Cell, Table

RULE = (
    "first the objects that a known pixel flips, the smallest change first; then those of which nothing is known, "
    "and those that no pixel flips, the smallest margin first"
)
_ALADIN = "https://aladin.cds.unistra.fr/AladinLite/"
_LEGACY = "https://www.legacysurvey.org/viewer"
_IN_REGIONS = 100
_RADIUS = 10.0  # of the circle around an object in DS9, arcsec


def aladin(ra: float, dec: float) -> str:
    """The address at which Aladin Lite shows a place on the sky.

    Args:
        ra: Right ascension, degrees.
        dec: Declination, degrees.

    Examples:
        >>> aladin(10.5, -2.25)
        'https://aladin.cds.unistra.fr/AladinLite/?target=10.500000%20-2.250000&fov=0.02'
    """
    return f"{_ALADIN}?{urlencode({'target': f'{ra:.6f} {dec:+.6f}', 'fov': '0.02'}, quote_via=quote)}"


def legacy(ra: float, dec: float) -> str:
    """The address at which the viewer of the Legacy Surveys shows a place on the sky; arguments as for `aladin`."""
    return f"{_LEGACY}?{urlencode({'ra': f'{ra:.6f}', 'dec': f'{dec:.6f}', 'layer': 'ls-dr10', 'zoom': 16})}"


def order_of(one: ModelRecords) -> np.ndarray:
    """Positions of the correctly classified images, those that flip most easily first, by `RULE`."""
    record: FragileRecord = one.records["fragile"]
    safe = np.zeros(len(record.ids), bool) if one.certificate is None else one.certificate.certified
    least = _least(record)
    rank = np.where(record.flipped, 0, np.where(safe, 2, 1))
    margin = np.where(np.isfinite(record.margin), record.margin, np.inf)
    order = np.lexsort((record.ids, margin, np.where(np.isfinite(least), least, np.inf), rank))
    return order[record.right[order]]


def _least(record: FragileRecord) -> np.ndarray:
    """The size of the least change, in sigmas of the sky or, where these are unknown, in its own unit; shape (N,)."""
    if np.isfinite(record.sigmas).any():
        return record.sigmas
    return np.abs(record.change).max(1)


@dataclass(frozen=True, eq=False)
class FragileObjects:
    """The objects of one model in the order in which they flip.

    Attributes:
        found: The model and its records.
        name: Of its files.
    """

    found: ModelRecords
    name: str

    @property
    def record(self) -> FragileRecord:
        """How easily they flip."""
        return self.found.records["fragile"]

    @property
    def title(self) -> str:
        """Whose objects."""
        return f"Fragile objects of {self.found.label}"

    def summary(self) -> str:
        """The most fragile one, and the order."""
        record, order = self.record, order_of(self.found)
        wrong = int((~record.right).sum())
        first = ""
        if len(order) and record.flipped[order[0]]:
            i = order[0]
            first = f"{record.ids[i]} flips most easily: {self._said(i)}. "
        elif len(order):
            first = "No pixel is known to flip any object. "
        left = f" {wrong} that are misclassified without any change are left out." if wrong else ""
        return (
            f"{first}The least change is the smallest fraction of a known flip that flips too, tried on the network "
            f"itself; other pixels may need less.{left}"
        )

    def _said(self, i: int) -> str:
        record = self.record
        if not np.isfinite(record.share[i]):
            return "by the whole change that was found, and by no part of it"
        pixel = f"row {record.row[i]}, column {record.column[i]}"
        if np.isfinite(record.sigmas[i]):
            return f"{record.sigmas[i]:.3g} sky σ in one band are enough at {pixel}"
        return f"{np.abs(record.change[i]).max():.3g} of {record.unit} are enough at {pixel}"

    def table(self) -> Table:
        """A row for each object."""
        columns, rows = fragile_rows(self.found)
        return Table(columns, rows)

    def drawing(self) -> None:
        """Nothing is drawn."""
        return None


def fragile_rows(one: ModelRecords) -> tuple[list[str], list[list[Any]]]:
    """The table of fragile objects.

    Returns:
        Headings, and a row for each correctly classified object in the order of `RULE`.
    """
    record: FragileRecord = one.records["fragile"]
    places, magnitude = sky_places(record.names, record.values), magnitude_of(record.names)
    pictured = 0 if one.pictures is None else len(one.pictures.small)
    columns = ["rank", "id"]
    columns += ["Aladin Lite", "Legacy Surveys", "RA", "Dec"] if places else []
    columns += [record.names[magnitude]] if magnitude is not None else []
    columns += ["class", "becomes", "margin", "least change (sky sigmas)", "least change in each band", "row", "column"]
    columns += ["faults survived", "chance of a random extreme pixel"]
    rows: list[list[Any]] = []
    for rank, i in enumerate(order_of(one).tolist(), 1):
        row: list[Any] = [rank, Cell(str(record.ids[i]), image=i if i < pictured else -1)]
        if places:
            ra, dec, name = float(places[0][i]), float(places[1][i]), str(record.ids[i])
            known = bool(np.isfinite(ra) and np.isfinite(dec))
            row += [Cell("Aladin", aladin(ra, dec), name), Cell("Legacy", legacy(ra, dec), name)] if known else ["", ""]
            row += [_number(ra, "{:.6f}"), _number(dec, "{:.6f}")]
        if magnitude is not None:
            row.append(_number(float(record.values[i, magnitude])))
        row += [one.class_names[one.about["true"][i]], _becomes(one, i), _number(float(record.margin[i]), "{:.3f}")]
        row += [_number(float(record.sigmas[i]), "{:.3g}"), _bands(record, i)]
        row += [int(record.row[i]), int(record.column[i])] if record.row[i] >= 0 else ["", ""]
        row += [_survived(one, i), _chance(one, i)]
        rows.append(row)
    return columns, rows


def regions(one: ModelRecords, most: int = _IN_REGIONS) -> str:
    """A DS9 region file of the most fragile objects; empty where nobody knows their places on the sky.

    Args:
        one: The model and its records.
        most: How many objects.
    """
    record: FragileRecord = one.records["fragile"]
    places = sky_places(record.names, record.values)
    if places is None:
        return ""
    lines = ["# Region file format: DS9 version 4.1", "global color=magenta width=2", "fk5"]
    for rank, i in enumerate(order_of(one)[:most].tolist(), 1):
        ra, dec = (float(values[i]) for values in places)
        if np.isfinite(ra) and np.isfinite(dec):
            name = "".join(
                "_" if letter in "{}\\\"'" or not letter.isprintable() else letter for letter in record.ids[i]
            )
            lines.append(f'circle({ra:.6f},{dec:.6f},{_RADIUS:g}") # text={{{rank} {name}}}')
    return "\n".join(lines) + "\n"


def for_programs(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[list[str], list[list[Any]]]:
    """The same table with names that programs take, and with addresses in place of links.

    Examples:
        >>> for_programs(["least change (sky sigmas)"], [[Cell("Aladin", "https://a")]])
        (['least_change_sky_sigmas'], [['https://a']])
    """
    names = [re.sub(r"\W+", "_", name).strip("_") for name in columns]
    return names, [[cell.plain if isinstance(cell, Cell) else cell for cell in row] for row in rows]


def _number(value: float, form: str = "{:.6g}") -> str:
    return form.format(value) if np.isfinite(value) else ""


def _change(value: float) -> str:
    """Three significant digits, without powers of ten."""
    return f"{float(f'{value:.3g}'):+,.0f}" if abs(value) >= 100 else f"{value:+.3g}"


def _bands(record: FragileRecord, i: int) -> str:
    if not np.isfinite(record.change[i]).all():
        return ""
    changes = zip(record.bands, record.change[i].tolist(), strict=True)
    parts = [f"{band} {_change(value)}" for band, value in changes if value != 0]
    return f"{', '.join(parts)} {record.unit}"


def _becomes(one: ModelRecords, i: int) -> str:
    if one.attack is None:
        return ""
    flips = np.flatnonzero(one.attack.flipped & (one.attack.image == i))
    return one.class_names[one.attack.new_class[flips[0]]] if len(flips) else ""


def _survived(one: ModelRecords, i: int) -> str:
    return "" if one.sweep is None else f"{one.sweep.right[:, i].sum():.3g} of {len(one.sweep.right)}"


def _chance(one: ModelRecords, i: int) -> str:
    if one.certificate is None or not one.certificate.complete[i]:
        return ""
    return f"{one.certificate.chance_low[i]:.3g}"
