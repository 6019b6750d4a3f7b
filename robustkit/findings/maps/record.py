"""What maps of latents are asked for, and a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.latents.record import PairRequest
from robustkit.options import option
from robustkit.records import Record

RECORD, BASE_RECORD = "isomap.npz", "isomap-base.npz"
CLEAN, NOISY, ATTACKED = range(3)
KINDS = ("clean", "noisy", "attacked")
NEIGHBOURS = 10


@dataclass(frozen=True, kw_only=True)
class IsomapRequest(PairRequest):
    """What maps are asked for; the map of a base is laid onto that of the model.

    Attributes:
        neighbours: How many nearest points each point is joined to.
        others: Further maps of the same points: `tsne`, `umap`.
        landmarks: How many landmarks; 0 for the full map. By default the full map up to 3000 latents.
        shown: Ids of the images to mark; by default a rule chooses.
        cams: Whether to draw Grad-CAMs of the marked images.
        colours: `safe` or `paper`.
        frames: Frames of the turning map; 0 for none.
    """

    neighbours: int = option(NEIGHBOURS, "Nearest points that each point is joined to.")
    others: Sequence[str] = option(
        (), "tsne or umap: another map of the same points; give more for more.", flag="--also", click={"multiple": True}
    )
    landmarks: int | None = option(
        None, "For many images; 0: the full map.", shown="0 up to 3000 latents, then 300", click={"type": int}
    )
    shown: Sequence[str] = option(
        (), "Id of an image to mark; give more for more.", flag="--image", shown="a rule", click={"multiple": True}
    )
    cams: bool = option(False, "Draw where the network looks, before and after the pixel.", flag="--grad-cam")
    colours: str = option("safe", "safe, or paper: the published ones.", flag="--colours --colors")
    frames: int = option(36, "Of the turning map; 0 for none.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames < 0:
            raise InputError(f"expected 0 frames or more, got --frames {self.frames}")


@dataclass(frozen=True, eq=False)
class LatentMap(Record):
    """Maps of the latents of N images: P points, of which the clean and the noisy ones were fitted.

    Attributes:
        ids: Image ids, shape (N,), str.
        true: True classes, shape (N,).
        image: Which image each point shows, shape (P,).
        kind: What each point is, shape (P,): 0 clean, 1 noisy, 2 attacked. Attacked ones were projected.
        predicted: Predicted class of each point, shape (P,).
        flat: Isomap in two dimensions, shape (P, 2).
        solid: Isomap in three dimensions, shape (P, 3), of the same fit.
        pca: Principal components, the control, shape (P, 3).
        tsne: t-SNE, shape (P, 2), nan for attacked points, which it has no place for; (0, 2) if not asked for.
        umap: UMAP, shape (P, 2); (0, 2) if not asked for.
        bridges: Pairs of points that were joined to make the neighbour graph one piece, shape (B, 2).
        examples: Images to mark, by the rule in `settings`, shape (E,).
        quality: What each map keeps, by its name; see `MapQuality`. `neighbourhood_hit` speaks of true classes.
        latent_hit: The same in the latent space itself.
        scan: The map for other numbers of neighbours, a dict each: `neighbours`, `components`, and qualities.
        components: Pieces of the neighbour graph before it was repaired.
        largest: Points in its largest piece.
        duplicates: Points left out of the fit, because another is exactly the same.
        class_names: The K classes.
        noise: What the noisy twins are, or why there are none.
        model: The checkpoint's name.
        model_sha256: Of the checkpoint.
        disparity: Procrustes disparity to the map that this one was laid onto, by `flat` and `solid`; {} for a map
            that was not moved.
        settings: Everything else that decides the map.
    """

    version: ClassVar[int] = 1
    axis_letters: ClassVar[Mapping[str, str]] = {
        "ids": "N", "true": "N", "image": "P", "kind": "P", "predicted": "P", "flat": "P2", "solid": "P3", "pca": "P3",
        "tsne": "T2", "umap": "U2", "bridges": "B2", "examples": "E", "class_names": "K",
    }  # fmt: skip
    position_letters: ClassVar[Mapping[str, str]] = {
        "true": "K", "predicted": "K", "image": "N", "examples": "N", "bridges": "P",
    }  # fmt: skip

    ids: np.ndarray
    true: np.ndarray
    image: np.ndarray
    kind: np.ndarray
    predicted: np.ndarray
    flat: np.ndarray
    solid: np.ndarray
    pca: np.ndarray
    tsne: np.ndarray
    umap: np.ndarray
    bridges: np.ndarray
    examples: np.ndarray
    quality: dict[str, dict[str, Any]]
    latent_hit: float
    scan: list[dict[str, Any]]
    components: int
    largest: int
    duplicates: int
    class_names: list[str]
    noise: str
    model: str
    model_sha256: str
    disparity: dict[str, float]
    settings: dict[str, Any]

    @property
    def fitted(self) -> np.ndarray:
        """Which points shaped the map, shape (P,), bool."""
        return self.kind != ATTACKED
