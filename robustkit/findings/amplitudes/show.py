"""Lines that were followed, drawn, and what a run of them leaves in its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.findings.amplitudes.record import RECORD, AmplitudeRecord
from robustkit.findings.amplitudes.summary import brightnesses, describe, flip_rates, summary, table
from robustkit.findings.writing import write_finding
from robustkit.report.blocks import PAGE, Axis, Cells, Drawing, Lines, Panel, Series, Words
from robustkit.report.palette import Meaning
from robustkit.report.saving import draw_on, save_drawing

TABLE, RATES, MAPS = "amplitudes.csv", "flip-rate-against-brightness", "least-change"
ANY = "any band"


def write_amplitudes(folder: Path, record: AmplitudeRecord, about: dict[str, Any]) -> list[str]:
    """Writes everything about lines, and returns lines for the terminal; see `write_finding`."""
    # How long it took stands in the summary: with it, no two runs would leave the same record.
    timeless, drawn = replace(record, seconds=0.0), bool(record.correct.any() and len(brightnesses(record)))
    if drawn:
        save_drawing(maps(record), folder, MAPS, kinds=("png",))
    where = write_finding(
        folder,
        records={RECORD: timeless},
        texts={TABLE: table(record)},
        summary={**summary(record), **about},
        drawings={RATES: rates(record)} if drawn else {},
        kinds=("png", "svg"),
    )
    return [describe(record), where]


def plot(record: AmplitudeRecord, on: Any = None) -> Any:
    """Draws the flip rate against the brightness of the pixel.

    Args:
        record: The lines.
        on: A Matplotlib axes or figure; by default a new figure.

    Returns:
        The figure.
    """
    return draw_on(rates(record), on)


def rates(record: AmplitudeRecord) -> Drawing:
    """Flip rate against brightness: of images that some pixel can flip, and of pixels that do."""
    brightness = brightnesses(record)
    some, chance = flip_rates(record, brightness)
    unit = "electrons" if np.isfinite(record.scale).all() else record.units
    low, high = (float(np.log10(end)) for end in (brightness[0], brightness[-1]))
    decades = np.arange(np.ceil(low), high + 1e-9, max(1, np.ceil((high - low) / 4)))
    ticks = [(float(10**decade), _short(decade)) for decade in decades]
    x = Axis(f"what the pixel gains, {unit}", log=True, ticks=ticks)
    panels: list[Panel] = []
    for title, values in (("images that some pixel flips", some), ("pixels that flip the image", chance)):
        top = max(float(values.max(initial=0.0)) * 1.15, 1e-6)
        blocks: list[Any] = []
        names = record.kinds if len(record.kinds) == 1 else [*record.kinds, ANY]
        for k, name in enumerate(names):
            last = name == ANY
            blocks.append(
                Series(brightness, values[:, k], Meaning(search="random" if last else name), width=1.8 if last else 1.2,
                       name=name)
            )  # fmt: skip
        # What is met in the sky, as bars above the curves, each on a line of its own and named on its emptier side.
        for k, (name, (least, most)) in enumerate(record.marks.items()):
            y, left = top * (1.04 + 0.11 * k), np.log10(least * most) / 2 < (low + high) / 2
            blocks.append(Lines(np.array([[[least, y], [most, y]]]), width=2.4))
            blocks.append(Words(*((most * 1.5, y) if left else (least / 1.5, y)), name, size=0.8,
                                align="left" if left else "right"))  # fmt: skip
        panels.append(Panel(blocks, title, x, Axis("rate", (0.0, top * (1.02 + 0.11 * len(record.marks))))))
    return Drawing(panels, size=(PAGE, 3.0), height=400, columns=2)


def _short(decade: float) -> str:
    """A power of ten as a tick, short enough for its neighbours."""
    million = 6
    if decade < 0:
        return f"{10**decade:g}"
    return f"{10**decade:,.0f}" if decade < million else f"{10 ** (decade - million):,.0f} million"


def maps(record: AmplitudeRecord) -> Drawing:
    """The least change of each pixel, median over the correct images that flip there, for each kind of line."""
    panels: list[Panel] = []
    hidden = Axis(shown=False)
    for kind, name in enumerate(record.kinds):
        every = np.stack([record.least_map(int(i), kind) for i in np.flatnonzero(record.correct)])
        scale = 1.0 if np.isnan(record.scale[kind]) else float(record.scale[kind])
        seen = np.isfinite(every).any(0)
        least = np.full(every.shape[1:], np.nan)
        least[seen] = np.nanmin(every[:, seen], 0) / scale
        logs = np.log10(np.maximum(least, 1e-12))
        low, high = (float(np.nanmin(logs)), float(np.nanmax(logs))) if seen.any() else (0.0, 1.0)
        unit = "electrons" if np.isfinite(record.scale[kind]) else record.units
        cells = Cells(logs, "heat", low, high if high > low else low + 1, label=f"least change, log10 {unit}")
        panels.append(Panel([cells], f"{name}: {int(seen.sum())} pixels", hidden, hidden, equal=True))
    columns = min(3, len(panels))
    return Drawing(panels, size=(PAGE if columns > 1 else PAGE / 2, 2.6 * -(-len(panels) // columns)), height=380,
                   columns=columns, legend="none")  # fmt: skip
