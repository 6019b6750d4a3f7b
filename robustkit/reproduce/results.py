"""The results of a reproduction, read back from its records."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.files import read_json
from robustkit.findings.attack.record import RECORD as ATTACK
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.distances.record import BASE_RECORD, RECORD, DistanceRecord
from robustkit.findings.maps.record import LatentMap
from robustkit.findings.windows.record import Windows
from robustkit.reproduce.attacks import COMPLETE, PUBLISHED, step_name
from robustkit.reproduce.examples import Examples
from robustkit.reproduce.latents import SIDES, distances_step, figures_step
from robustkit.reproduce.models import model_path
from robustkit.reproduce.plan import NetworkPlan, PaperPlan
from robustkit.runs.folder import SUMMARY
from robustkit.training.evaluate import Predictions, Row, compare

EXAMPLES = "examples.npz"


@dataclass(frozen=True, eq=False)
class Pair:
    """The distances of one seed.

    Attributes:
        base: Distances of the model without adaptation.
        adapted: Distances of the adapted model.
        comparison: The comparison of the two, as JSON values; see `robustkit.findings.distances.comparison`.
    """

    base: DistanceRecord
    adapted: DistanceRecord
    comparison: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Drawings of the latent space of the first seed: the model without adaptation, then the adapted one.

    Attributes:
        windows: Church windows.
        maps: Isomaps, the second aligned to the first.
        images: Ids of the images that are marked.
        rule: The rule that chose them.
    """

    windows: tuple[Windows, Windows]
    maps: tuple[LatentMap, LatentMap]
    images: list[str]
    rule: str


@dataclass(frozen=True, eq=False)
class NetworkStudy:
    """Results for one network.

    Attributes:
        part: Extent of the reproduction.
        rows: Evaluation of the network.
        attacks: Attacks by kind, method and seed.
        pairs: Distances of both models, by seed.
        drawn: Windows and maps, or `None`.
        missing: What could not be made, with the reasons.
        examples: A galaxy of each class.
    """

    part: NetworkPlan
    rows: list[Row]
    attacks: dict[tuple[str, str, int], AttackRecord] = field(default_factory=dict)
    pairs: dict[int, Pair] = field(default_factory=dict)
    drawn: Drawn | None = None
    missing: tuple[str, ...] = ()
    examples: Examples | None = None

    @property
    def network(self) -> str:
        """Name of the network."""
        return self.part.network

    @property
    def methods(self) -> list[str]:
        """The methods that were evaluated, in the order of the plan."""
        there = {row.method for row in self.rows}
        return [method for method in self.part.seeds if method in there]

    def row(self, method: str, domain: str) -> Row | None:
        """The evaluation of a method on a domain."""
        return next((row for row in self.rows if (row.method, row.domain) == (method, domain)), None)

    def scores(self, method: str, domain: str, metric: str = "accuracy") -> dict[int, float]:
        """A score on test images, by seed."""
        row = self.row(method, domain)
        if row is None:
            return {}
        return {seed: float(getattr(one, metric).value) for seed, one in zip(row.seeds, row.scores, strict=True)}

    def flip_rates(self, kind: str, method: str, search: str | None = None) -> dict[int, float]:
        """The share of correctly classified images that are flipped, by seed."""
        found = {}
        for (each, name, seed), record in self.attacks.items():
            if (each, name) == (kind, method) and record.correct.any():
                found[seed] = float(record.flipped_images(search)[record.correct].mean())
        return found


@dataclass(frozen=True, eq=False)
class Study:
    """Results of a reproduction.

    Attributes:
        plan: Plan of the reproduction.
        published: Whether the published images were used.
    """

    plan: PaperPlan
    networks: tuple[NetworkStudy, ...]
    published: bool


def read_study(plan: PaperPlan, folder: Path, *, published: bool = False) -> Study:
    """Reads the results of a reproduction.

    Args:
        plan: Plan of the reproduction.
        folder: Folder of the reproduction.
        published: Whether the published images were used.
    """
    return Study(plan, tuple(_network(plan, part, folder / part.network) for part in plan.parts), published)


def _network(plan: PaperPlan, part: NetworkPlan, folder: Path) -> NetworkStudy:
    predictions = [Predictions.load(path) for path in sorted((folder / "evaluation" / "predictions").glob("*.npz"))]
    adapted = plan.paper.methods[1]
    attacks, pairs = {}, {}
    for method, count in part.seeds.items():
        for seed in range(count):
            for kind in (PUBLISHED, COMPLETE):
                path = folder / step_name(kind, model_path(folder, part.network, method, seed)) / ATTACK
                if path.is_file():
                    attacks[kind, method, seed] = AttackRecord.load(path)
    for seed in range(part.seeds.get(adapted, 0)):
        measured = folder / distances_step(model_path(folder, part.network, adapted, seed))
        if (measured / SUMMARY).is_file():
            base, other = (DistanceRecord.load(measured / name) for name in (BASE_RECORD, RECORD))
            pairs[seed] = Pair(base, other, read_json(measured / SUMMARY)["comparison"])
    drawn = folder / figures_step(model_path(folder, part.network, adapted, 0))
    shown = folder / Path(EXAMPLES).stem / EXAMPLES
    return NetworkStudy(
        part,
        # The page shows spreads over trainings; the intervals over images are on the page of `evaluate`.
        compare(predictions, draws=99),
        attacks,
        pairs,
        _drawn(drawn) if (drawn / "chosen.json").is_file() else None,
        _missing(folder),
        Examples.load(shown) if shown.is_file() else None,
    )


def _drawn(folder: Path) -> Drawn:
    about = read_json(folder / "chosen.json")
    windows = [Windows.load(folder / f"windows-{side}.npz") for side in SIDES]
    maps = [LatentMap.load(folder / f"isomap-{side}.npz") for side in SIDES]
    return Drawn((windows[0], windows[1]), (maps[0], maps[1]), about["images"], about["rule"])


def _missing(folder: Path) -> tuple[str, ...]:
    """What was refused, according to the notes of the steps."""
    notes = {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}
    return tuple(f"{name}: {note['refused']}" for name, note in notes.items() if note.get("refused"))


def paired(first: dict[int, float], second: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the seeds that both have, in the order of the seeds.

    Returns:
        Two arrays of shape (R,).
    """
    seeds = sorted(first.keys() & second.keys())
    return np.array([first[seed] for seed in seeds]), np.array([second[seed] for seed in seeds])
