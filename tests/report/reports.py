"""A report of every kind of section, for any number of classes and models, and what both painters made of it."""

from __future__ import annotations

import base64

import numpy as np

from robustkit.findings.attack.flips import FlipCurves, SurvivalCurves, flip_curve
from robustkit.findings.attack.gallery import Exhibit, Gallery
from robustkit.findings.certify.vulnerability import Chances, Vulnerability, VulnerabilityMap
from robustkit.findings.clean.reliability import ReliabilityCurves
from robustkit.findings.distances.show import DistanceHistograms, Histogram
from robustkit.findings.latents.show import Canonical, CanonicalPicture
from robustkit.findings.maps.pictures import FlatMaps, MapPoints, SpaceMap
from robustkit.findings.sweep.curves import SweepCurve, SweepCurves, SweepGrid, SweepSheet
from robustkit.findings.windows.pairs import pair
from robustkit.findings.windows.pictures import ChurchWindows, WindowPicture
from robustkit.report import screen
from robustkit.report.palette import Looks, Meaning, make_palette
from robustkit.report.sections.forest import Forest
from robustkit.report.sections.matrix import Matrix
from robustkit.stats import kaplan_meier, reliability, wilson
from tests.embeddings import CLASSES, make_embeddings, make_side

CORNERS = np.array([[-1.1, -1.1], [1.1, -1.1], [1.1, 1.1], [-1.1, 1.1]])


def make_sections(classes=3, models=("mmd", "source")):
    """A section of every kind, models in another order from one to the next."""
    names = [f"class {k}" for k in range(classes)]
    palette, turned = make_palette(names), tuple(reversed(models))
    rows = [("accuracy", f"{m} on {d}", wilson(3, 7)) for m in models for d in ("Y10", "Y1")]
    means = {f"{m} on {d}": Meaning(model=m, domain=d) for m in models for d in ("Y10", "Y1")}
    counts = {m: np.arange(classes**2).reshape(classes, classes) for m in models}
    curves = [flip_curve(name, np.array([3.0, np.inf, 8.0]), 10) for name in ("random", "auto", "de")]
    histogram = Histogram("noise", "d_E", turned, [np.arange(9.0) ** (1 + i / 10) for i in range(len(models))])
    probabilities = np.eye(classes)[[0, 1, 0]] * 0.5 + 0.5 / classes
    return [
        Forest("recalls", "Recalls", "rate", rows, means=means),
        Matrix("confusion", "Confusion", counts, {m: c.sum(1) for m, c in counts.items()}, names, "predicted", "Said."),
        ReliabilityCurves({m: reliability(probabilities, [0, 1, 1], rng=np.random.default_rng(0)) for m in turned}),
        SweepCurves({m: make_sweep("psf", classes) for m in turned}, "Blur."),
        SweepGrid({m: [make_sweep("psf", classes)] for m in models}),
        SweepSheet([make_sweep("psf", classes), make_sweep("sky", classes)], names, models[0]),
        FlipCurves(dict.fromkeys(turned, curves)),
        SurvivalCurves({m: kaplan_meier([3, 10, 8], [True, False, True]) for m in models}, "de"),
        Chances({m: np.array([0.0, 0.5]) for m in turned}, 72, dict.fromkeys(models, 1)),
        Vulnerability([VulnerabilityMap(np.full((classes, 9, 9), 0.2), (3,) * classes, models[0])], names),
        Gallery([make_exhibit()], "the first", models[0]),
        Canonical([make_plane(classes)], palette, np.arange(40).astype(str), models[0], np.ones(40)),
        ChurchWindows([make_window(classes)], palette, "the first", "Axes.", [("a",)], ("id",), models[0]),
        FlatMaps([make_map(m, palette, 2) for m in turned], np.arange(40).astype(str), [("a",)], ("model",), "Said."),
        SpaceMap([make_map(m, palette, 3) for m in models], np.arange(40).astype(str)),
        DistanceHistograms([[histogram]], "Said.", [(1,)], ("n",)),
    ]


