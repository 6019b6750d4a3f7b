"""Church windows of many images: the numbers of every one, and the drawings of those that a rule chose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from robustkit.errors import InputError
from robustkit.latent.any_window import AnyWindow, any_window, window_method
from robustkit.latent.sampled import SampledWindow
from robustkit.progress import progress
from robustkit.records import Record

if TYPE_CHECKING:
    from robustkit.latent.embeddings import Embeddings

GALLERY_RULE = (
    "for each pair of the classes of an image and of the end of x, most frequent first, the windows whose class "
    "changes earliest along x, at the median, and latest; at most {most} pairs"
)
MOST_PAIRS = 4


@dataclass(frozen=True, eq=False)
class Direction:
    """An axis of windows: one displacement for each image.

    Attributes:
        name: `one-pixel`, `noise`, `random` or a perturbation with its level.
        words: What it is, in words.
        vectors: Displacements, shape (N, D); nan rows where an image has none.
        is_image: Whether an image lies at its end, to be marked.
    """

    name: str
    words: str
    vectors: np.ndarray
    is_image: bool = True


@dataclass(frozen=True, eq=False)
class Windows(Record):
    """Church windows of N images, G of them with their drawing; K classes.

    Numbers are nan, and classes -1, where an image has no window; `why_not` says why. See `Window` for their meaning.

    Attributes:
        ids: Image ids, shape (N,), str.
        true: True classes, shape (N,), int64.
        start: Class at the origin, shape (N,).
        x_end: Class at the end of x, shape (N,).
        y_end: Class at the end of y, shape (N,).
        why_not: Why an image has no window, shape (N,), str; empty where it has one.
        areas: Shape (N, K).
        disc: Shape (N, K).
        crossing: Along x and y, shape (N, 2).
        crossing_to: Shape (N, 2).
        cosine: Of the angle between the two perturbations, shape (N,), also where y was turned.
        lengths: Of x and y, shape (N, 2).
        plane_margin: Shape (N,).
        true_margin: Shape (N,); nan if the head is not affine.
        y_mark: Where the second perturbation itself lies in the window, shape (N, 2): (0, 1) unless y was turned.
        shown: Which images have a drawing, shape (G,), int64.
        polygon_window: Which of the drawings each polygon belongs to, shape (P,), int64.
        polygon_class: Its class, shape (P,), int64.
        polygon_size: How many corners it has, shape (P,), int64.
        vertices: The corners of all polygons in turn, x and y, shape (V, 2).
        segment_window: Which of the drawings each piece of a boundary belongs to, shape (S,), int64.
        segment_classes: The classes on its sides, shape (S, 2), int64.
        segments: Its ends, shape (S, 2, 2).
        grids: Classes of the cells of sampled windows, rows along y, shape (G, R, R), int16; R is 0 for exact ones.
        extent: Half the side of the windows.
        axes: Names of the directions x and y.
        marked: Whether an image lies at the end of x and of y.
        method: How the windows were made, in words.
        class_names: The K classes.
        settings: What else made the record, JSON values.
    """

    ids: np.ndarray
    true: np.ndarray
    start: np.ndarray
    x_end: np.ndarray
    y_end: np.ndarray
    why_not: np.ndarray
    areas: np.ndarray
    disc: np.ndarray
    crossing: np.ndarray
    crossing_to: np.ndarray
    cosine: np.ndarray
    lengths: np.ndarray
    plane_margin: np.ndarray
    true_margin: np.ndarray
    y_mark: np.ndarray
    shown: np.ndarray
    polygon_window: np.ndarray
    polygon_class: np.ndarray
    polygon_size: np.ndarray
    vertices: np.ndarray
    segment_window: np.ndarray
    segment_classes: np.ndarray
    segments: np.ndarray
    grids: np.ndarray
    extent: float
    axes: list[str]
    marked: list[bool]
    method: str
    class_names: list[str]
    settings: dict[str, Any]

    @property
    def made(self) -> np.ndarray:
        """Which images have a window, shape (N,), bool."""
        return self.why_not == ""

    @property
    def angle(self) -> np.ndarray:
        """Degrees between the two perturbations, shape (N,)."""
        return np.degrees(np.arccos(np.clip(self.cosine, -1, 1)))

    def drawing(self, g: int) -> tuple[list[tuple[int, np.ndarray]], list[np.ndarray], np.ndarray | None]:
        """What is drawn of the g-th window shown: polygons with their classes, boundaries, and the grid if sampled."""
        ends = np.cumsum(self.polygon_size)
        polygons = [
            (int(self.polygon_class[p]), self.vertices[ends[p] - self.polygon_size[p] : ends[p]])
            for p in np.flatnonzero(self.polygon_window == g).tolist()
        ]
        segments = list(self.segments[self.segment_window == g])
        return polygons, segments, self.grids[g] if self.grids.shape[-1] else None


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


def _asked(ids: np.ndarray, images: Iterable[str], why_not: Sequence[str]) -> list[int]:
    place = {str(image_id): i for i, image_id in enumerate(ids)}
    for name in images:
        if name not in place:
            raise InputError(f"image {name!r} is not among the {len(ids)} images of the attack, such as {ids[0]}")
        if why_not[place[name]]:
            raise InputError(f"image {name!r} has no window: {why_not[place[name]]}")
    return [place[name] for name in dict.fromkeys(images)]


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
