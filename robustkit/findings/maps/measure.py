"""Maps of latents: what `robustkit isomap`, an audit and `rk.isomap` measure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from robustkit.errors import InputError
from robustkit.findings.attack.gallery import CamPicture
from robustkit.findings.latents.measure import Embedded
from robustkit.findings.latents.running import LatentFinding, run_latents
from robustkit.findings.maps.record import ATTACKED, NEIGHBOURS, IsomapRequest, LatentMap
from robustkit.findings.maps.show import write_maps
from robustkit.findings.maps.summary import MapResult, lay_onto
from robustkit.latent.checks import check_classes, rows_of
from robustkit.latent.embedding_quality import evaluate_map, neighbourhood_hit
from robustkit.latent.embeddings import Embeddings
from robustkit.latent.grad_cam import grad_cam
from robustkit.latent.isomap import IsomapFit, fit_isomap
from robustkit.latent.other_maps import pca_map, tsne_map, umap_map
from robustkit.progress import progress
from robustkit.report.palette import make_palette

SCAN = (5, 10, 15, 20, 30)
OTHERS = ("tsne", "umap")
EXAMPLES = (
    "for each pair of true and new class, most frequent first, the flip that moves the latent by the median "
    "distance; at most {most}"
)
_SCAN_FULL_UP_TO = 1000  # points; the scan makes five maps
_SCAN_LANDMARKS = 200


def run_isomap(
    model: str | os.PathLike[str], attack: str | os.PathLike[str], request: IsomapRequest | None = None, **how: Any
) -> MapResult:
    """Maps the latents of an attacked model and leaves records, a table, drawings and a summary in a run folder.

    Args:
        model: The checkpoint.
        attack: The run folder of an attack on it.
        request: What to do.
        **how: Where and how; see `robustkit.findings.latents.running.run_latents`, whose errors it raises.
    """
    return run_latents(MAPS, model, attack, request, **how)


def measure(embedded: Mapping[str, Embedded], request: IsomapRequest) -> MapResult:
    """Maps of the latents of a model and, laid onto them, of a base.

    Args:
        embedded: The latents of the model, and of the base after it, by name.
        request: What maps are asked for.

    Raises:
        InputError: If the latents cannot be mapped, or no marked image was flipped and Grad-CAMs are asked for.
    """
    first, *maps = (
        map_latents(
            one.record, model=name, neighbours=request.neighbours, landmarks=request.landmarks, others=request.others,
            seed=request.seed, images=request.shown,
        )
        for name, one in embedded.items()
    )  # fmt: skip
    own = next(iter(embedded.values()))
    laid = (first, *(lay_onto(first, other) for other in maps))
    cams = tuple(_cams(own, first)) if request.cams else ()
    palette = make_palette(first.class_names, request.colours)
    return MapResult(first, own.attacked.sample, None, laid, palette, request.frames, cams)


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
    examples = np.array(rows_of(found.ids, images)) if images else chosen_examples(found, most_examples)
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


def _cams(embedded: Embedded, one: LatentMap) -> list[CamPicture]:
    """Grad-CAMs of the marked images."""
    found, attacked = embedded.record, embedded.attacked
    examples = one.examples[found.flipped[one.examples]]
    if not len(examples):
        raise InputError("none of the marked images was flipped, so there is no pair for --grad-cam to show")
    attempts = found.attempt[examples]
    clean = torch.cat([attacked.clean(i, i + 1) for i in examples.tolist()])
    painted = attacked.painted(attempts)
    classes = found.clean_class[examples], found.attacked_class[examples]
    maps = [
        grad_cam(embedded.classifier, images, torch.from_numpy(labels))
        for images, labels in zip((clean, painted), classes, strict=True)
    ]
    record, names = attacked.record, found.class_names
    return [
        CamPicture(
            name=f"{e + 1}: {found.ids[i]}",
            clean=clean[e].numpy(),
            attacked=painted[e].numpy(),
            clean_map=maps[0][e],
            attacked_map=maps[1][e],
            before=names[classes[0][e]],
            after=names[classes[1][e]],
            row=tuple(record.row[attempts[e]].tolist()),
            column=tuple(record.column[attempts[e]].tolist()),
            bands=attacked.sample.checkpoint.card.bands,
        )
        for e, i in enumerate(examples.tolist())
    ]


MAPS = LatentFinding("isomap", IsomapRequest, measure, write_maps)
