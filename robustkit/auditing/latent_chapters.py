"""From records of latents to the chapters of the page: head geometry, church windows, maps, distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robustkit.auditing.findings import Findings
from robustkit.errors import InputError
from robustkit.findings.distances.show import histograms
from robustkit.findings.distances.summary import caveats, clouds
from robustkit.findings.distances.tables import rows as distance_rows
from robustkit.findings.maps.record import LatentMap, lay_onto
from robustkit.findings.maps.show import flat_maps, space_map
from robustkit.findings.windows.pictures import canonical_pictures, window_pictures
from robustkit.findings.windows.summary import directions
from robustkit.latent.geometry import AffineHead, decision_space, margins
from robustkit.report.palette import make_palette
from robustkit.report.section import Chapter, Section
from robustkit.report.sections.distances import DistanceHistograms
from robustkit.report.sections.facts import Facts
from robustkit.report.sections.geometry import Canonical, ChurchWindows
from robustkit.report.sections.latent_maps import FlatMaps, SpaceMap


def geometry(models: Sequence[Findings]) -> Chapter:
    """What the head sees of a latent, and how far it is to its boundaries."""
    missing = [one.why_missing("latents") for one in models if one.latents is None]
    sections: list[Section] = []
    rows = []
    text = []
    for one in models:
        if one.latents is None:
            continue
        record = one.latents
        text += [f"{one.label}: {note}." for note in one.notes]
        head = record.head
        if not isinstance(head, AffineHead):
            text.append(f"{one.label}: the head is not affine, so there is no canonical window and no true margin.")
            continue
        found = margins(head, record.clean)
        right = record.clean_class == record.true
        for k, name in enumerate(one.class_names):
            mine = found.distance[record.true == k]
            if len(mine):
                ends = (f"{np.percentile(mine, q):.3g}" for q in (10, 50, 90))
                rows.append((one.label, name, len(mine), int(right[record.true == k].sum()), *ends))
        try:
            pictures = canonical_pictures(record)
        except InputError as error:
            text.append(f"{one.label}: {error}.")
            continue
        space = decision_space(head)
        text.append(
            f"{one.label}: of {record.clean.shape[1]} dimensions of the latent the head sees {space.basis.shape[1]}."
        )
        palette = make_palette(one.class_names)
        if not pictures:
            text.append(f"{one.label}: there is neither a flip nor noise to draw on the plane that decides.")
            continue
        name = _name("canonical-window", one, models)
        sections.append(Canonical(pictures, palette, record.ids, one.label, found.distance, name))
    if rows:
        sections.append(
            Facts(
                "margins",
                "Distance to the nearest boundary",
                "Exact, in the whole latent space, of the clean images of each true class. Latent units belong to one "
                "model and do not compare two.",
                ("model", "true class", "images", "right", "10% below", "median", "90% below"),
                rows,
            )
        )
    return Chapter("geometry", "Head geometry", tuple(text), tuple(sections), tuple(missing))


def windows(models: Sequence[Findings]) -> Chapter:
    """Slices through the latent space."""
    missing = tuple(one.why_missing("windows") for one in models if one.windows is None)
    sections: list[Section] = []
    for one in models:
        record = one.windows
        if record is None:
            continue
        axes = "; ".join(f"{name} is {words}" for name, words in directions(record).items())
        rows = [
            (
                str(record.ids[i]), record.class_names[record.true[i]], f"{record.angle[i]:.0f}",
                *(f"{x:.4g}" for x in record.crossing[i]), f"{record.plane_margin[i]:.4g}",
                f"{record.true_margin[i]:.4g}", *(f"{x:.3f}" for x in record.areas[i]),
            )
            for i in np.flatnonzero(record.made)
        ]  # fmt: skip
        columns = ["id", "true", "angle", "crossing along x", "along y", "margin in the plane", "in the whole space"]
        columns += [f"area of {name}" for name in record.class_names]
        spoken = (
            f"{one.label}: {int(record.made.sum())} of {len(record.ids)} images have a window ({record.method}). Axes: "
            f"{axes}."
        )
        name = _name("church-windows", one, models)
        pictures = window_pictures(record)
        palette = make_palette(one.class_names)
        rule = record.settings["shown"]
        sections.append(ChurchWindows(pictures, palette, rule, spoken, rows, columns, one.label, name))
    return Chapter("windows", "Church windows", (), tuple(sections), missing)


def maps(models: Sequence[Findings]) -> Chapter:
    """Maps of the latent space."""
    title = "Maps of the latent space"
    missing = tuple(one.why_missing("isomap") for one in models if one.isomap is None)
    have = [one for one in models if one.isomap is not None]
    if not have:
        return Chapter("maps", title, missing=missing)
    found: list[LatentMap] = []
    for one in have:
        assert one.isomap is not None
        found.append(lay_onto(found[0], one.isomap) if found else one.isomap)
    named = dict(zip([one.label for one in have], found, strict=True))
    rows = [
        (label, name, *(f"{kept[key]:.3f}" for key in _KEPT))
        for label, one in named.items()
        for name, kept in one.quality.items()
    ]
    rows += [(label, "latent space itself", "", "", "", f"{one.latent_hit:.3f}") for label, one in named.items()]
    scan = [
        (label, each["neighbours"], each["components"], *(f"{each[key]:.3f}" for key in _KEPT[:3]))
        for label, one in named.items()
        for each in one.scan
    ]
    said = " ".join(f"{label}: {_spoken(one)}" for label, one in named.items())
    palette = make_palette(have[0].class_names)
    flat = [points for one in found for points in flat_maps(one, palette)]
    ids = found[0].ids
    columns = ("model", "map", "trustworthiness", "continuity", "residual variance", "same class")
    sections: list[Section] = [
        FlatMaps(flat, ids, rows, columns, said),
        SpaceMap([space_map(one, palette) for one in found], ids),
        Facts(
            "neighbours",
            "Isomap against the number of neighbours",
            "Pieces of the neighbour graph before it was repaired, and what the map keeps.",
            ("model", "neighbours", "pieces", "trustworthiness", "continuity", "residual variance"),
            scan,
        ),
    ]
    return Chapter("maps", title, (), tuple(sections), missing)


def distances(models: Sequence[Findings]) -> Chapter:
    """How far perturbations move latents."""
    title = "Distances in the latent space"
    missing = tuple(one.why_missing("distances") for one in models if one.distances is None)
    have = [one for one in models if one.distances is not None]
    if not have:
        return Chapter("distances", title, missing=missing)
    # The base comes first, as in the papers' tables.
    found = [
        (one.label, one.distances, one.distances_summary)
        for one in reversed(have)
        if one.distances is not None and one.distances_summary is not None
    ]
    moved = [(label, row) for label, record, summary in found for row in distance_rows([(record, summary)])]
    if len(found) > 1:  # what compares models comes first
        moved.sort(key=lambda one: one[1][1].field != "reach")
    numbers = [
        (label, name, measure.name, "yes" if measure.invariant else "no", one.n,
         *(f"{x:.4g}" for each in (one.median, one.mean) for x in (each.value, each.low, each.high)),
         f"{one.standard_error:.3g}")
        for label, (name, measure, _, one) in moved
    ]  # fmt: skip
    columns = ("model", "perturbation", "measure", "comparable", "n", "median", "median: low", "median: high",
               "mean", "mean: low", "mean: high", "standard error")  # fmt: skip
    said = " ".join(
        f"{label}: noisy against one pixel, d_E: {summary.between}." for label, _, summary in found if summary.between
    )
    rows = histograms([record for _, record, _ in found])
    sections: list[Section] = (
        [DistanceHistograms(rows, said, numbers, columns)]
        if rows
        else [Facts("distance-table", "How far latents move", f"Too few moved to be drawn. {said}", columns, numbers)]
    )
    bins = [
        (label, each.bins, f"{each.js:.3f}", f"{each.null_mean:.3f}", f"{each.p:.3g}")
        for label, _, summary in reversed(found)
        if summary.between is not None
        for each in summary.between.sensitivity
    ]
    if bins:
        sections.append(
            Facts(
                "js-bins",
                "JS distance against bins",
                "Jensen-Shannon distance (base 2) of d_E under noise and under one pixel, beside its mean when both "
                "are one distribution: that null is far above 0.",
                ("model", "bins", "JS", "null", "p"),
                bins,
            )
        )
    tests = [(label, str(test)) for label, _, summary in reversed(found) for test in clouds(summary)]
    if tests:
        said = "Are clean and noisy latents one cloud? Tests of the whole clouds, image by image."
        sections.append(Facts("clouds", "Clouds", said, ("model", "clean against noisy latents"), tests))
    texts = tuple(
        f"{label}: {line}." for label, record, summary in reversed(found) for line in caveats(record, summary)
    )
    return Chapter("distances", title, texts, tuple(sections), missing)


_KEPT = ("trustworthiness", "continuity", "residual_variance", "neighbourhood_hit")


def _spoken(one: LatentMap) -> str:
    counts = np.bincount(one.kind, minlength=3)
    pieces = (
        f" The neighbour graph fell into {one.components} pieces; they were joined by dashed lines, which are no paths "
        "along the data."
        if one.components > 1
        else ""
    )
    laid = f" Laid onto the first with disparity {one.disparity['flat']:.3f} of 1." if one.disparity else ""
    return (
        f"{counts[0]} clean and {counts[1]} noisy latents fitted with {one.settings['neighbours']} neighbours, "
        f"{counts[2]} attacked ones projected.{pieces}{laid}"
    )


def _name(name: str, one: Findings, models: Sequence[Findings]) -> str:
    return name if one is models[0] else f"{name}-base"
