"""What perturbations do to latents: how far they move, and where the head's boundaries are.

For an affine head all geometry is exact: margins, crossings, church windows as polygons, and for three classes the one
plane on which it decides. Distances that depend on the coordinates of the latent stand beside twins that do not.
Maps say how many pieces they were in and what they keep, and flips are placed on them without shaping them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustkit.lazy import lazy_names

if TYPE_CHECKING:
    from robustkit.latent.align import Superposition, align_maps
    from robustkit.latent.distances import Distances, WithinClass, latent_distances, summarize_distances, within_class
    from robustkit.latent.embedding_quality import (
        MapQuality,
        continuity,
        evaluate_map,
        residual_variance,
        trustworthiness,
    )
    from robustkit.latent.embeddings import Embeddings, embed_images
    from robustkit.latent.geometry import (
        AffineHead,
        Crossings,
        DecisionSpace,
        Margins,
        crossings,
        decision_share,
        decision_space,
        find_affine_head,
        margins,
    )
    from robustkit.latent.heads import ReLUHead, find_head
    from robustkit.latent.isomap import IsomapFit, fit_isomap
    from robustkit.latent.polygons import Boundary, Region, affine_boundaries, affine_regions
    from robustkit.latent.sampled import SampledWindow, sample_window
    from robustkit.latent.windows import CanonicalWindow, ChurchWindow, canonical_window, church_window

__all__ = [
    "AffineHead",
    "Boundary",
    "CanonicalWindow",
    "ChurchWindow",
    "Crossings",
    "DecisionSpace",
    "Distances",
    "Embeddings",
    "IsomapFit",
    "MapQuality",
    "Margins",
    "ReLUHead",
    "Region",
    "SampledWindow",
    "Superposition",
    "WithinClass",
    "affine_boundaries",
    "affine_regions",
    "align_maps",
    "canonical_window",
    "church_window",
    "continuity",
    "crossings",
    "decision_share",
    "decision_space",
    "embed_images",
    "evaluate_map",
    "find_affine_head",
    "find_head",
    "fit_isomap",
    "latent_distances",
    "margins",
    "residual_variance",
    "sample_window",
    "summarize_distances",
    "trustworthiness",
    "within_class",
]

__getattr__, __dir__ = lazy_names(__name__, __file__)
