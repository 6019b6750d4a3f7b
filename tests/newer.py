"""Small runs of the commands beside attack, certify and sweep, each of two groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robustkit.catalogues.flag import run_flag
from robustkit.catalogues.flag_request import FlagRequest
from robustkit.catalogues.predict import PredictRequest, run_predict
from robustkit.data import ImageSet
from robustkit.data.survey import LSST, Depth
from robustkit.findings.amplitudes.measure import run_values
from robustkit.findings.attack.record import AttackRequest
from robustkit.findings.certify.record import CertifyRequest
from robustkit.findings.hazard.measure import run_hazard
from robustkit.findings.hazard.record import HazardRequest
from robustkit.findings.threats.measure import run_attack_or_threat
from tests.attacks import silent
from tests.audits import make_audit

NEWER = ("attack-threat", "hazard", "conformal", "predict", "flag")


@dataclass(frozen=True)
class Runs:
    """A world, and what is run in it.

    Attributes:
        model: The checkpoint.
        kinds: By command, what runs and what is asked.
    """

    model: Path
    kinds: dict[str, tuple[Callable[..., Any], Any]]

    @classmethod
    def build(cls, folder: Path) -> Runs:
        """Makes the checkpoint, its images, and the same as a survey would see them."""
        model, data = make_audit(folder, n=60)
        lsst = replace(ImageSet.load(data), meta=Depth(LSST, 10, 10).meta()).save(folder / "lsst")
        few: dict[str, Any] = {"n": 2, "group": 1}
        hit = AttackRequest(**few, budget=8, threat="hot-pixel", searches=("random",), data=lsst)
        gaussian = FlagRequest(data=data, perturbations=("gaussian",), least_change=False, group=40)
        return cls(model, {
            "attack": (run_attack_or_threat, AttackRequest(**few, budget=8, searches=("random",))),
            "attack-threat": (run_attack_or_threat, hit),
            "hazard": (run_hazard, HazardRequest(**few, events=2, faults=("hot-pixel",), data=lsst)),
            "conformal": (run_values, CertifyRequest(n=6, group=4, conformal=0.5)),
            "predict": (run_predict, PredictRequest(data=data, group=40)),
            "flag": (run_flag, gaussian),
        })  # fmt: skip

    def run(self, command: str, out: Path, **how: Any) -> Any:
        """Runs one of them on the CPU."""
        run, request = self.kinds[command]
        return run(self.model, request, out=out, **{"device": "cpu", "say": silent, **how})
