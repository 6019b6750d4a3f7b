"""What perturbations do to latents: how far they move, and where the head's boundaries are.

For an affine head all geometry is exact: margins, crossings, church windows as polygons, and for three classes the one
plane on which it decides. Distances that depend on the coordinates of the latent stand beside twins that do not.
"""

from robustkit.latent.distances import Distances, WithinClass, latent_distances, summarize_distances, within_class
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
    "Margins",
    "ReLUHead",
    "Region",
    "SampledWindow",
    "WithinClass",
    "affine_boundaries",
    "affine_regions",
    "canonical_window",
    "church_window",
    "crossings",
    "decision_share",
    "decision_space",
    "embed_images",
    "find_affine_head",
    "find_head",
    "latent_distances",
    "margins",
    "sample_window",
    "summarize_distances",
    "within_class",
]
