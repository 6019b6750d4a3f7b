"""How far perturbations move latents: what `robustkit distances`, an audit and `rk.distances` measure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.distances.comparison import compare_models
from robustkit.findings.distances.nearest import Complete, complete_twins, load_certificates
from robustkit.findings.distances.record import NEAREST, PERTURBATIONS, DistanceRecord, DistancesRequest
from robustkit.findings.distances.show import write_distances
from robustkit.findings.distances.summary import DistancesResult, summarize
from robustkit.findings.latents.measure import Embedded
from robustkit.findings.latents.running import LatentFinding, run_latents
from robustkit.latent.checks import check_classes
from robustkit.latent.distances import WithinClass, latent_distances, within_class
from robustkit.latent.embeddings import Embeddings
from robustkit.latent.geometry import AffineHead, margins


def run_distances(
    model: str | os.PathLike[str], attack: str | os.PathLike[str], request: DistancesRequest | None = None, **how: Any
) -> DistancesResult:
    """Measures how far latents of an attacked model move; records, tables, histograms and a summary in a run folder.

    Args:
        model: The checkpoint.
        attack: The run folder of an attack on it.
        request: What to do.
        **how: Where and how; see `robustkit.findings.latents.running.run_latents`, whose errors it raises.
    """
    return run_latents(DISTANCES, model, attack, request, **how)


def measure(embedded: Mapping[str, Embedded], request: DistancesRequest) -> DistancesResult:
    """Distances in the latent space of a model and, if there is a base, of that.

    Args:
        embedded: The latents of the model, and of the base after it, by name.
        request: What distances are asked for.

    Raises:
        InputError: If they cannot be measured, or the two models cannot be compared.
    """
    folders = request.certificates, request.base_certificates
    records = [
        measure_distances(
            one.record, one.attacked.record, model=name, search=request.search, complete=_complete(one, folder)
        )
        for (name, one), folder in zip(embedded.items(), folders, strict=False)
    ]
    how = {"seed": request.seed, "draws": request.draws}
    numbers = [summarize(record, one.record, **how) for record, one in zip(records, embedded.values(), strict=True)]
    # The base comes first, as in the papers' tables.
    comparison = compare_models(*reversed(records), **how) if len(records) > 1 else None
    sample = next(iter(embedded.values())).attacked.sample
    models = list(zip(records, numbers, strict=True))[::-1]
    return DistancesResult(records[0], sample, None, models, comparison)


def _complete(one: Embedded, folder: str | os.PathLike[str] | None) -> Complete | None:
    """What a complete search says of embedded images; `None` without one."""
    if folder is None:
        return None
    return complete_twins(one.attacked.sample, one.record, load_certificates(Path(folder), one.record))


def measure_distances(
    found: Embeddings,
    attack: AttackRecord,
    *,
    model: str,
    search: str | None = None,
    complete: Complete | None = None,
) -> DistanceRecord:
    """Measures how far the latents of a model move.

    Args:
        found: Its embeddings.
        attack: The record of the attack that they were made of.
        model: Its name.
        search: The search whose queries and generations are taken; by default the first of the attack.
        complete: What a complete search says of the same images; see `complete_twins`.

    Raises:
        InputError: If a single class is present, no class has two images, a latent is not finite, or the noisy twins
            do not move.
    """
    check_classes(found)
    within = _within(found)
    head = found.head if isinstance(found.head, AffineHead) else None
    if complete is None:
        complete = Complete.nothing(*found.clean.shape)
    twins = (found.noisy, found.attacked, complete.nearest, complete.dangerous)
    dangerous: np.ndarray = np.isfinite(complete.dangerous[:, 0])
    there = (found.has_noisy, found.flipped, complete.nearest_class >= 0, dangerous)
    parts = [_distances(found.clean, some, has, within, head) for some, has in zip(twins, there, strict=True)]
    for name, part in zip(PERTURBATIONS[:NEAREST], parts, strict=False):
        moved = part["euclidean"][np.isfinite(part["euclidean"])]
        if len(moved) and not moved.any():
            raise InputError(f"all distances of the {name} images are 0: their latents are those of the clean images")
    both = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
    name = search or attack.searches[0]
    durations, fell = _durations(attack, name)
    return DistanceRecord(
        ids=found.ids,
        true=found.true,
        clean_class=found.clean_class,
        new_class=np.stack([found.noisy_class, found.attacked_class, complete.nearest_class, complete.dangerous_class]),
        nearest_floor=complete.floor,
        best_margin=complete.margin,
        attempted=found.attempted,
        flipped=found.flipped,
        **both,
        margin=np.full(len(found.ids), np.nan) if head is None else margins(head, found.clean).distance,
        **durations,
        fell=fell,
        search=name,
        scatter=within.scatter,
        shrinkage=within.shrinkage,
        affine=head is not None,
        class_names=list(found.class_names),
        noise=found.noise,
        model=model,
        model_sha256=found.model_sha256,
        settings={"embeddings": found.settings, "scatter_from": within.n},
    )


def _within(found: Embeddings) -> WithinClass:
    """Scatter of the clean latents, of the classes that have two images or more."""
    enough = np.bincount(found.true, minlength=len(found.class_names))[found.true] > 1
    if not enough.any():
        raise InputError(
            f"each class of the {len(found.ids)} images has a single one, which shows no scatter; attack more images"
        )
    return within_class(found.clean[enough], found.true[enough])


def _distances(
    clean: np.ndarray, twins: np.ndarray, has: np.ndarray, within: WithinClass, head: AffineHead | None
) -> dict[str, np.ndarray]:
    """The fields of one perturbation, nan where an image has no twin."""
    names = ("euclidean", "in_scatter", "whitened", "crossing", "reach", "decision_share")
    fields = {name: np.full(len(clean), np.nan) for name in names}
    if has.any():
        found = latent_distances(clean[has], twins[has], within=within, head=head)
        for name, values in fields.items():
            some = getattr(found, name)
            if some is not None:
                values[has] = some
    return fields


def _durations(attack: AttackRecord, search: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Queries and generations of a search on each image, (N,), and whether it flipped the image."""
    n, own = len(attack.ids), attack.of_search(search)
    fell = attack.flipped_images(search)
    found = {}
    for name in ("queries", "generations"):
        values = getattr(attack, name).astype(np.float64)
        longest, fewest = np.full(n, -np.inf), np.full(n, np.inf)
        np.maximum.at(longest, attack.image[own], values[own])
        np.minimum.at(fewest, attack.image[own & attack.flipped], values[own & attack.flipped])
        lasted = np.where(fell, fewest, longest)
        found[name] = np.where(np.isfinite(lasted), lasted, np.nan)
    return found, fell


DISTANCES = LatentFinding("distances", DistancesRequest, measure, write_distances)
