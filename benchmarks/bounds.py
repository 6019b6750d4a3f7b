"""How tightly, and how rightly, a sample of the cells bounds how many of them flip, where the complete pass knows.

    python -m benchmarks.bounds MODEL ... --out bounds [--data IMAGES] [--n 16] [--budgets 8000 24000] [--seeds 20]
    python -m benchmarks.bounds --small --out bounds

The margins of all cells of each image are made once. The survey that `robustkit certify --budget` makes then asks these
instead of the network, with one seed after the other. Beside it stands the plain way: as many cells drawn at random,
and the interval of Clopper and Pearson. A row is the images of a model whose flipping cells are so many.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.searches import arguments_of, small_model
from robustkit.engine import make_evaluator
from robustkit.models import open_checkpoint
from robustkit.perturb.decision import UNTARGETED, answers, decide
from robustkit.perturb.sampled_survey import SampledSurvey
from robustkit.perturb.search.base import Problem
from robustkit.perturb.search.cells import Cells
from robustkit.runs.draw import draw_sample
from robustkit.seeds import Streams
from robustkit.stats import clopper_pearson

# Images are put together by the share of their cells that flip.
CLASSES = (("none", 0.0, 0.0), ("up to 1 in 1,000", 0.0, 1e-3), ("up to 1 in 20", 1e-3, 0.05), ("more", 0.05, 1.0))
_AT_ONCE = 20_000


class Known(SampledSurvey):
    """The survey, on margins that are known, shape (N, H W V)."""

    def __init__(self, problem: Problem, margins: Tensor, budget: int) -> None:
        self.margins = margins
        super().__init__(problem, None, problem.classifier, budget)  # type: ignore[arg-type]

    def ask(self, rows: Tensor, asked: Tensor) -> Tensor:
        """Looks the margins up."""
        margins = self.margins[rows[:, None], asked]
        self.cells.record(rows, asked, margins)
        self.asked[rows] += asked.shape[1]
        self.flipping[rows] += (margins > 0).sum(1)
        return margins > 0

    def _compare(self, rows: Tensor) -> tuple[Tensor, float]:
        return torch.zeros(len(self.problem)), 0.0

    def _misjudged(self, rows: Tensor) -> Tensor:
        return rows[:0]


def main() -> None:
    """Prints the table of each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", help="Image set; by default that of the model.")
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--budgets", type=int, nargs="+", default=[8000, 24_000])
    parser.add_argument("--small", action="store_true", help="A small network on few small galaxies.")
    options = parser.parse_args()
    if options.small:
        options.models, options.n, options.seeds, options.budgets = [small_model(options.out)], 6, 2, [400]
    for model in options.models:
        problem, margins = known(model, options)
        print(f"### {model.stem}: {len(problem)} correct images, {margins.shape[1]:,} cells each\n")
        print(
            "| budget | cells that flip | images | found by the ranking | held, % | interval, cells | plain | ratio |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for budget in options.budgets:
            for row in rows_of(problem, margins, budget, options.seeds):
                print(row, flush=True)


def known(model: Path, options: argparse.Namespace) -> tuple[Problem, Tensor]:
    """The correct images of a model, and the margins of all their cells, kept beside the output."""
    checkpoint = open_checkpoint(model)
    sample = draw_sample(checkpoint, model, data=options.data, n=options.n, seed=0, take_all=True)
    what, classifier = arguments_of(checkpoint, sample), checkpoint.classifier
    logits = answers(classifier, what["images"])
    correct = decide(logits) == what["labels"]
    problem = Problem(
        images=what["images"][correct],
        clean_logits=logits[correct],
        labels=what["labels"][correct],
        targets=torch.full((int(correct.sum()),), UNTARGETED),
        values=what["values"],
        streams=Streams(0, [str(i) for i in range(int(correct.sum()))]),
        classifier=classifier,
    )
    kept = options.out / f"{model.stem}-{'own' if options.data is None else Path(options.data).name}-{options.n}.npy"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, all_margins(problem))
    return problem, torch.from_numpy(np.load(kept))


def all_margins(problem: Problem) -> np.ndarray:
    """The margin of every cell of every image, shape (N, H W V); minus infinity where nothing changes."""
    cells = Cells(problem)
    evaluator = make_evaluator(problem.classifier, problem.images)  # type: ignore[arg-type]
    margins = np.full((len(problem), cells.count), -np.inf, np.float32)
    for i in range(len(problem)):
        row = torch.tensor([i])
        for some in (~cells.tried[i]).nonzero().squeeze(1).split(_AT_ONCE):
            margins[i, some.numpy()] = problem.margin(row, evaluator(cells.candidates(row, some[None])))[0].numpy()
    return margins


def rows_of(problem: Problem, margins: Tensor, budget: int, seeds: int) -> Iterator[str]:
    """The lines of the table for one budget."""
    truth = (margins > 0).sum(1).numpy()
    cells = Cells(problem)
    changing = cells.left.numpy()
    runs = [_run(problem, margins, budget, seed) for seed in range(seeds)]
    low, high, at_most, ranked = (np.stack([run[name] for run in runs]) for name in runs[0])
    drawn = np.random.default_rng(0).hypergeometric(truth, changing - truth, budget, (seeds, len(truth)))
    plain = clopper_pearson(drawn, budget)
    width = (np.asarray(plain.high) - np.asarray(plain.low)) * changing
    for name, above, to in CLASSES:
        share = truth / cells.count
        some = (share == 0) if to == 0 else (share > above) & (share <= to)
        if not some.any():
            continue
        flips = truth[some].sum()
        found = f"{ranked[:, some].mean(0).sum() / flips:.3f}" if flips else ""
        held = (at_most >= truth)[:, some].mean()
        both = ((low <= truth) & (truth <= high))[:, some].mean()
        own, other = (high - low)[:, some].mean(), width[:, some].mean()
        yield (
            f"| {budget:,} | {name} | {int(some.sum())} | {found} | {100 * held:.0f}, {100 * both:.0f} | {own:,.0f} | "
            f"{other:,.0f} | {other / own:.1f} |"
        )


def _run(problem: Problem, margins: Tensor, budget: int, seed: int) -> dict[str, np.ndarray]:
    streams: Any = Streams(seed, [str(i) for i in range(len(problem))], purpose="certificate")
    again = Problem(
        problem.images,
        problem.clean_logits,
        problem.labels,
        problem.targets,
        problem.values,
        streams,
        classifier=problem.classifier,
    )
    survey = Known(again, margins, budget)
    survey.run(lambda count: None)
    counted = survey.arrays(0.95)
    return {
        "low": counted["chance_low"] * survey.cells.count,
        "high": counted["chance_high"] * survey.cells.count,
        "at_most": counted["at_most"],
        "ranked": counted["flipping"] - survey.harmful.numpy(),
    }


if __name__ == "__main__":
    main()
