"""The figures of the papers, and one more: all methods side by side, one mark per training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from robustkit.audit.distance_files import histograms
from robustkit.audit.isomap import flat_maps, space_map
from robustkit.audit.window_pictures import window_pictures
from robustkit.findings.distances.summary import DistanceSummary
from robustkit.report.palette import make_palette
from robustkit.report.section import PAGE, Section, Table
from robustkit.report.sections.distances import DistanceHistograms
from robustkit.report.sections.geometry import ChurchWindows
from robustkit.report.sections.latent_maps import FlatMaps, SpaceMap
from robustkit.report.style import colour
from robustkit.reproduce.attacks import COMPLETE
from robustkit.reproduce.latents import SIDES
from robustkit.reproduce.papers import SOURCE, TARGET, Paper
from robustkit.reproduce.results import Drawn, NetworkStudy, Pair
from robustkit.training.figures import draw_bars, draw_roc


@dataclass(frozen=True, eq=False)
class ScoreBars:
    """Figure 1 of DA20: scores as paired bars above ROC curves.

    Attributes:
        methods: Methods to draw.
    """

    networks: Sequence[NetworkStudy]
    methods: Sequence[str]
    name: str = "scores"
    title: str = "Scores and ROC curves"

    def summary(self) -> str:
        """How to read the drawing."""
        return (
            "Test images of the source dashed and open, of the target solid; means over trainings, bars with their "
            "standard deviation. A Brier score is better when it is lower. With three classes the ROC curve is the "
            "mean of each class against the rest."
        )

    def table(self) -> Table:
        """The means."""
        columns = ("network", "training", "domain", "accuracy", "precision", "recall", "F1", "Brier", "AUC")
        keys = ("accuracy", "precision_weighted", "recall_weighted", "f1_weighted", "brier", "auc")
        rows = [
            (one.network, row.method, row.domain, *(f"{row.mean[key]:.3f}" for key in keys))
            for one in self.networks
            for row in one.rows
            if row.method in self.methods
        ]
        return Table(columns, rows)

    def interactive(self) -> None:
        """None; the printed one is shown."""
        return None

    def draw(self) -> Figure:
        """A column for each network."""
        figure = Figure(figsize=(PAGE * 1.6, 8.2), layout="constrained")
        axes = figure.subplots(2, len(self.networks), squeeze=False, height_ratios=(1.0, 1.15))
        for column, one in enumerate(self.networks):
            rows = [row for row in one.rows if row.method in self.methods]
            draw_bars(rows, axes[0, column]).set_title(one.network)
            draw_roc(rows, axes[1, column])
        return figure


@dataclass(frozen=True, eq=False)
class Methods:
    """Accuracy on both domains and the flip rate of every training, method by method.

    Attributes:
        domains: The paper's names for source and target.
    """

    network: NetworkStudy
    domains: tuple[str, str]

    @property
    def name(self) -> str:
        """Name of the files."""
        return f"all-methods-{self.network.network}"

    @property
    def title(self) -> str:
        """Heading of the section."""
        return f"Every training: {self.network.network}"

    def summary(self) -> str:
        """How to read the drawing."""
        return (
            f"One mark per training, a line at the mean: accuracy on {self.domains[0]} open, on "
            f"{self.domains[1]} filled; on the right, the share of correctly classified images that one pixel flips."
        )

    def table(self) -> Table:
        """Every training."""
        rows = []
        for method in self.network.methods:
            scores = [self.network.scores(method, domain) for domain in (SOURCE, TARGET)]
            rates = self.network.flip_rates(COMPLETE, method, "complete")
            for seed in sorted(scores[0]):
                values = [one.get(seed) for one in (*scores, rates)]
                rows.append((method, seed, *("" if value is None else f"{value:.4f}" for value in values)))
        return Table(("training", "seed", *(f"accuracy, {name}" for name in self.domains), "flipped"), rows)

    def interactive(self) -> None:
        """None; the printed one is shown."""
        return None

    def draw(self) -> Figure:
        """Two panels with a line for each method."""
        methods = self.network.methods
        rates = [self.network.flip_rates(COMPLETE, method, "complete") for method in methods]
        panels = 2 if any(rates) else 1
        figure = Figure(figsize=(PAGE, 0.9 + 0.3 * len(methods)), layout="constrained")
        axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
        for y, method in enumerate(methods):
            for domain, name, filled in ((SOURCE, self.domains[0], False), (TARGET, self.domains[1], True)):
                self._marks(axes[0], y, self.network.scores(method, domain), name, filled, 0 if not filled else 1)
            if panels == 2:
                self._marks(axes[1], y, rates[y], "", True, 2)
        names = {"source": "source only", "oracle": "ORACLE"}
        axes[0].set_yticks(range(len(methods)), [names.get(method, method) for method in methods])
        axes[0].set_ylim(len(methods) - 0.5, -0.5)
        axes[0].set_xlabel("accuracy on test images")
        handles, labels = axes[0].get_legend_handles_labels()
        once = dict(zip(labels, handles, strict=True))
        figure.legend(once.values(), once.keys(), loc="outside upper left", ncols=2, frameon=False)
        if panels == 2:
            axes[1].set_xlabel("flipped by one pixel (complete search)")
        for ax in axes:
            ax.grid(axis="y", color="0.9", lw=0.6)
            ax.set_axisbelow(True)
        return figure

    @staticmethod
    def _marks(ax: Any, y: int, scores: dict[int, float], name: str, filled: bool, series: int) -> None:
        values = np.array(list(scores.values()))
        if not len(values):
            return
        own = colour(series)
        ax.plot(
            values, np.full(len(values), y), "o", ms=4.5, color=own, markerfacecolor=own if filled else "white",
            label=name, alpha=0.9,
        )  # fmt: skip
        ax.plot([values.mean()] * 2, [y - 0.28, y + 0.28], "-", lw=1.6, color=own)


def latent_sections(paper: Paper, network: NetworkStudy) -> list[Section]:
    """Figures 3 to 6 of AD22: windows and maps of the first seed, distances of the first seed."""
    drawn, pairs = network.drawn, network.pairs
    sections = (
        [] if drawn is None else [*_windows(paper, network.network, drawn), *_maps(paper, network.network, drawn)]
    )
    return [*sections, *_histograms(paper, network.network, *next(iter(pairs.items())))] if pairs else sections


def _windows(paper: Paper, network: str, drawn: Drawn) -> list[Section]:
    palette, sections = make_palette(drawn.maps[0].class_names, "paper"), list[Section]()
    place = paper.places.get(("windows", network))
    columns = ("id", "true", "crossing along x", "along y", "margin in the plane", "in the whole space")
    for side, one, model in zip(SIDES, drawn.windows, drawn.maps, strict=True):
        said = (
            f"{model.model}: {int(one.made.sum())} of {len(one.ids)} images have a window; noisy twins are the same "
            "galaxies on the target."
        )
        rows = [
            (str(one.ids[i]), one.class_names[one.true[i]], *(f"{x:.3g}" for x in one.crossing[i]),
             f"{one.plane_margin[i]:.3g}", f"{one.true_margin[i]:.3g}")
            for i in one.shown.tolist()
        ]  # fmt: skip
        name = f"{model.model} ({place})" if place else model.model
        pictures = window_pictures(one)
        sections.append(
            ChurchWindows(pictures, palette, drawn.rule, said, rows, columns, name, f"windows-{side}-{network}")
        )
    return sections


def _maps(paper: Paper, network: str, drawn: Drawn) -> list[Section]:
    palette = make_palette(drawn.maps[0].class_names, "paper")
    flat = [points for one in drawn.maps for points in flat_maps(one, palette)]
    kept = [
        (one.model, what, f"{quality['trustworthiness']:.3f}", f"{quality['residual_variance']:.3f}")
        for one in drawn.maps
        for what, quality in one.quality.items()
    ]
    columns, ids = ("model", "map", "trustworthiness", "residual variance"), drawn.maps[0].ids
    said = "Clean and noisy images were mapped together, flips projected onto the map."
    titles = (paper.heading("map", network, "Isomap, flat"), paper.heading("space", network, "Isomap, in space"))
    return [
        FlatMaps(flat, ids, kept, columns, said, f"isomap-{network}", titles[0]),
        SpaceMap([space_map(one, palette) for one in drawn.maps], ids, f"isomap-3d-{network}", titles[1]),
    ]


def _histograms(paper: Paper, network: str, seed: int, pair: Pair) -> list[Section]:
    nothing = DistanceSummary({}, 0, 0, None, None, None, None, None)
    rows = histograms([(pair.base, nothing), (pair.adapted, nothing)], None)
    if not rows:
        return []
    numbers = [
        (one["perturbation"], one["measure"]["name"], one["n"], f"{one['first']['median']['value']:.3g}",
         f"{one['second']['median']['value']:.3g}")
        for one in pair.comparison["comparisons"]
    ]  # fmt: skip
    medians = (f"median, {record.model}" for record in (pair.base, pair.adapted))
    columns = ("perturbation", "measure", "images", *medians)
    title = paper.heading("histograms", network, "How far latents move")
    return [DistanceHistograms(rows, f"Seed {seed}.", numbers, columns, f"histograms-{network}", title)]
