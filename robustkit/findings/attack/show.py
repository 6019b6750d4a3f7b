"""An attack drawn, and what a run of it leaves in its folder: the record, a table, a summary, pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robustkit.findings.attack.flips import FlipCurves, flip_curve
from robustkit.findings.attack.gallery import FlipPicture, draw_flip, draw_flips
from robustkit.findings.attack.record import RECORD, AttackRecord
from robustkit.findings.writing import file_name, write_finding
from robustkit.report.blocks import Drawing
from robustkit.report.saving import draw_on
from robustkit.tables import NamedWriter, digits

if TYPE_CHECKING:
    from robustkit.data import Stretch
    from robustkit.findings.attack.summary import AttackResult

TABLE, CURVE, PICTURES = "attacks.csv", "flips-by-queries", "pictures"
PICTURE_RULE = (
    "for each pair of true and new class, most frequent first, the flip with the median number of queries; "
    "at most {most}"
)
_MOST_PICTURES = 12


def write_attack(folder: Path, result: AttackResult, about: dict[str, Any]) -> list[str]:
    """Writes everything about an attack, and returns lines for the terminal; see `write_finding`."""
    record = result.record
    drawings = {CURVE: _curves(record)}
    drawings |= {f"{PICTURES}/{_picture_name(record, a)}": draw_flip(_picture(result, a)) for a in chosen_flips(record)}
    files = [f"{Path(name).name}.png" for name in list(drawings)[1:]]
    pictures = {"rule": PICTURE_RULE.format(most=_MOST_PICTURES), "files": files}
    last = write_finding(
        folder,
        # The costs stand in the summary: with them, no two runs would leave the same record.
        records={RECORD: replace(record, costs={})},
        texts={TABLE: result.table()},
        drawings=drawings,
        kinds=("png",),
        summary={**result.summary(), **about, "settings": record.settings, "costs": record.costs, "pictures": pictures},
    )
    return [result.describe(), last]


def table(
    record: AttackRecord,
    *,
    bands: tuple[str, ...],
    stretch: Stretch | None,
    units: str,
    disagreement: tuple[np.ndarray, np.ndarray] | None = None,
) -> str:
    """The attempts as CSV: a line for each pixel of each attempt, and one for each image that was not attacked.

    Values before and after stand in network input and, where the stretch can be inverted, in calibrated units: those of
    the whole pixel, because some stretches mix bands.

    Args:
        record: What the attack found.
        bands: Names of the C bands.
        stretch: From calibrated units to network input; `None` where images are network input as they are.
        units: Of the images.
        disagreement: Of the members of an ensemble, of the clean images and of the flips; see `AttackResult`.
    """
    unit = "calibrated" if units == "unknown" else units
    inverse = stretch if stretch is not None and stretch.invertible else None
    scales = ["", f"_{unit}"] if inverse is not None else [""]
    columns = ["id", "true", "clean", "search", "target", "flipped", "new", "generations", "queries", "unproved"]
    columns += ["not_finite", "stand_in_queries", "gradient_passes", "partial_passes", "pixel", "row", "column"]
    columns += [f"{band}_{when}{scale}" for scale in scales for when in ("before", "after") for band in bands]
    columns += ["p_true_before", "p_true_after", "p_new_before", "p_new_after", "latent_distance"]
    columns += [] if disagreement is None else ["disagreement_before", "disagreement_after"]
    text = io.StringIO()
    writer = NamedWriter(text, columns)
    writer.writeheader()
    names = [*record.class_names, "out of memory", "not finite"]  # -1 is the last one, -2 the one before it
    attacked = set(record.image.tolist())
    for i in range(len(record.ids)):
        line = {"id": record.ids[i], "true": names[record.true[i]], "clean": names[record.clean_class[i]]}
        line["p_true_before"] = digits(record.clean_probabilities[i, record.true[i]])
        if disagreement is not None:
            line["disagreement_before"] = digits(disagreement[0][i])
        if i not in attacked:
            writer.writerow(line)
        for a in np.flatnonzero(record.image == i).tolist():
            after = {}
            if disagreement is not None and record.flipped[a]:
                after["disagreement_after"] = digits(disagreement[1][a])
            writer.writerows(line | after | more for more in _attempt_lines(record, a, names, bands, inverse, unit))
    return text.getvalue()


def _attempt_lines(
    record: AttackRecord, a: int, names: list[str], bands: tuple[str, ...], inverse: Any, unit: str
) -> Iterator[dict[str, Any]]:
    line: dict[str, Any] = {
        "search": record.searches[record.search[a]],
        "target": names[record.target[a]] if record.target[a] >= 0 else "",
        "flipped": int(record.flipped[a]),
        "generations": record.generations[a],
        "queries": record.queries[a],
        "unproved": record.unproved[a],
        "not_finite": record.not_finite[a],
        "stand_in_queries": record.stand_in[a],
        "gradient_passes": record.gradient[a],
        "partial_passes": record.partial[a],
    }
    if not record.flipped[a]:
        yield line
        return
    import torch  # here, because drawing a page from records needs none

    i, new = record.image[a], record.new_class[a]
    line |= {
        "new": names[new],
        "p_true_after": digits(record.probabilities[a, record.true[i]]),
        "p_new_before": digits(record.clean_probabilities[i, new]),
        "p_new_after": digits(record.probabilities[a, new]),
        "latent_distance": digits(record.latent_distance[a]),
    }
    for pixel in range(record.row.shape[1]):
        place = {"pixel": pixel, "row": record.row[a, pixel], "column": record.column[a, pixel]}
        for when, values in (("before", record.before[a, pixel]), ("after", record.after[a, pixel])):
            place |= {f"{band}_{when}": digits(x) for band, x in zip(bands, values, strict=True)}
            if inverse is not None:
                calibrated = inverse.inverse(torch.from_numpy(values)[:, None, None])[:, 0, 0].tolist()
                place |= {f"{band}_{when}_{unit}": digits(x) for band, x in zip(bands, calibrated, strict=True)}
        yield line | place


def plot(record: AttackRecord, on: Any = None) -> Any:
    """Draws the share of images flipped against the number of queries, a curve for each search.

    Args:
        record: The attack.
        on: A Matplotlib axes or figure; by default a new figure.

    Returns:
        The figure.
    """
    return draw_on(_curves(record), on)


def _curves(record: AttackRecord) -> Drawing:
    curves = []
    for name in record.searches:
        end = int(record.queries[record.of_search(name)].max(initial=1))
        curves.append(flip_curve(name, record.queries_to_flip(name)[record.correct], end))
    return FlipCurves({"": curves}).drawing()


def draw_gallery(result: AttackResult, n: int, on: Any = None) -> Any:
    """Draws the first flips by `PICTURE_RULE`, a row each: clean, perturbed, difference."""
    chosen = chosen_flips(result.record)[:n]
    return draw_on(draw_flips([_picture(result, a) for a in chosen]), on)


def _picture_name(record: AttackRecord, a: int) -> str:
    i = int(record.image[a])
    names = str(record.ids[i]), record.class_names[int(record.true[i])], record.class_names[int(record.new_class[a])]
    return "{}-{}-to-{}".format(*map(file_name, names))


def _picture(result: AttackResult, a: int) -> FlipPicture:
    """A flip to be drawn."""
    record, bands = result.record, result.sample.checkpoint.card.bands
    i, new = int(record.image[a]), int(record.new_class[a])
    true, became = record.class_names[int(record.true[i])], record.class_names[new]
    clean = result.sample.inputs[slice(i, i + 1)][0].numpy()
    perturbed = clean.copy()
    row, column = tuple(record.row[a].tolist()), tuple(record.column[a].tolist())
    for pixel, value in enumerate(record.after[a]):
        perturbed[:, row[pixel], column[pixel]] = value
    search = record.searches[record.search[a]]
    where = ", ".join(f"row {r}, column {c}" for r, c in zip(row, column, strict=True))
    return FlipPicture(
        clean=clean,
        perturbed=perturbed,
        row=row,
        column=column,
        bands=bands,
        before=f"{true}, p = {record.clean_probabilities[i, record.true[i]]:.3f}",
        after=f"{became}, p = {record.probabilities[a, new]:.3f}",
        title=f"{record.ids[i]}: {where}; {_change(result, a)} ({search}, query {record.queries[a]:,})",
    )


def _change(result: AttackResult, a: int) -> str:
    """From what to what the first pixel goes: in the unit of the images where the stretch leads back to it."""
    import torch  # here, because drawing a page from records needs none

    sample, record = result.sample, result.record
    stretch = sample.checkpoint.stretch
    ends = [torch.from_numpy(values[a, 0]) for values in (record.before, record.after)]
    unit = ""
    if stretch is not None and stretch.invertible and sample.whole.units == "electron":
        unit = " electrons"
        ends = [stretch.inverse(end[:, None, None])[:, 0, 0] for end in ends]
    said = [[_short(value) for value in end.tolist()] for end in ends]
    changes = zip(sample.checkpoint.card.bands, *said, strict=True)
    return "; ".join(f"{band} {x} to {y}" for band, x, y in changes) + unit


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def chosen_flips(record: AttackRecord) -> list[int]:
    """The attempts to draw, by `PICTURE_RULE`; ties in the order of the record."""
    flips = np.flatnonzero(record.flipped)
    pairs: dict[tuple[int, int], list[int]] = {}
    for a in flips.tolist():
        pairs.setdefault((int(record.true[record.image[a]]), int(record.new_class[a])), []).append(a)
    frequent = sorted(pairs.values(), key=len, reverse=True)[:_MOST_PICTURES]
    return [sorted(pair, key=lambda a: int(record.queries[a]))[(len(pair) - 1) // 2] for pair in frequent]
