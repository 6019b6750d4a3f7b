"""The figures of the papers, and one more: all methods side by side, one mark per training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robustkit.findings.distances.show import DistanceHistograms, histograms
from robustkit.findings.maps.pictures import FlatMaps, SpaceMap, flat_maps, space_map
from robustkit.findings.windows.pictures import ChurchWindows, window_pictures
from robustkit.report.blocks import PAGE, Axis, Block, Drawing, Lines, Panel, Points
from robustkit.report.palette import Meaning, make_palette
from robustkit.report.section import Section, Table
from robustkit.reproduce.attacks import COMPLETE
from robustkit.reproduce.latents import SIDES
from robustkit.reproduce.papers import SOURCE, TARGET, Paper
from robustkit.reproduce.results import Drawn, NetworkStudy, Pair
from robustkit.training.figures import bars_panel, roc_panel


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

    def drawing(self) -> Drawing:
        """A column for each network: bars above curves."""
        chosen = {one.network: [row for row in one.rows if row.method in self.methods] for one in self.networks}
        panels = [bars_panel(rows, network) for network, rows in chosen.items()]
        panels += [roc_panel(rows, areas=False) for rows in chosen.values()]
        return Drawing(panels, (PAGE * 1.6, 8.2), 900, len(chosen), legend="below")


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

    def drawing(self) -> Drawing:
        """Two panels with a line for each method."""
        methods = self.network.methods
        names = {"source": "source only", "oracle": "ORACLE"}
        ticks = [(float(y), names.get(method, method)) for y, method in enumerate(methods)]
        axis = Axis(ticks=ticks, span=(len(methods) - 0.5, -0.5))
        accuracy, flips = list[Block](), list[Block]()
        for y, method in enumerate(methods):
            # The target first: what comes first is drawn filled.
            for domain, name in reversed(list(zip((SOURCE, TARGET), self.domains, strict=True))):
                accuracy += _marks(y, self.network.scores(method, domain), Meaning(domain=name))
            flips += _marks(y, self.network.flip_rates(COMPLETE, method, "complete"), Meaning(kind="attacked"))
        panels = [Panel(accuracy, x=Axis("accuracy on test images", grid=False), y=axis)]
        if flips:
            panels.append(Panel(flips, x=Axis("flipped by one pixel (complete search)", grid=False), y=axis))
        size = (PAGE, 0.9 + 0.3 * len(methods))
        return Drawing(panels, size, 130 + 32 * len(methods), len(panels), shared=True)


def _marks(y: int, scores: dict[int, float], of: Meaning) -> list[Block]:
    """A mark for each training, and a line at their mean."""
    values = np.array(list(scores.values()))
    if not len(values):
        return []
    mean = float(values.mean())
    places = np.stack([values, np.full(len(values), float(y))], axis=1)
    hover = [f"seed {seed}: {value:.4f}" for seed, value in scores.items()]
    return [Lines(np.array([[[mean, y - 0.28], [mean, y + 0.28]]]), "edge", width=1.6), Points(places, of, hover=hover)]


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
    rows = histograms([pair.base, pair.adapted])
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
