"""How far each image's latent moves under each perturbation, as a record: nothing left out, the unflipped censored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from robustkit.errors import InputError
from robustkit.latent.checks import check_classes
from robustkit.latent.distances import Distances, WithinClass, latent_distances, within_class
from robustkit.latent.geometry import AffineHead, margins
from robustkit.records import Record

if TYPE_CHECKING:
    from robustkit.findings.attack.record import AttackRecord
    from robustkit.findings.distances.nearest import Complete
    from robustkit.latent.embeddings import Embeddings

NOISY, PIXEL, NEAREST, DANGEROUS = range(4)
PERTURBATIONS = ("noisy", "one pixel", "nearest flip", "most dangerous cell")


@dataclass(frozen=True)
class Measure:
    """One way to say how far a latent moves.

    Attributes:
        field: Its field of the record.
        name: As it is written in tables and on axes.
        invariant: Whether two models can be compared by it: whether it stays when a change of the latent's
            coordinates changes no prediction. The whitened distance is so only where its covariance was not shrunk,
            which `DistanceRecord.measures` knows.
    """

    field: str
    name: str
    invariant: bool


MEASURES = (
    Measure("euclidean", "d_E", False),
    Measure("in_scatter", "d_E / class scatter", False),
    Measure("whitened", "whitened distance", False),
    Measure("reach", "1 / t*", True),
    Measure("decision_share", "decision share", False),
)


def shared_measures(records: Sequence[DistanceRecord]) -> list[Measure]:
    """The measures that all of some records have; of several models, 1 / t* first, which can always be compared.

    A measure is invariant where it is in every record.
    """
    by_field = [{measure.field: measure for measure in record.measures()} for record in records]
    found = [
        replace(measure, invariant=all(one[measure.field].invariant for one in by_field))
        for measure in MEASURES
        if all(measure.field in one for one in by_field)
    ]
    return found if len(records) < 2 else sorted(found, key=lambda measure: measure.field != "reach")


@dataclass(frozen=True, eq=False)
class DistanceRecord(Record):
    """Distances of N images under four perturbations. Nan where there is no twin.

    0 is noisy, 1 the flip that a search met first, 2 the flip that moves the latent least and 3 the most dangerous
    cell, both from a complete search: they are properties of the network and the image, and not of a search.

    An image that was attacked and never flipped has no distance to its flip; it stays in the record as censored, with
    the queries that it withstood.

    Attributes:
        ids: Image ids, shape (N,), str.
        true: True classes, shape (N,).
        clean_class: Predicted classes of the clean images, shape (N,).
        new_class: Predicted classes after each perturbation, shape (4, N); -1 where there is no twin.
        attempted: Which images were attacked, shape (N,), bool.
        flipped: Which of them were flipped, shape (N,), bool.
        euclidean: d_E, shape (4, N), latent units.
        in_scatter: d_E over the scatter within classes, shape (4, N).
        whitened: Mahalanobis distance in the covariance within classes, shape (4, N).
        crossing: t*, shape (4, N): how far along the displacement the head's class first changes; inf for never.
        reach: 1 / t*, shape (4, N), above 1 where the class changed.
        decision_share: Share of the squared displacement that the head can see, shape (4, N).
        margin: Distance of the clean latent to the nearest boundary, shape (N,), latent units.
        nearest_floor: No flip moves the latent by less, shape (N,), latent units: d_E of the nearest flip where that is
            proved to be the nearest, else less; nan without a flip or a complete search.
        best_margin: Margin of the most dangerous cell, in logits, shape (N,); above 0 where it flips the image.
        queries: To the flip by `search`, or in all where it did not flip the image, shape (N,); nan if not attacked.
        generations: The same in generations, shape (N,).
        fell: Whether `search` flipped the image, shape (N,), bool.
        search: The search that queries and generations are of.
        scatter: Root mean square scatter within classes, latent units.
        shrinkage: Of the covariance within classes; above 0, the whitened distance is not invariant, and nan where the
            latents scatter in too few directions for a covariance and there is no whitened distance.
        affine: Whether the head is affine; crossings, reach, share and margin are nan if it is not.
        class_names: The K classes.
        noise: What the noisy twins are, or why there are none.
        model: The checkpoint's name.
        model_sha256: Of the checkpoint.
        settings: Everything else.
    """

    version = 2

    ids: np.ndarray
    true: np.ndarray
    clean_class: np.ndarray
    new_class: np.ndarray
    attempted: np.ndarray
    flipped: np.ndarray
    euclidean: np.ndarray
    in_scatter: np.ndarray
    whitened: np.ndarray
    crossing: np.ndarray
    reach: np.ndarray
    decision_share: np.ndarray
    margin: np.ndarray
    nearest_floor: np.ndarray
    best_margin: np.ndarray
    queries: np.ndarray
    generations: np.ndarray
    fell: np.ndarray
    search: str
    scatter: float
    shrinkage: float
    affine: bool
    class_names: list[str]
    noise: str
    model: str
    model_sha256: str
    settings: dict[str, Any]

    @property
    def objects(self) -> np.ndarray:
        """The object that each image shows: its id up to the first `#`, shape (N,), str."""
        return np.array([str(image_id).partition("#")[0] for image_id in self.ids], dtype=str)

    @property
    def censored(self) -> np.ndarray:
        """Which images were attacked and never flipped, shape (N,), bool."""
        return self.attempted & ~self.flipped

    def measures(self) -> list[Measure]:
        """Those that this record has."""
        fields = ["euclidean", "in_scatter"]
        fields += ["reach", "decision_share"] if self.affine else []
        fields += [] if np.isnan(self.shrinkage) else ["whitened"]
        return [
            replace(measure, invariant=self.shrinkage == 0) if measure.field == "whitened" else measure
            for measure in MEASURES
            if measure.field in fields
        ]

    def has(self, perturbation: int) -> np.ndarray:
        """Which images have a twin under a perturbation, shape (N,), bool."""
        return np.isfinite(self.euclidean[perturbation])

    def of(self, perturbation: int, some: np.ndarray) -> Distances:
        """The distances of some images, shape (N,), bool."""
        fields = {
            name: getattr(self, name)[perturbation][some]
            for name in ("euclidean", "in_scatter", "whitened", "reach", "crossing", "decision_share")
        }
        if not self.affine:
            fields |= dict.fromkeys(("reach", "crossing", "decision_share"))
        return Distances(**fields, shrinkage=self.shrinkage)


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
        from robustkit.findings.distances.nearest import Complete  # here, as reading a record needs no network

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
