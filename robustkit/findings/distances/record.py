"""What distances are asked for, and how far each image's latent moves: nothing left out, the unflipped censored."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.latents.record import PairRequest
from robustkit.options import option
from robustkit.records import Record

RECORD, BASE_RECORD = "distances.npz", "distances-base.npz"
NOISY, PIXEL, NEAREST, DANGEROUS = range(4)
PERTURBATIONS = ("noisy", "one pixel", "nearest flip", "most dangerous cell")


@dataclass(frozen=True, kw_only=True)
class DistancesRequest(PairRequest):
    """What distances are asked for.

    Attributes:
        certificates: The folder of `robustkit certify` on the same model and images, for the nearest flip and the most
            dangerous cell of each image.
        base_certificates: The same of the base.
        draws: How many resamples and relabellings.
    """

    certificates: str | os.PathLike[str] | None = option(
        None,
        "A folder of `robustkit certify` on the same model and images: adds the nearest flip, and the most dangerous "
        "cell.",
    )
    base_certificates: str | os.PathLike[str] | None = option(None, "The same of the other checkpoint.")
    draws: int = option(1999, "Resamples and relabellings.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.draws < 99:
            raise InputError(f"{self.draws} draws say little; give --draws of at least 99")


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
    axis_letters: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("ids", "true", "clean_class", "attempted", "flipped", "margin", "nearest_floor", "best_margin", "queries",
             "generations", "fell"), "N",
        ),
        **dict.fromkeys(
            ("new_class", "euclidean", "in_scatter", "whitened", "crossing", "reach", "decision_share"), "4N"
        ),
        "class_names": "K",
    }  # fmt: skip
    position_letters: ClassVar[Mapping[str, str]] = {"true": "K", "clean_class": "K", "new_class": "K"}

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