def make_pair(models=("source", "mmd")):
    """The same galaxies under two networks, which flip other ones of them."""
    found = make_embeddings()
    flips = [np.arange(len(found.ids)) % step > 0 for step in (5, 3)]
    sides = [make_side(found, some, model) for some, model in zip(flips, models, strict=True)]
    return pair(*sides, make_palette(CLASSES))


def make_sweep(name, classes=2, right=(9, 7, 5)):
    """A perturbation of two levels."""
    accuracy = wilson(np.array(right), np.full(len(right), 10))
    recall = wilson(np.full((classes, len(right)), 2), 4)
    middle, strip = np.zeros((3, len(right))), (np.zeros((8, 8, 3), dtype=np.uint8),) * len(right)
    levels = np.arange(1.0, len(right))
    return SweepCurve(name, "sigma", levels, accuracy, recall, "not reached", middle, middle, strip)


def make_exhibit(**more):
    """A flip."""
    picture = np.zeros((20, 20, 3), dtype=np.uint8)
    options = {
        "image_id": "a", "true": "spiral", "new": "merger", "before": 0.9, "after": 0.6, "clean": picture,
        "perturbed": picture, "row": (3,), "column": (4,), "change": np.array([1000.0, -50.0]),
        "sky": np.array([10.0, np.nan]), "bands": ("g", "r"), "unit": "electrons", "search": "de", "queries": 12,
    }  # fmt: skip
    return Exhibit(**{**options, **more})


def make_plane(classes=3):
    """A plane with a region, a boundary and 40 images, 10 of them without a twin."""
    rng = np.random.default_rng(0)
    clean, true = rng.uniform(-1, 1, (40, 2)), np.arange(40) % classes
    moved = clean + rng.normal(0, 0.2, (40, 2))
    moved[:10] = np.nan
    return CanonicalPicture(
        "one pixel", clean, moved, np.arange(40) > 30, true, [(k, CORNERS) for k in range(classes)], [CORNERS[:2]],
        CORNERS[0], CORNERS[2], ("axis 1", "axis 2"),
    )  # fmt: skip


def make_window(classes=3, **more):
    """A window whose left is class 0 and whose right is the last one."""
    left, right = CORNERS.copy(), CORNERS.copy()
    left[[1, 2], 0] = right[[0, 3], 0] = 0.2
    options = {
        "title": "spiral → merger", "notes": ["galaxy-1, angle 80°", "margin in this plane 1.2"], "extent": 1.1,
        "polygons": [(0, left), (classes - 1, right)], "boundaries": [np.array([[0.2, -1.1], [0.2, 1.1]])],
        "grid": None, "true": 0, "labels": ("one-pixel direction", "noise direction"),
        "marks": [("clean", "clean", 0.0, 0.0), ("attacked", "attacked", 1.0, 0.0), ("noisy", "noisy", 0.0, 1.0),
                  ("", "random", 0.5, 0.5)],
    }  # fmt: skip
    return WindowPicture(**{**options, **more})


def make_map(title, palette, dimensions):
    """40 images clean and noisy, two of them attacked, of every class in turn."""
    image = np.concatenate([np.arange(40), np.arange(40), [3, 4]])
    kind = np.repeat([0, 1, 2], [40, 40, 2])
    places = np.random.default_rng(0).normal(size=(82, dimensions))
    predicted = image % len(palette.class_names)
    return MapPoints(title, places, image, kind, predicted, np.array([3]), np.array([[0, 5]]), palette)


def painted(section, looks=None):
    """The figure of the screen; arrays that were written as bytes are arrays again."""
    spec = screen.paint(section if hasattr(section, "panels") else section.drawing(), looks or Looks())

    def read(value):
        if isinstance(value, dict) and "bdata" in value:
            values = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
            return values.reshape([int(n) for n in value["shape"].split(",")]) if "shape" in value else values
        if isinstance(value, dict):
            return {key: read(one) for key, one in value.items()}
        return [read(one) for one in value] if isinstance(value, list) else value

    return read(spec)


def shown(figure):
    """The traces of a figure that are no entry of its legend."""
    return [trace for trace in figure["data"] if list(trace.get("x", ())) != [None]]
