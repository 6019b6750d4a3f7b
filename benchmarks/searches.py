"""How many of the flips that exist each search finds, and with how many queries.

    python benchmarks/searches.py models/*.pt --out searches [--n 150] [--all] [--data IMAGES]
    python benchmarks/searches.py --small --out searches

A complete pass over all pixels and the corners of the data's range says for every image whether a flip exists. Then
each search goes for the same images; a row is the share of the existing flips that it had found by so many queries.
Rankings that are made before the first query of an image are not among its queries: `universal`, and with it `auto`,
asks about each cell of one stand-in image, once for all images (`limited` spends at most 25 budgets on that);
`gradient` may cost as much as 200 forward passes an image, in `auto` 64, and of first order about one for each class.
Each model's numbers are a file in the folder; the same command again makes what is missing.
"""

from __future__ import annotations

import argparse
import json
import resource
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.files import write_json
from robustkit.findings.attack.measure import attack
from robustkit.findings.certify.measure import certify
from robustkit.models import Checkpoint, open_checkpoint
from robustkit.perturb.search.auto import Auto
from robustkit.perturb.search.base import SearchSettings
from robustkit.perturb.search.best_first import BestFirst
from robustkit.perturb.search.chains import Chains
from robustkit.perturb.search.differential_evolution import DifferentialEvolution
from robustkit.perturb.search.gradient import Gradient
from robustkit.perturb.search.random import RandomSearch
from robustkit.perturb.search.universal import Universal
from robustkit.perturb.threats import make_values
from robustkit.runs.draw import draw_sample
from robustkit.runs.sample import Sample

BUDGETS = (50, 100, 400, 800, 2000, 8000, 32_000)
SEARCHES: dict[str, SearchSettings] = {
    "auto": Auto(),
    "auto, black box": Auto(gradients=False),
    "auto, limited": Auto(),
    "auto, black box, limited": Auto(gradients=False),
    "universal": Universal(),
    "gradient": Gradient(),
    "gradient, first order": Gradient(effort=0.0),
    "best-first": BestFirst(),
    "chains": Chains(),
    "random": RandomSearch(),
    "de, best1bin": DifferentialEvolution(form="best1bin"),
    "de, rand/1": DifferentialEvolution(form="published"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", help="Image set; by default that of the model.")
    parser.add_argument("--n", type=int, default=150)
    parser.add_argument("--all", action="store_true", help="Take what there is where the part has fewer images.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--small", action="store_true", help="A small network on few small galaxies.")
    options = parser.parse_args()
    if options.small:
        options.models, options.n, options.budgets = [small_model(options.out)], 12, [50, 400]
    options.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for model in options.models:
        where = options.out / f"{model.stem}.json"
        if not where.exists():
            write_json(where, measure(model, options))
        results[model.stem] = json.loads(where.read_text())
        print(table({model.stem: results[model.stem]}, options.budgets), flush=True)
    if len(results) > 1:
        print(table(results, options.budgets))


def measure(model: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The existing flips of one model, and the queries with which each search found them."""
    checkpoint = open_checkpoint(model)
    sample = draw_sample(checkpoint, model, data=options.data, n=options.n, seed=options.seed, take_all=options.all)
    what = arguments_of(checkpoint, sample)
    proof = certify(**what)
    exist = proof.flippable
    queries = {}
    for name, search in SEARCHES.items():
        found = {}
        for budget in budgets_of(name, options.budgets):
            record = attack(search=search, seed=options.seed, budget=budget, **what)
            spent = record.queries_to_flip(record.searches[0])
            found[budget or proof.cells] = [None if np.isinf(queries) else int(queries) for queries in spent]
        queries[name] = found
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "images": len(sample.labels),
        "correct": int(proof.correct.sum()),
        "cells": int(proof.cells),
        "seconds_of_complete_pass": proof.seconds,
        "peak_memory_gib": peak,
        "exist": exist.tolist(),
        "queries": queries,
    }


def budgets_of(name: str, budgets: list[int]) -> list[int | None]:
    """The runs of a search: `auto` plans by its budget, so that each budget is a run; of the others one shows all."""
    if "limited" in name:
        return [*budgets]
    return [None] if name.startswith("auto") else budgets[-1:]


def arguments_of(checkpoint: Checkpoint, sample: Sample) -> dict[str, Any]:
    """What `certify` and `attack` both take."""
    values = make_values(
        "corners",
        input_range=checkpoint.card.input_range,
        value_range=None,
        stretch=checkpoint.stretch,
        units=sample.image_set.units,
        bounds=sample.image_set.bounds,
        device=checkpoint.classifier.device,
    )
    return {
        "classifier": checkpoint.classifier,
        "images": sample.images,
        "labels": sample.labels,
        "values": values,
        "ids": sample.image_set.ids,
    }


def table(results: dict[str, dict[str, Any]], budgets: list[int]) -> str:
    """Markdown: the share of existing flips found by each budget, over all models, and from the worst to the best."""
    exist = {model: np.array(result["exist"]) for model, result in results.items()}
    total = sum(int(flips.sum()) for flips in exist.values())
    correct = sum(result["correct"] for result in results.values())
    lines = [f"### {', '.join(results)}: {total} of {correct} images can be flipped", ""]
    for model, result in results.items():
        seconds = result["seconds_of_complete_pass"]
        lines.append(
            f"{model}: {int(exist[model].sum())} of {result['correct']} correct, {result['cells']:,} cells an image, "
            f"complete pass {seconds:.1f} s, peak memory of the process {result['peak_memory_gib']:.2f} GiB"
        )
    lines += [
        "",
        "| search | " + " | ".join(f"{budget:,}" for budget in budgets) + " |",
        "|---" * (len(budgets) + 1) + "|",
    ]
    for name in SEARCHES:
        cells = []
        for budget in budgets:
            shares = {model: found_by(result["queries"][name], budget) for model, result in results.items()}
            found = {model: int((shares[model] & exist[model]).sum()) for model in results}
            each = [found[model] / max(1, int(exist[model].sum())) for model in results]
            spread = f" ({min(each):.2f}-{max(each):.2f})" if len(results) > 1 else ""
            cells.append(f"{sum(found.values()) / max(1, total):.3f}{spread}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def found_by(runs: dict[str, list[int | None]], budget: int) -> np.ndarray:
    """Which images a search had flipped by so many queries, shape (N,), bool."""
    ran = min((int(each) for each in runs if int(each) >= budget), default=max(map(int, runs)))
    queries = np.array([np.inf if q is None else q for q in runs[str(ran)]])
    return queries <= budget


def small_model(out: Path) -> Path:
    from robustkit.data.simulate import simulate
    from robustkit.training import Settings, pair_of, train

    model = out / "model.pt"
    if not model.exists():
        simulate(150, size=32, out=out / "galaxies")
        source, target = pair_of(out / "galaxies")
        train(source, target, out=model, settings=Settings(epochs=4))
    return model


if __name__ == "__main__":
    main()
