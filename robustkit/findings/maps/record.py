"""Maps of a classifier's latents: clean images and their noisy twins fitted, flips projected onto what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from robustkit.errors import InputError
from robustkit.latent.align import align_maps
from robustkit.latent.checks import check_classes
from robustkit.latent.embedding_quality import evaluate_map, neighbourhood_hit
from robustkit.latent.isomap import IsomapFit, fit_isomap
from robustkit.latent.other_maps import pca_map, tsne_map, umap_map
from robustkit.progress import progress
from robustkit.records import Record

if TYPE_CHECKING:
    from robustkit.latent.embeddings import Embeddings

CLEAN, NOISY, ATTACKED = range(3)
KINDS = ("clean", "noisy", "attacked")
NEIGHBOURS = 10
SCAN = (5, 10, 15, 20, 30)
OTHERS = ("tsne", "umap")
EXAMPLES = (
    "for each pair of true and new class, most frequent first, the flip that moves the latent by the median "
    "distance; at most {most}"
)
_SCAN_FULL_UP_TO = 1000  # points; the scan makes five maps
_SCAN_LANDMARKS = 200
_LAID = ("flat", "solid")


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

    def text(self) -> str:
        """The numbers as lines for a terminal."""
        counts = [f"{int((self.kind == k).sum())} {name}" for k, name in enumerate(KINDS[:2])]
        lines = [
            f"{' and '.join(counts)} latents fitted, {int((self.kind == ATTACKED).sum())} attacked ones projected; "
            f"{self.settings['method']}, {self.settings['neighbours']} neighbours"
        ]
        if self.duplicates:
            lines.append(f"{self.duplicates} latents are exact copies of others and were left out of the fit")
        if self.components > 1:
            lines.append(
                f"the neighbour graph falls into {self.components} pieces, the largest of {self.largest} points; they "
                f"were joined by their closest pairs ({len(self.bridges)} dashed lines), whose lengths are no paths "
                "along the data"
            )
        lines.append(f"{'map':<12} {'trust':>7} {'contin.':>8} {'resid. var.':>12} {'same class':>11}")
        for name, found in self.quality.items():
            values = (found[key] for key in ("trustworthiness", "continuity"))
            rest = f"{found['residual_variance']:>12.3f} {found['neighbourhood_hit']:>11.3f}"
            lines.append(f"{name:<12} {next(values):>7.3f} {next(values):>8.3f} {rest}")
        lines.append(f"{'latent space':<12} {'':>7} {'':>8} {'':>12} {self.latent_hit:>11.3f}")
        shown = (
            f"{one['neighbours']}: {one['components']} piece{'s' * (one['components'] > 1)}, "
            f"residual variance {one['residual_variance']:.3f}"
            for one in self.scan
        )
        lines.append("neighbours, pieces before repair: " + "; ".join(shown))
        return "\n".join(lines)


def map_latents(
    found: Embeddings,
    *,
    model: str,
    neighbours: int = NEIGHBOURS,
    others: Sequence[str] = (),
    landmarks: int | None = None,
    seed: int = 0,
    images: Sequence[str] = (),
    most_examples: int = 3,
) -> LatentMap:
    """Fits the maps of a model's latents.

    Args:
        found: Its embeddings.
        model: Its name.
        neighbours: How many nearest points each point of the Isomap is joined to.
        others: Further maps of the same points: `tsne`, `umap`.
        landmarks: See `fit_isomap`.
        seed: Of t-SNE and UMAP; the Isomap draws nothing at random.
        images: Ids of the images to mark; by default those of `EXAMPLES`.
        most_examples: How many images the rule marks.

    Raises:
        InputError: If an image to mark is not there, a single class is present, there are fewer points than
            neighbours, or a latent is not finite.
        MissingExtra: If UMAP is asked for and not installed.
    """
    check_classes(found)
    unknown = [name for name in others if name not in OTHERS]
    if unknown:
        raise InputError(f"no map is called {unknown[0]!r}; beside the Isomap there are {', '.join(OTHERS)}")
    examples = _named(found, images) if images else chosen_examples(found, most_examples)
    image, kind, latents = _points(found)
    fitted = kind != ATTACKED
    fit = fit_isomap(latents[fitted], neighbours=neighbours, landmarks=landmarks)
    solid = np.concatenate([fit.coordinates, fit.project(latents[~fitted])])
    pca = np.concatenate(pca_map(latents[fitted], latents[~fitted])[:2])
    maps = {"isomap 2-D": solid[:, :2], "isomap 3-D": solid, "PCA 2-D": pca[:, :2], "PCA 3-D": pca}
    maps |= _other_maps(latents, fitted, others, seed)
    distinct, labels = fit.distinct, found.true[image[fit.distinct]]
    points = latents[distinct].astype(np.float64)
    quality = {
        name: asdict(evaluate_map(points, places[distinct], fit.graph, labels=labels)) for name, places in maps.items()
    }
    logits = (found.clean_logits, found.noisy_logits, found.attacked_logits)
    return LatentMap(
        ids=found.ids,
        true=found.true,
        image=image,
        kind=kind,
        predicted=np.stack([np.nan_to_num(one).argmax(axis=1) for one in logits])[kind, image],
        flat=solid[:, :2],
        solid=solid,
        pca=pca,
        tsne=maps.get("t-SNE", np.empty((0, 2))),
        umap=maps.get("UMAP", np.empty((0, 2))),
        bridges=distinct[fit.graph.bridges],
        examples=examples,
        quality=quality,
        latent_hit=neighbourhood_hit(points, labels, neighbours=quality["isomap 2-D"]["neighbours"]),
        scan=_scan(points, fit, neighbours),
        components=fit.graph.components,
        largest=int(np.bincount(fit.graph.component).max()),
        duplicates=fit.duplicates,
        class_names=list(found.class_names),
        noise=found.noise,
        model=model,
        model_sha256=found.model_sha256,
        disparity={},
        settings={
            "method": fit.method,
            "neighbours": neighbours,
            "landmarks": len(fit.landmarks),
            "others": list(others),
            "seed": seed,
            "examples": "as named" if images else EXAMPLES.format(most=most_examples),
            "embeddings": found.settings,
        },
    )


def _other_maps(latents: np.ndarray, fitted: np.ndarray, others: Sequence[str], seed: int) -> dict[str, np.ndarray]:
    """The further maps, by name; t-SNE has no place for what was not fitted."""
    maps = {}
    if "tsne" in others:
        maps["t-SNE"] = np.full((len(latents), 2), np.nan)
        maps["t-SNE"][fitted] = tsne_map(latents[fitted], seed=seed)
    if "umap" in others:
        maps["UMAP"] = np.concatenate(umap_map(latents[fitted], latents[~fitted], seed=seed))
    return maps


def lay_onto(reference: LatentMap, moved: LatentMap) -> LatentMap:
    """A map of another model, turned, mirrored, shifted and scaled onto a reference by the points that both show.

    The images that are marked on the reference are marked on it too.

    Args:
        reference: The map that stays.
        moved: The other one.

    Raises:
        InputError: If they share fewer than 5 images.
    """
    where = {key: p for p, key in enumerate(_keys(reference)) if key[1] != ATTACKED}
    keys = _keys(moved)
    shared = [p for p, key in enumerate(keys) if key in where]
    if len(shared) < 5:
        raise InputError(f"the two models share {len(shared)} points, too few to lay one map onto the other")
    there = [where[keys[p]] for p in shared]
    alignments = {name: align_maps(getattr(reference, name)[there], getattr(moved, name)[shared]) for name in _LAID}
    laid = {name: alignments[name](getattr(moved, name)) for name in _LAID}
    same = np.flatnonzero(np.isin(moved.ids, reference.ids[reference.examples]))
    order = [int(i) for name in reference.ids[reference.examples] for i in same if moved.ids[i] == name]
    laid["examples"] = np.array(order, dtype=np.int64)
    return replace(moved, **laid, disparity={name: alignments[name].disparity for name in _LAID})


def chosen_examples(found: Embeddings, most: int) -> np.ndarray:
    """Images to mark, by the rule of `EXAMPLES`; ties in the order of the record, shape (E,)."""
    moved = np.linalg.norm((found.attacked - found.clean).astype(np.float64), axis=1)
    pairs: dict[tuple[int, int], list[int]] = {}
    new = found.attacked_class
    for i in np.flatnonzero(found.flipped).tolist():
        pairs.setdefault((int(found.true[i]), int(new[i])), []).append(i)
    frequent = sorted(pairs.values(), key=len, reverse=True)[:most]
    chosen = [sorted(pair, key=lambda i: moved[i])[(len(pair) - 1) // 2] for pair in frequent]
    return np.array(chosen, dtype=np.int64)


def _named(found: Embeddings, images: Sequence[str]) -> np.ndarray:
    """Positions of the images of these ids."""
    place = {str(image_id): i for i, image_id in enumerate(found.ids)}
    unknown = [image for image in images if image not in place]
    if unknown:
        raise InputError(f"the attack has no image {unknown[0]!r}; its images are such as {', '.join(found.ids[:3])}")
    return np.array([place[image] for image in images], dtype=np.int64)


def _keys(one: LatentMap) -> list[tuple[str, int]]:
    """What each point shows, by the id of the image and the kind."""
    return [(str(one.ids[i]), int(k)) for i, k in zip(one.image, one.kind, strict=True)]


def _points(found: Embeddings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, kind and latent of each point: all clean ones, all noisy ones, all flips."""
    rows = [np.arange(len(found.ids)), np.flatnonzero(found.has_noisy), np.flatnonzero(found.flipped)]
    latents = np.concatenate(
        [all_[some] for all_, some in zip((found.clean, found.noisy, found.attacked), rows, strict=True)]
    )
    kind = np.repeat(np.arange(3), [len(some) for some in rows])
    return np.concatenate(rows), kind, latents.astype(np.float64)


def _scan(points: np.ndarray, fit: IsomapFit, neighbours: int) -> list[dict[str, Any]]:
    """Maps of the distinct points for several numbers of neighbours, by landmarks where there are many points."""
    landmarks = 0 if len(points) <= _SCAN_FULL_UP_TO else _SCAN_LANDMARKS
    counts = [k for k in sorted({*SCAN, neighbours}) if k < len(points)]
    rows = []
    for k in progress(counts, label="neighbours", unit="map"):
        other = fit_isomap(points, neighbours=k, landmarks=landmarks)
        quality = evaluate_map(points, other.coordinates[:, :2], other.graph)
        rows.append(
            {
                "neighbours": k,
                "components": other.graph.components,
                "trustworthiness": quality.trustworthiness,
                "continuity": quality.continuity,
                "residual_variance": quality.residual_variance,
                "method": other.method,
            }
        )
    return rows
