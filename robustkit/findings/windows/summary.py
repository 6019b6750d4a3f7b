"""The numbers of windows: as JSON values, as a few lines, as a table."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustkit.findings.windows.pairs import Side
from robustkit.findings.windows.record import Windows
from robustkit.latent.embeddings import Embeddings
from robustkit.latent.geometry import AffineHead, margins
from robustkit.report.palette import Palette
from robustkit.report.saving import draw_on
from robustkit.runs.result import Result
from robustkit.tables import Writer, digits


@dataclass(frozen=True, eq=False, repr=False)
class WindowsResult(Result):
    """Church windows of attacked images.

    Attributes:
        record: The windows.
        latents: The embeddings that they were measured on.
        palette: The colours of the classes.
        white: Whether the true class is left white.
        sides: What is drawn of the model and, if there is one, of the base beside each other.
    """

    record: Windows
    latents: Embeddings
    palette: Palette
    white: bool
    sides: Sequence[Side]

    def summary(self) -> dict[str, Any]:
        """The numbers by name, as JSON values."""
        return summary(self.record, self.latents)

    def describe(self) -> str:
        """The numbers as a few lines."""
        return describe(self.summary())

    def table(self) -> str:
        """A line of CSV per image."""
        return table(self.record)

    def plot(self, ax: Any = None) -> Any:
        """Draws the windows that a rule chooses; see `Result.plot`."""
        from robustkit.findings.windows.show import gallery_of

        return draw_on(gallery_of(self), ax)


def summary(windows: Windows, embeddings: Embeddings) -> dict[str, Any]:
    """What a set of windows says, as JSON values; medians are over the images that have a window.

    Args:
        windows: The windows.
        embeddings: The latents.
    """
    made = windows.made
    crossing, plane, true = windows.crossing[made], windows.plane_margin[made], windows.true_margin[made]
    both = np.isfinite(plane) & np.isfinite(true) & (true > 0)
    refused = Counter(reason.split("(")[0].strip() for reason in windows.why_not[~made].tolist())
    return {
        "drawn": len(windows.ids),
        "windows": int(made.sum()),
        "without": dict(sorted(refused.items())),
        "method": windows.method,
        "axes": dict(zip(("x", "y"), windows.axes, strict=True)),
        "directions": directions(windows),
        "turned": windows.settings["orthogonal"],
        "median_crossing": {axis: _median(crossing[:, a]) for a, axis in enumerate(("x", "y"))},
        "leave_their_class": {axis: int((crossing[:, a] <= 1).sum()) for a, axis in enumerate(("x", "y"))},
        "median_angle_degrees": _median(windows.angle[made]),
        "mean_area": _by_class(windows.areas[made], windows.class_names),
        "mean_disc": _by_class(windows.disc[made], windows.class_names),
        "median_plane_margin": _median(plane),
        "median_true_margin": _median(true),
        "median_ratio_of_margins": _median(plane[both] / true[both]),
        "margins_of_all_images": _margins(embeddings),
    }


def directions(windows: Windows) -> dict[str, str]:
    """What the axes are, by their names, in words."""
    return {name: windows.settings[letter] for name, letter in zip(windows.axes, "xy", strict=True)}


def describe(summary: dict[str, Any]) -> str:
    """The summary for the terminal."""
    x, y = summary["axes"]["x"], summary["axes"]["y"] + (", turned" if summary["turned"] else "")
    lines = [f"{summary['windows']} of {summary['drawn']} images have a window along {x} and {y} ({summary['method']})"]
    lines += [f"  {count} have none: {reason}" for reason, count in summary["without"].items()]
    crossing, left = summary["median_crossing"], summary["leave_their_class"]
    for axis, name in (("x", x), ("y", y)):
        median = "never reached" if crossing[axis] is None else f"at {crossing[axis]:.3g} times its length"
        lines.append(
            f"  {name}: {left[axis]} of {summary['windows']} leave their class; the median boundary is {median}"
        )
    angle = summary["median_angle_degrees"]
    lines.append(f"  the median angle between the two is {angle:.0f} degrees, however the window draws it")
    ratio = summary["median_ratio_of_margins"]
    if ratio is not None:
        lines.append(
            f"  the nearest boundary is {ratio:.2g} times as far within the plane as in the whole latent space (median)"
        )
    return "\n".join(lines)


def _margins(embeddings: Embeddings) -> dict[str, Any] | None:
    """True margins of all clean images, by true class; `None` where nobody knows them."""
    head = embeddings.head
    if not isinstance(head, AffineHead):
        return None
    distance = margins(head, embeddings.clean).distance
    by_class = {name: _median(distance[embeddings.true == k]) for k, name in enumerate(embeddings.class_names)}
    return {"median": _median(distance), "median_by_class": by_class, "unit": "Euclidean, latent"}


def _by_class(values: np.ndarray, class_names: list[str]) -> dict[str, float]:
    return dict(zip(class_names, values.mean(axis=0).tolist(), strict=True))


def _median(values: np.ndarray) -> float | None:
    """The median, `None` where it is infinite or there is nothing."""
    known = values[~np.isnan(values)]
    median = float(np.median(known)) if len(known) else np.inf
    return median if np.isfinite(median) else None


def table(windows: Windows) -> str:
    """The windows as CSV, a line for each image; an image without a window has empty cells."""
    names = windows.class_names
    columns = ["id", "true", "start", "x_end", "y_end", "why_not", "x_crossing", "x_crossing_to", "y_crossing"]
    columns += ["y_crossing_to", "angle_degrees", "x_length", "y_length", "plane_margin", "true_margin"]
    columns += [f"{what}_{name}" for what in ("area", "disc") for name in names] + ["drawn"]
    text = io.StringIO()
    writer = Writer(text)
    writer.writerow(columns)
    classes = [*names, ""]  # -1 is the last one
    for i in range(len(windows.ids)):
        ends = [classes[k] for k in (windows.start[i], windows.x_end[i], windows.y_end[i])]
        to = [classes[k] for k in windows.crossing_to[i]]
        numbers = [windows.crossing[i, 0], to[0], windows.crossing[i, 1], to[1], windows.angle[i], *windows.lengths[i]]
        numbers += [windows.plane_margin[i], windows.true_margin[i], *windows.areas[i], *windows.disc[i]]
        drawn = int(i in windows.shown)
        cells = [one if isinstance(one, str) else digits(one) for one in numbers]
        writer.writerow([windows.ids[i], names[windows.true[i]], *ends, windows.why_not[i], *cells, drawn])
    return text.getvalue()
