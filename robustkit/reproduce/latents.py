"""The latent space of a pair of models, with adaptation and without: distances, windows, maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robustkit.auditing.steps import Steps
from robustkit.errors import InputError
from robustkit.files import own_folder, sha256_file, write_json
from robustkit.findings.attack.record import RECORD as ATTACK
from robustkit.findings.distances.measure import run_distances
from robustkit.findings.distances.record import DistancesRequest
from robustkit.findings.latents.attacked import open_attacked
from robustkit.findings.latents.measure import Embedded, embed_attacked
from robustkit.findings.maps.measure import map_latents
from robustkit.findings.maps.summary import lay_onto
from robustkit.findings.windows.axes import make_axes
from robustkit.findings.windows.measure import measure_windows
from robustkit.findings.windows.record import NOISE, ONE_PIXEL, Windows
from robustkit.latent.heads import as_function
from robustkit.reproduce.attacks import PUBLISHED, step_name
from robustkit.runs.folder import SUMMARY

RULE = (
    "for each true class, among the images that both models classified correctly and both attacks flipped, the one "
    "with the median crossing along x in the model without adaptation"
)
SIDES = ("base", "adapted")


def distances_step(model: Path) -> str:
    """The step of the distances of an adapted model and its base."""
    return f"distances-{model.stem}"


def figures_step(model: Path) -> str:
    """The step of the windows and maps of an adapted model and its base."""
    return f"latents-{model.stem}"


def measure_latents(steps: Steps, base: Path, adapted: Path, *, device: str, draws: int, drawn: bool) -> None:
    """Measures how far perturbations move latents of both models, unless that has been done.

    Args:
        steps: Where it is kept; the published attacks on both models are done there.
        base: The model without adaptation.
        adapted: The adapted model.
        device: Where to run.
        draws: Resamples and relabellings.
        drawn: Whether windows and maps are made too.
    """
    runs = [steps.folder / step_name(PUBLISHED, model) for model in (base, adapted)]
    inputs = {
        "models": [sha256_file(model) for model in (base, adapted)],
        "attacks": [sha256_file(run / ATTACK) if (run / ATTACK).is_file() else "" for run in runs],
        "draws": draws,
    }

    def measure(folder: Path, resume: bool) -> None:
        if resume and (folder / SUMMARY).is_file():
            return  # which is written last, so all is there
        request = DistancesRequest(base=base, base_run=runs[0], draws=draws)
        run_distances(adapted, runs[1], request, out=folder, device=device, say=lambda line: None)

    steps.run(distances_step(adapted), inputs, measure)
    if drawn:
        steps.run(
            figures_step(adapted),
            inputs,
            lambda folder, resume: _draw(folder, (base, adapted), (runs[0], runs[1]), device),
        )


def _draw(folder: Path, models: tuple[Path, Path], runs: tuple[Path, Path], device: str) -> None:
    """Windows and maps of both models, with the same images marked."""
    both = [
        embed_attacked(open_attacked(model, run, device=device), say=lambda line: None)
        for model, run in zip(models, runs, strict=True)
    ]
    images = chosen(*(_windows(one, ()) for one in both))
    if not images:
        raise InputError("no images were flipped in both models")
    own_folder(folder)
    maps = [map_latents(one.record, model=model.stem, images=images) for one, model in zip(both, models, strict=True)]
    maps = [maps[0], lay_onto(*maps)]
    for side, one, found in zip(SIDES, both, maps, strict=True):
        _windows(one, images).save(folder / f"windows-{side}.npz")
        found.save(folder / f"isomap-{side}.npz")
    write_json(folder / "chosen.json", {"images": images, "rule": RULE})


def _windows(one: Embedded, images: tuple[str, ...] | list[str]) -> Windows:
    x, y = make_axes(one, ONE_PIXEL, NOISE, seed=0)
    return measure_windows(one.record, x, y, function=as_function(one.classifier), images=images)


def chosen(base: Windows, adapted: Windows) -> list[str]:
    """Ids of the images that represent their classes, by `RULE`.

    Args:
        base: Windows of the model without adaptation.
        adapted: Windows of the adapted model.
    """
    both = set(base.ids[base.made].tolist()) & set(adapted.ids[adapted.made].tolist())
    ids = []
    for k in range(len(base.class_names)):
        rows = [i for i in np.flatnonzero(base.true == k).tolist() if str(base.ids[i]) in both]
        rows.sort(key=lambda i: (float(base.crossing[i, 0]), str(base.ids[i])))
        if rows:
            ids.append(str(base.ids[rows[(len(rows) - 1) // 2]]))
    return ids
