"""From the records of windows to what is drawn of them: pictures can be made again from a run folder alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from robustkit.errors import InputError
from robustkit.latent.geometry import AffineHead
from robustkit.latent.windows import canonical_window
from robustkit.report.sections.geometry import CanonicalPicture, WindowPicture

if TYPE_CHECKING:
    from robustkit.findings.windows.record import Windows
    from robustkit.latent.embeddings import Embeddings

_MARKS = {"one-pixel": "attacked", "noise": "noisy"}


def window_pictures(windows: Windows) -> list[WindowPicture]:
    """The pictures of all windows that the record has a drawing of."""
    pictures = []
    for g, i in enumerate(windows.shown.tolist()):
        polygons, boundaries, grid = windows.drawing(g)
        names = windows.class_names
        marks = [("clean", "clean", 0.0, 0.0)]
        places = ((1.0, 0.0), (float(windows.y_mark[i, 0]), float(windows.y_mark[i, 1])))
        for axis, (x, y) in zip(windows.axes, places, strict=True):
            kind = _MARKS.get(axis, "")
            inside = max(abs(x), abs(y)) <= windows.extent
            if axis != "random" and inside:
                marks.append((kind, kind or axis, x, y))
        turned = windows.settings["orthogonal"]
        pictures.append(
            WindowPicture(
                title=f"{names[windows.start[i]]} → {names[windows.x_end[i]]}",
                notes=_notes(windows, i),
                extent=windows.extent,
                polygons=polygons,
                boundaries=boundaries,
                grid=grid,
                marks=marks,
                labels=(
                    f"{_axis(windows.axes[0])}, {_crossing(windows.crossing[i, 0])}",
                    f"{_axis(windows.axes[1], turned)}, {_crossing(windows.crossing[i, 1])}",
                ),
                true=int(windows.true[i]),
            )
        )
    return pictures


def canonical_pictures(embeddings: Embeddings) -> list[CanonicalPicture]:
    """The plane that a head of three classes decides on: a picture of the flips and one of the noise, where there are.

    Raises:
        InputError: If the head has no such plane, or no image was flipped or has a noisy twin; the message says why.
    """
    head = embeddings.head
    if not isinstance(head, AffineHead):
        raise InputError("there is no canonical window, because the head is not affine")
    kinds = {
        "one pixel": (embeddings.attacked, embeddings.flipped, embeddings.attacked_class, embeddings.attempted),
        "noise": (embeddings.noisy, embeddings.has_noisy, embeddings.noisy_class, embeddings.has_noisy),
    }
    kinds = {name: kind for name, kind in kinds.items() if kind[1].any()}
    if not kinds:
        raise InputError(
            "there is no canonical window to draw, because no image was flipped and there are no noisy ones"
        )
    everything = np.concatenate([embeddings.clean, *(latents[there] for latents, there, _, _ in kinds.values())])
    plane = canonical_window(head, everything)
    count, at = len(embeddings.ids), len(embeddings.ids)
    pictures = []
    for name, (_, there, classes, tried) in kinds.items():
        changed = there & (classes != embeddings.clean_class)
        moved = np.full((count, 2), np.nan)
        moved[there] = plane.coordinates[at : at + int(there.sum())]
        at += int(there.sum())
        pictures.append(
            CanonicalPicture(
                title=f"{name}: {int(changed.sum())} of {int(tried.sum())} images change class",
                clean=plane.coordinates[:count],
                perturbed=moved,
                changed=changed,
                true=embeddings.true,
                polygons=[(region.label, region.vertices) for region in plane.regions],
                boundaries=[boundary.ends for boundary in plane.boundaries],
                low=plane.low,
                high=plane.high,
                labels=("decision axis 1, latent units", "decision axis 2, latent units"),
            )
        )
    return pictures


def _notes(windows: Windows, i: int) -> list[str]:
    margin = f"margin in this plane {_number(windows.plane_margin[i])}"
    if np.isfinite(windows.true_margin[i]):
        margin += f", in the whole space {_number(windows.true_margin[i])}"
    about = f"{windows.ids[i]}, angle {windows.angle[i]:.0f}°"
    if not windows.method.startswith("exact"):
        about += f", {windows.method}"
    wrong = windows.start[i] != windows.true[i]
    return [about, margin, *([f"true class: {windows.class_names[windows.true[i]]}"] if wrong else [])]


def _axis(name: str, turned: bool = False) -> str:
    if turned:
        return f"{name}, turned"
    return f"{name} direction" if name in _MARKS else name


def _crossing(t: float) -> str:
    return f"t* = {t:.3g}" if np.isfinite(t) else "never leaves"


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "none"
