"""How far perturbations move latents: what `robustkit distances` does, for use from Python too."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from robustkit.errors import InputError
from robustkit.files import jsonable, write_json, write_text
from robustkit.findings.distances.comparison import DistanceComparison, compare_models, describe_comparison
from robustkit.findings.distances.nearest import Complete, complete_twins, load_certificates
from robustkit.findings.distances.record import DistanceRecord, measure_distances
from robustkit.findings.distances.show import bins_table, histograms, markdown, per_image, table
from robustkit.findings.distances.summary import DistanceSummary, describe, summarize
from robustkit.findings.latents.measure import Embedded, latent_folder
from robustkit.findings.maps.measure import about_embedded, check_base, embed_both
from robustkit.models import ModelOptions
from robustkit.models.checkpoint import versions
from robustkit.report.saving import save_drawing
from robustkit.report.sections.distances import draw_histograms
from robustkit.runs import AGAIN, interruptible, open_run

RECORD, EMBEDDINGS, SUMMARY = "distances{}.npz", "embeddings{}.npz", "summary.json"
TABLE, MARKDOWN, IMAGES, BINS, FIGURE = "table.csv", "table.md", "distances.csv", "js-by-bins.csv", "histograms"


@dataclass(frozen=True)
class DistancesRequest:
    """What distances are asked for.

    Attributes:
        noisy: Where the noisy twins come from; see `robustkit.findings.latents.twins.make_twins`.
        data: The images that were attacked; by default where the run says they are.
        search: Take the flips and the queries of this search alone.
        base: Another checkpoint to compare with.
        base_run: The attack on it.
        certificates: The folder of `robustkit certify` on the same model and images, for the nearest flip and the most
            dangerous cell of each image.
        base_certificates: The same of the other checkpoint.
        seed: Of noise that is made here, and of resamples and relabellings.
        draws: How many resamples and relabellings.
    """

    noisy: str | None = None
    data: str | os.PathLike[str] | None = None
    search: str | None = None
    base: str | os.PathLike[str] | None = None
    base_run: str | os.PathLike[str] | None = None
    certificates: str | os.PathLike[str] | None = None
    base_certificates: str | os.PathLike[str] | None = None
    seed: int = 0
    draws: int = 1999

    def __post_init__(self) -> None:
        check_base(self.base, self.base_run)
        if self.draws < 99:
            raise InputError(f"{self.draws} draws say little; give --draws of at least 99")


@dataclass(frozen=True, eq=False)
class DistancesRun:
    """A finished run.

    Attributes:
        folder: Where its files are.
        records: The distances of the base, if there is one, and of the model.
        summaries: Their numbers.
        comparison: The model against the base; `None` without a base.
    """

    folder: Path
    records: tuple[DistanceRecord, ...]
    summaries: tuple[DistanceSummary, ...]
    comparison: DistanceComparison | None


def run_distances(
    model: str | os.PathLike[str],
    attack: str | os.PathLike[str],
    request: DistancesRequest | None = None,
    *,
    options: ModelOptions | None = None,
    out: str | os.PathLike[str] | None = None,
    device: str | None = None,
    say: Callable[[str], None] = print,
) -> DistancesRun:
    """Measures how far latents of an attacked model move; records, tables, histograms and a summary in a run folder.

    Args:
        model: The checkpoint.
        attack: The folder of the attack on it.
        request: What to do.
        options: What to say about models that robustkit did not train.
        out: A new folder; by default `runs/distances-<model>`.
        device: Where to run; by default a GPU if there is one.
        say: Where the lines for the terminal go.

    Raises:
        InputError: If anything given cannot be used; nothing is written then.
    """
    request = request or DistancesRequest()
    folder = latent_folder("distances", model, out)
    embedded = embed_both(model, attack, request, options=options, device=device, say=say)
    folder_of = dict(zip(embedded, (request.certificates, request.base_certificates), strict=False))
    # The base comes first, as in the papers' tables.
    found = dict(reversed(embedded.items()))
    records = [
        measure_distances(
            one.record, one.attacked.record, model=name, search=request.search, complete=_complete(one, folder_of[name])
        )
        for name, one in found.items()
    ]
    summaries = [
        summarize(record, one.record, seed=request.seed, draws=request.draws)
        for record, one in zip(records, found.values(), strict=True)
    ]
    comparison = compare_models(*records, seed=request.seed, draws=request.draws) if len(records) > 1 else None
    models = list(zip(records, summaries, strict=True))
    divergences = {
        f"{record.model}: noisy, one pixel": one.between for record, one in models if one.between is not None
    }
    if comparison is not None:
        divergences |= {
            f"{comparison.first}, {comparison.second}: {one.perturbation}, {one.measure.name}": one.divergence
            for one in comparison.comparisons
            if one.divergence is not None
        }
    manifest = {"inputs": about_embedded(embedded), "versions": versions()}
    unfinished = not (folder / SUMMARY).is_file()  # written last: what a kill left is written again
    with open_run(folder, manifest, resume=unfinished, advice=AGAIN), interruptible(AGAIN):
        for record, one in zip(reversed(records), embedded.values(), strict=True):
            suffix = "" if record is records[-1] else "-base"
            one.record.save(folder / EMBEDDINGS.format(suffix))
            record.save(folder / RECORD.format(suffix))
        write_text(folder / TABLE, table(models))
        write_text(folder / MARKDOWN, markdown(models, comparison))
        write_text(folder / IMAGES, per_image(records))
        write_text(folder / BINS, bins_table(divergences))
        drawn = histograms(models, comparison)
        if drawn:
            save_drawing(draw_histograms(drawn), folder, FIGURE)
        numbers = {
            "models": {record.model: one for record, one in models},
            "comparison": comparison,
            "inputs": about_embedded(embedded),
            "seed": request.seed,
            "draws": request.draws,
            "versions": versions(),
        }
        write_json(folder / SUMMARY, jsonable(numbers))
    for record, one in models:
        say(describe(record, one))
    if comparison is not None:
        say(describe_comparison(comparison))
    say(f"everything is in {folder}, the numbers in {folder / SUMMARY}")
    return DistancesRun(folder, tuple(records), tuple(summaries), comparison)


def _complete(one: Embedded, folder: str | os.PathLike[str] | None) -> Complete | None:
    """What a complete search says of embedded images; `None` without one."""
    if folder is None:
        return None
    return complete_twins(one.attacked.sample, one.record, load_certificates(Path(folder), one.record))
