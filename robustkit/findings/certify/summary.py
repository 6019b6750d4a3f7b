"""The numbers of certificates, denominators first."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from robustkit.findings.certify.record import CertificateRecord
from robustkit.runs.result import Result
from robustkit.stats import wilson
from robustkit.tables import Writer


@dataclass(frozen=True, eq=False, repr=False)
class CertifyResult(Result):
    """Certificates of a sample, with their numbers.

    Attributes:
        record: What every cell of every image does.
    """

    record: CertificateRecord

    def summary(self) -> dict[str, Any]:
        """The numbers, denominators first."""
        return summary(self.record)

    def describe(self) -> str:
        """The numbers as a few lines."""
        return describe(self.record)

    def table(self) -> str:
        """A line of CSV per image."""
        return table(self.record)

    def plot(self, ax: Any = None) -> Any:
        """Draws where a bad pixel flips images, one panel per class.

        Args:
            ax: A Matplotlib axes or figure to draw on; by default a new figure.
        """
        from robustkit.findings.certify.show import plot

        return plot(self.record, ax)


def summary(record: CertificateRecord) -> dict[str, Any]:
    """The numbers of a record as JSON values, denominators first."""
    attacked = int(record.correct.sum())
    complete = int(record.complete.sum())
    chances = record.chance_low[record.complete & record.flippable]
    return {
        "drawn": len(record.ids),
        "correct": attacked,
        "complete": complete,
        "certified": int(record.certified.sum()),
        "too_near_to_certify": int(record.too_near.sum()),
        "flippable": int(record.flippable.sum()),
        "not_finite": int((record.not_finite > 0).sum()),
        "flagged": _flagged(record),
        "out_of_memory": int(record.out_of_memory.sum()),
        "flippable_rate": asdict(wilson(int(record.flippable.sum()), attacked)),
        "cells": record.cells,
        "queries": int(record.queries.sum()),
        "decided_by_the_network_alone": int(record.rechecked.sum()),
        "chance_of_a_random_extreme": {
            "mean_over_correct": float(record.chance_low[record.complete].mean()) if complete else None,
            "median_over_flippable": float(np.median(chances)) if len(chances) else None,
            "not_finite_mean_over_correct": float(record.not_finite[record.complete].mean() / record.cells)
            if complete
            else None,
        },
        "sampled": bounds(record),
        "error_bound": float(np.nanmax(record.error_bound)) if attacked else None,
        "seconds": record.seconds,
    }


def _flagged(record: CertificateRecord) -> dict[str, Any] | None:
    """What a front end flags, denominators first; `None` where it flags nothing."""
    if not record.flagged.any():
        return None
    n, tried = len(record.ids), record.correct
    clean = int(record.flagged_clean.sum())
    share = float(record.flagged[tried].sum() / max(int(record.queries[tried].sum()), 1))
    return {"images": n, "clean": clean, "clean_rate": asdict(wilson(clean, n)), "share_of_cells": share}


def describe_flagged(record: CertificateRecord) -> str:
    """What a front end flags, as a sentence."""
    found = _flagged(record)
    assert found is not None, "nothing was flagged"
    clean, n = found["clean"], found["images"]
    return (
        f"{clean} of {n} images are flagged as they are ({wilson(clean, n)}): they get no class, count as wrong and "
        f"are not searched; of the cells of the others {found['share_of_cells']:.2%} are flagged, get no "
        "class and are no flips"
    )


def bounds(record: CertificateRecord) -> dict[str, Any] | None:
    """The numbers of the images whose cells were not all tried, denominators first; `None` without any."""
    if not record.sampled.any():
        return None
    at_most, queries = record.at_most[record.sampled], record.queries[record.sampled]
    return {
        "images": len(at_most),
        "level": record.level,
        "cells": record.cells,
        "queries_per_image": int(queries.max()),
        "drawn_at_random_median": int(np.median(record.drawn_at_random[record.sampled])),
        "flipped": int((record.sampled & record.flippable).sum()),
        "cells_seen_to_flip_median": int(np.median(record.flipping[record.sampled])),
        "cells_that_flip_at_most_median": int(np.median(at_most)),
        "cells_that_flip_at_most_max": int(at_most.max()),
    }


def describe_bounds(record: CertificateRecord) -> str:
    """What a sample of the cells says, as a sentence."""
    found = bounds(record)
    assert found is not None, "every cell of every image was tried"
    none = record.sampled & ~record.flippable
    quiet = f", and at most {int(record.at_most[none].max()):,} any image without a flip" if none.any() else ""
    return (
        f"{found['images']} images had {found['queries_per_image']:,} of {record.cells:,} cells tried, the most "
        f"dangerous first: {found['flipped']} are flipped. With {record.level:.0%} confidence for each image, at most "
        f"{found['cells_that_flip_at_most_median']:,} cells flip the median image{quiet}. This bounds how many flip "
        "it; it does not certify that none does"
    )


def describe(record: CertificateRecord) -> str:
    """The table for the terminal."""
    numbers = summary(record)
    attacked = numbers["correct"]
    lines = []
    if numbers["out_of_memory"]:
        lines.append(
            f"WARNING: memory ran out for {numbers['out_of_memory']} images, each alone, and nothing is known of them; "
            "use a device with more"
        )
    if numbers["not_finite"]:
        lines.append(
            f"WARNING: {numbers['not_finite']} images have cells whose output is not finite; those count as no flips, "
            "and these images as not certified"
        )
    lines += [
        f"{numbers['drawn']} images drawn, {attacked} classified correctly, "
        f"{numbers['complete']} of these with every cell tried",
        f"  flippable  {numbers['flippable']} of {attacked}: {wilson(numbers['flippable'], attacked)}",
        f"  certified  {numbers['certified']} of {attacked}: no value of this set at any single pixel flips them",
    ]
    if numbers["flagged"]:
        lines.append(f"  flagged    {describe_flagged(record)}")
    if numbers["too_near_to_certify"]:
        lines.append(
            f"  too near   {numbers['too_near_to_certify']} of {attacked}: nothing flips them, but some value comes "
            "nearer to the boundary than rounding can resolve"
        )
    chance = numbers["chance_of_a_random_extreme"]["mean_over_correct"]
    if chance is not None:
        lines.append(
            f"  a value of this set, drawn at random, at a random pixel flips a correct image with chance {chance:.2g}"
        )
        broken = numbers["chance_of_a_random_extreme"]["not_finite_mean_over_correct"]
        if broken:
            lines.append(f"  and makes its output not finite with chance {broken:.2g}")
    if numbers["sampled"]:
        lines.append("  " + describe_bounds(record))
    rate = numbers["queries"] / max(numbers["seconds"], 1e-9)
    lines.append(f"  {numbers['queries']:,} queries in {numbers['seconds']:.1f} s, {rate:,.0f} a second")
    return "\n".join(lines)


def table(record: CertificateRecord) -> str:
    """A line of CSV for each image."""
    buffer = io.StringIO()
    writer = Writer(buffer)
    flags = ("correct", "complete", "certified", "too_near")
    names = ("queries", "flipping", "at_most", "chance_low", "chance_high", "best_margin", "error_bound", "best_row")
    names = (*names, "best_column", "not_finite", "flagged")
    writer.writerow(["id", "true", *flags, *names, "out_of_memory"])
    columns = [getattr(record, name).astype(int) for name in flags], [getattr(record, name) for name in names]
    for i, (image_id, label) in enumerate(zip(record.ids, record.labels, strict=True)):
        found = [column[i] for column in (*columns[0], *columns[1])]
        writer.writerow([image_id, record.class_names[label], *found, int(record.out_of_memory[i])])
    return buffer.getvalue()
