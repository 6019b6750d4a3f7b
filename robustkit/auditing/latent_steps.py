"""The steps of an audit that look at latents: embeddings, church windows, maps, distances."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from robustkit.auditing.findings import DISTANCES, EMBEDDINGS, MAP, NOTES, SUMMARY, WINDOWS
from robustkit.files import jsonable, own_folder, write_json
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.distances.nearest import complete_twins, load_certificates
from robustkit.findings.distances.record import measure_distances
from robustkit.findings.distances.summary import describe, summarize
from robustkit.findings.latents.measure import Embedded
from robustkit.findings.latents.results import windows_along
from robustkit.findings.maps.record import map_latents
from robustkit.findings.windows.summary import summarise_windows
from robustkit.latent.embeddings import Embeddings
from robustkit.runs.sample import Sample


def make_latents(folder: Path, embedded: Embedded) -> None:
    """Keeps the embeddings of a model."""
    own_folder(folder)
    embedded.record.save(folder / EMBEDDINGS)
    write_json(folder / NOTES, list(embedded.notes))


def make_windows(folder: Path, embedded: Embedded, *, seed: int) -> None:
    """Measures church windows along the flips and the noise, or along random directions where there is none of either.

    Raises:
        InputError: If no image has a window.
    """
    windows, axes = windows_along(embedded, seed=seed)
    own_folder(folder)
    windows.save(folder / WINDOWS)
    about = {axis.name: axis.words for axis in axes}
    write_json(folder / SUMMARY, jsonable({**summarise_windows(embedded.record, windows), "directions": about}))


def make_map(folder: Path, latents: Path, *, model: str) -> None:
    """Maps the latents of a model.

    Raises:
        InputError: If they cannot be mapped.
    """
    found = map_latents(Embeddings.load(latents / EMBEDDINGS), model=model)
    own_folder(folder)
    found.save(folder / MAP)


def make_distances(
    folder: Path, latents: Path, attack: Path, *, model: str, seed: int, sample: Sample, certificates: Path | None
) -> None:
    """Measures how far perturbations move the latents of a model.

    Args:
        folder: Where the files go.
        latents: The record of the latents.
        attack: The run folder of the attack.
        model: What the model is called.
        seed: Of relabellings and resamples.
        sample: The model and its images.
        certificates: The run folder of the complete search; `None` where it was not run.

    Raises:
        InputError: If they cannot be measured.
    """
    found = Embeddings.load(latents / EMBEDDINGS)
    complete = None if certificates is None else complete_twins(sample, found, load_certificates(certificates, found))
    record = measure_distances(found, AttackRecord.load(attack), model=model, complete=complete)
    summary = summarize(record, found, seed=seed)
    own_folder(folder)
    record.save(folder / DISTANCES)
    measures = [
        {
            "perturbation": one.name,
            "measure": measure.name,
            "comparable": measure.invariant,
            "n": one.n,
            "median": str(one.measures[measure.field].median),
            "mean": str(one.measures[measure.field].mean),
            "standard_error": f"{one.measures[measure.field].standard_error:.3g}",
        }
        for one in summary.perturbations.values()
        for measure in record.measures()
        if measure.field in one.measures
    ]
    between = summary.between
    clouds = [str(one) for one in (summary.cloud_mmd, summary.cloud_classifier) if one is not None]
    write_json(
        folder / SUMMARY,
        jsonable(
            {
                "text": describe(record, summary).splitlines(),
                "measures": measures,
                "between": None if between is None else str(between),
                "bins": [] if between is None else [asdict(choice) for choice in between.sensitivity],
                "clouds": clouds,
            }
        ),
    )
