"""Church windows of the images of an attack: what `robustkit window`, an audit and `rk.windows` measure."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.latents.measure import Embedded
from robustkit.findings.latents.running import LatentFinding, run_latents
from robustkit.findings.windows.axes import Direction, make_axes
from robustkit.findings.windows.pairs import Side
from robustkit.findings.windows.record import NOISE, ONE_PIXEL, RANDOM, WindowRequest, Windows
from robustkit.findings.windows.show import write_windows
from robustkit.findings.windows.stamps import take_stamps
from robustkit.findings.windows.summary import WindowsResult
from robustkit.latent.any_window import AnyWindow, any_window, window_method
from robustkit.latent.checks import rows_of
from robustkit.latent.embeddings import Embeddings
from robustkit.latent.heads import as_function
from robustkit.latent.sampled import SampledWindow
from robustkit.progress import progress
from robustkit.report.palette import make_palette

# Cells along an axis of the windows of a head whose regions have no formula.
RESOLUTION = 151
GALLERY_RULE = (
    "for up to {most} class changes, the commonest first: the image that flips soonest along x, the median one, and "
    "the last"
)
MOST_PAIRS = 4


def run_window(
    model: str | os.PathLike[str], attack: str | os.PathLike[str], request: WindowRequest | None = None, **how: Any
) -> WindowsResult:
    """Measures the church windows of attacked images and draws some, and the canonical window if there is one.

    Args:
        model: The checkpoint.
        attack: The run folder of an attack on it.
        request: What to do.
        **how: Where and how; see `robustkit.findings.latents.running.run_latents`, whose errors it raises.
    """
    return run_latents(WINDOWS, model, attack, request, **how)


def measure(embedded: Mapping[str, Embedded], request: WindowRequest) -> WindowsResult:
    """Church windows of embedded images.

    Args:
        embedded: The latents of a model, and of a base after it, by name; the windows are those of the first.
        request: What windows are asked for.

    Raises:
        InputError: If no image has a window, an image to draw has none, or the windows cannot be made as asked.
    """
    found = next(iter(embedded.values()))
    record, resolution = found.record, request.resolution
    try:
        window_method(record.head, resolution)
    except InputError:
        if resolution is not None:
            raise
        resolution = RESOLUTION
    axes = make_axes(
        found,
        request.x or (ONE_PIXEL if record.flipped.any() else RANDOM),
        request.y or (NOISE if record.has_noisy.any() else RANDOM),
        seed=request.seed,
    )
    windows = measure_windows(
        record, *axes, function=as_function(found.classifier), extent=request.extent, orthogonal=request.orthogonal,
        resolution=resolution, images=request.shown,
    )  # fmt: skip
    palette = make_palette(record.class_names, request.colours)
    searched = (request.certificates, request.base_certificates)
    sides = [
        Side(name, one.record, take_stamps(one, folder, noisy=request.noisy, seed=request.seed))
        for (name, one), folder in zip(embedded.items(), searched, strict=False)
    ]
    return WindowsResult(windows, found.attacked.sample, None, record, palette, request.white, sides)


def measure_windows(
    embeddings: Embeddings,
    x: Direction,
    y: Direction,
    *,
    function: Callable[[np.ndarray], np.ndarray] | None = None,
    extent: float = 1.1,
    orthogonal: bool = False,
    resolution: int | None = None,
    images: Sequence[str] = (),
) -> Windows:
    """The church windows of all images that have both directions.

    Args:
        embeddings: The latents and the head.
        x: The first direction.
        y: The second direction.
        function: Logits (N, K) of latents (N, D), for a head whose weights are not known.
        extent: Half the side of a window, in lengths of the directions.
        orthogonal: Whether to replace y by its part orthogonal to x, of its own length.
        resolution: Cells along either axis of a sampled window; exact windows without it.
        images: Ids of images to draw; those of `GALLERY_RULE` by default.

    Raises:
        InputError: If no image has a window, an image to draw has none, or exact windows cannot be had.
    """
    head, count, classes = embeddings.head, len(embeddings.ids), len(embeddings.class_names)
    method = window_method(head, resolution)
    logits = head if head is not None else function
    assert logits is not None
    windows, why_not = _make(embeddings, x, y, function, extent=extent, orthogonal=orthogonal, resolution=resolution)
    made = np.array([window is not None for window in windows])
    start = np.array([-1 if window is None else window.predicted for window in windows])
    clean = embeddings.clean.astype(np.float64)
    ends = [np.full(count, -1), np.full(count, -1)]
    for end, axis in zip(ends, (x, y), strict=True):
        end[made] = np.asarray(logits(clean[made] + axis.vectors[made])).argmax(axis=1)
    cosine = np.full(count, np.nan)
    cosine[made] = _cosines(x.vectors[made], y.vectors[made])
    numbers = {
        "areas": _column(windows, "areas", classes),
        "disc": _column(windows, "disc", classes),
        "crossing": _column(windows, "crossing", 2),
        "lengths": _column(windows, "lengths", 2),
        "plane_margin": _column(windows, "plane_margin"),
        "true_margin": _column(windows, "true_margin"),
    }
    shown = (
        _asked(embeddings.ids, images, why_not) if images else gallery(start, ends[0], numbers["crossing"][:, 0], made)
    )
    return Windows(
        ids=embeddings.ids,
        true=embeddings.true,
        start=start,
        x_end=ends[0],
        y_end=ends[1],
        why_not=np.array(why_not, dtype=str),
        crossing_to=np.nan_to_num(_column(windows, "crossing_to", 2), nan=-1).astype(np.int64),
        cosine=cosine,
        y_mark=_end_of_y(numbers["lengths"], cosine, made, orthogonal=orthogonal),
        **numbers,
        shown=np.array(shown, dtype=np.int64),
        **_drawings([windows[i] for i in shown]),
        extent=float(extent),
        axes=[x.name, y.name],
        marked=[x.is_image, y.is_image],
        method=method,
        class_names=embeddings.class_names,
        settings={
            "x": x.words,
            "y": y.words,
            "orthogonal": orthogonal,
            "resolution": resolution,
            "shown": "the images asked for" if images else GALLERY_RULE.format(most=MOST_PAIRS),
            "model_sha256": embeddings.model_sha256,
            "noise": embeddings.noise,
        },
    )


def _make(
    embeddings: Embeddings,
    x: Direction,
    y: Direction,
    function: Callable[[np.ndarray], np.ndarray] | None,
    **how: Any,
) -> tuple[list[AnyWindow | None], list[str]]:
    """The window of each image, or why it has none."""
    windows: list[AnyWindow | None] = []
    why_not: list[str] = []
    count = len(embeddings.ids)
    for i in progress(range(count), label="measuring windows", unit="images"):
        absent = next((axis.name for axis in (x, y) if not np.isfinite(axis.vectors[i]).all()), None)
        window, reason = None, "" if absent is None else f"no {absent} direction"
        if absent is None:
            try:
                window = any_window(embeddings.head, function, embeddings.clean[i], x.vectors[i], y.vectors[i], **how)
            except InputError as error:
                reason = str(error)
        windows.append(window)
        why_not.append(reason)
    if all(window is None for window in windows):
        first = next(reason for reason in why_not if reason)
        raise InputError(
            f"none of {count} images has a window along {x.name} and {y.name}: {first}; choose other axes with --x, --y"
        )
    return windows, why_not


def _end_of_y(lengths: np.ndarray, cosine: np.ndarray, made: np.ndarray, *, orthogonal: bool) -> np.ndarray:
    """Where the second perturbation lies in each window, shape (N, 2): at (0, 1), unless y was turned."""
    mark = np.tile([0.0, 1.0], (len(made), 1))
    if orthogonal:
        mark = np.stack([cosine * lengths[:, 1] / lengths[:, 0], np.sqrt(np.maximum(1 - cosine**2, 0))], axis=1)
    mark[~made] = np.nan
    return mark


def gallery(start: np.ndarray, end: np.ndarray, crossing: np.ndarray, made: np.ndarray) -> list[int]:
    """The windows to draw, by `GALLERY_RULE`: pair by pair, each earliest, median, latest; ties in the given order.

    Args:
        start: Class at the origin, shape (N,).
        end: Class at x = 1, shape (N,).
        crossing: Where x leaves the first class, in lengths of the perturbation, shape (N,).
        made: Which images have a window, shape (N,), bool.
    """
    pairs: dict[tuple[int, int], list[int]] = {}
    for i in np.flatnonzero(made & (start != end)).tolist():
        pairs.setdefault((int(start[i]), int(end[i])), []).append(i)
    if not pairs:  # nothing changes class along x
        for i in np.flatnonzero(made).tolist():
            pairs.setdefault((int(start[i]), int(end[i])), []).append(i)
    chosen: list[int] = []
    for pair in sorted(pairs.values(), key=len, reverse=True)[:MOST_PAIRS]:
        ordered = sorted(pair, key=lambda i: float(crossing[i]))
        chosen += list(dict.fromkeys((ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1])))
    return chosen


def _asked(ids: np.ndarray, images: Sequence[str], why_not: Sequence[str]) -> list[int]:
    rows = rows_of(ids, images)
    for i in rows:
        if why_not[i]:
            raise InputError(f"image {str(ids[i])!r} has no window: {why_not[i]}")
    return rows


def _cosines(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x * y).sum(axis=1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))


def _column(windows: Sequence[AnyWindow | None], name: str, *shape: int) -> np.ndarray:
    nothing = np.full(shape, np.nan)
    return np.array([nothing if window is None else getattr(window, name) for window in windows], dtype=np.float64)


def _drawings(windows: Sequence[AnyWindow | None]) -> dict[str, np.ndarray]:
    """The polygons, boundaries and grids of windows, as arrays."""
    grids = [window.labels for window in windows if isinstance(window, SampledWindow)]
    exact = [(g, w) for g, w in enumerate(windows) if w is not None and not isinstance(w, SampledWindow)]
    regions = [(g, region) for g, window in exact for region in window.regions]
    boundaries = [(g, boundary) for g, window in exact for boundary in window.boundaries]
    return {
        "polygon_window": np.array([g for g, _ in regions], dtype=np.int64),
        "polygon_class": np.array([region.label for _, region in regions], dtype=np.int64),
        "polygon_size": np.array([len(region.vertices) for _, region in regions], dtype=np.int64),
        "vertices": np.concatenate([np.zeros((0, 2)), *(region.vertices for _, region in regions)]),
        "segment_window": np.array([g for g, _ in boundaries], dtype=np.int64),
        "segment_classes": np.array([b.classes for _, b in boundaries], dtype=np.int64).reshape(-1, 2),
        "segments": np.array([boundary.ends for _, boundary in boundaries]).reshape(-1, 2, 2),
        "grids": np.array(grids, dtype=np.int16) if grids else np.zeros((len(windows), 0, 0), dtype=np.int16),
    }


WINDOWS = LatentFinding("window", WindowRequest, measure, write_windows)
