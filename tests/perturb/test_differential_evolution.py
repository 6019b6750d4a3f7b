import math

import numpy as np
import pytest
import torch
from scipy.optimize import differential_evolution
from scipy.stats import fisher_exact

from robustkit.engine import Candidates
from robustkit.errors import InputError
from robustkit.perturb.search.differential_evolution import DifferentialEvolution, distinct
from robustkit.perturb.values import Corners
from robustkit.seeds import stream
from tests.perturb.landscapes import bowl, generations, make_problem, queries_until, ripples
from tests.perturb.published import published_search

FORMS = ["published", "best1bin"]


def test_published_form_is_the_published_search():
    shape, population, rounds = (3, 20, 24), 30, 12
    ids = ["a", "b", "c"]

    def score(row, column, value):
        one = Candidates(
            torch.tensor([0]),
            torch.tensor([[[row]]]),
            torch.tensor([[[column]]]),
            torch.from_numpy(np.asarray(value, dtype=np.float32))[None, None, None],
        )
        return float(ripples(one)[0, 0])

    expected = [
        list(published_search(stream(7, name), score, shape=shape, population=population, rounds=rounds))
        for name in ids
    ]
    settings = DifferentialEvolution(population=population, generations=rounds, fitness="margin")
    problem = make_problem(ids, shape=shape, seed=7)
    search = settings.start(problem)
    for generation in range(rounds + 1):
        candidates = search.propose(torch.arange(3))
        values = ripples(candidates)
        search.tell(candidates, torch.stack([torch.zeros_like(values), values], 2))
        for row in range(3):
            genes, fitness = expected[row][generation]
            np.testing.assert_array_equal(search.population[row].numpy(), genes)
            np.testing.assert_allclose(search.fitness[row].numpy(), fitness, rtol=1e-6)
    assert search.propose(torch.arange(3)) is None
    assert float(search.fitness.amax()) > float(expected[0][0][1].max())  # it did climb


@pytest.mark.parametrize("form", FORMS)
def test_finds_the_known_optimum(form):
    problem = make_problem([f"image {i}" for i in range(12)])
    settings = DifferentialEvolution(form=form, population=100, generations=80, fitness="margin")
    queries = queries_until(settings, problem, bowl, -1e-3)
    assert queries.isfinite().all()


def test_best1bin_is_as_good_as_scipy():
    # With so few candidates the top of the ripples is found less than half of the time, where a fault would show.
    population, rounds, runs = 20, 20, 60
    settings = DifferentialEvolution(form="best1bin", population=population, generations=rounds, fitness="margin")
    ours = queries_until(settings, make_problem([f"run {i}" for i in range(400)]), ripples, -0.01).isfinite()

    def objective(genes):  # (5, S) to (S,)
        genes = torch.from_numpy(np.asarray(genes)).float()
        row, column = (genes[0] * 20).long().clamp(max=19), (genes[1] * 24).long().clamp(max=23)
        value = genes[2:].T[None, :, None, :]
        return -ripples(Candidates(torch.tensor([0]), row[None, :, None], column[None, :, None], value))[0].numpy()

    theirs = [
        differential_evolution(
            objective,
            [(0, 1)] * 5,
            strategy="best1bin",
            init="random",
            popsize=population // 5,
            maxiter=rounds,
            mutation=(0.5, 1),
            recombination=0.7,
            tol=0,
            polish=False,
            updating="deferred",
            vectorized=True,
            rng=run,
        ).fun
        < 0.01
        for run in range(runs)
    ]
    table = [[int(ours.sum()), int((~ours).sum())], [sum(theirs), runs - sum(theirs)]]
    assert 0.2 * runs < sum(theirs) < 0.8 * runs, f"the landscape no longer tells good from bad: {table}"
    assert fisher_exact(table).pvalue > 0.01, table


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pixels", [1, 3])
def test_an_image_does_not_depend_on_its_neighbours(form, pixels):
    settings = DifferentialEvolution(form=form, population=20, generations=6, fitness="margin")
    ids = ["a", "b", "c", "d"]
    together = list(generations(settings, make_problem(ids, pixels=pixels), bowl))
    for row, name in enumerate(ids):
        alone = list(generations(settings, make_problem([name], pixels=pixels), bowl))
        assert len(alone) == len(together)
        for (one, _), (all_of_them, _) in zip(alone, together, strict=True):
            for part in ("row", "column", "value"):
                assert torch.equal(getattr(one, part)[0], getattr(all_of_them, part)[row])


@pytest.mark.parametrize("form", FORMS)
def test_an_image_that_leaves_changes_nothing_for_the_others(form):
    settings = DifferentialEvolution(form=form, population=20, generations=6, fitness="margin")
    everyone = list(generations(settings, make_problem(["a", "b", "c"]), bowl))
    search = settings.start(make_problem(["a", "b", "c"]))
    for generation in range(7):
        active = torch.arange(3) if generation < 2 else torch.tensor([0, 2])
        candidates = search.propose(active)
        assert torch.equal(candidates.image, active)
        kept = everyone[generation][0].select(active)
        assert torch.equal(candidates.value, kept.value)
        score = bowl(candidates)
        search.tell(candidates, torch.stack([torch.zeros_like(score), score], 2))


@pytest.mark.parametrize("form", FORMS)
def test_candidates_stay_inside(form):
    values = Corners(torch.tensor([0.2, -1.0, 3.0]), torch.tensor([0.3, 1.0, 3.0]))
    problem = make_problem(["a", "b"], pixels=2, values=values)
    settings = DifferentialEvolution(form=form, population=60, generations=10, fitness="margin")
    for candidates, _ in generations(settings, problem, bowl):
        assert ((candidates.row >= 0) & (candidates.row < 20)).all()
        assert ((candidates.column >= 0) & (candidates.column < 24)).all()
        assert ((candidates.value >= values.low) & (candidates.value <= values.high)).all()
        assert candidates.pixels == 2


def test_published_rounding_halves_the_share_of_the_first_pixel():
    settings = DifferentialEvolution(population=2000)
    first = settings.start(make_problem([f"{i}" for i in range(20)])).propose(torch.arange(20))
    share = torch.bincount(first.row.flatten(), minlength=20) / first.row.numel() * 20
    assert 0.4 < share[0] < 0.6
    assert 1.4 < share[19] < 1.6
    assert 0.9 < share[1:19].min() <= share[1:19].max() < 1.1


def test_a_broken_output_is_never_fitter():
    settings = DifferentialEvolution(population=20)
    for broken in (math.nan, math.inf, -math.inf):
        problem = make_problem(["a"], target=1)
        search = settings.start(problem)
        candidates = search.propose(torch.arange(1))
        logits = torch.zeros(1, 20, 2)
        logits[0, 7, 1] = broken
        search.tell(candidates, logits)
        assert search.fitness[0, 7] == -torch.inf
        assert search.fitness[0].isfinite().sum() == 19


@pytest.mark.parametrize("target", [-1, 1])
def test_probability_and_its_logarithm_choose_alike(target):
    generator = torch.Generator().manual_seed(0)
    problem = make_problem(["a"], target=target, classes=3)
    search = DifferentialEvolution(population=50).start(problem)
    candidates = search.propose(torch.arange(1))
    logits = torch.randn(1, 50, 3, generator=generator)
    search.tell(candidates, logits)
    probability = logits.double().softmax(2)[0]
    wanted = probability[:, 1] if target == 1 else 1 - probability[:, 0]
    assert torch.equal(search.fitness[0].argsort(), wanted.argsort())


def test_far_from_the_boundary_candidates_are_still_told_apart():
    search = DifferentialEvolution(population=4).start(make_problem(["a"], target=1))
    candidates = search.propose(torch.arange(1))
    logits = torch.tensor([[[0.0, -150.0], [0.0, -140.0], [0.0, -160.0], [0.0, -149.0]]])  # p rounds to 0 in float32
    search.tell(candidates, logits)
    assert search.fitness[0].argsort(descending=True).tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize(("best", "asked"), [(0.3, 82), (0.45, 101)])
def test_published_form_gives_up_after_80_hopeless_generations(best, asked):
    settings = DifferentialEvolution(population=4, generations=100)
    logit = math.log(best / (1 - best))
    search = settings.start(make_problem(["a"], target=1))
    populations = 0
    while (candidates := search.propose(torch.arange(1))) is not None:
        populations += 1
        search.tell(candidates, torch.tensor([0.0, logit]).expand(1, 4, 2))
    assert populations == asked  # the first population and 81 generations, or all 100 of them


def test_the_budget_of_the_attack_replaces_the_generations():
    for budget, populations in ((10, 1), (20, 1), (21, 2), (4000, 200)):
        problem = make_problem(["a"], budget=budget)
        settings = DifferentialEvolution(population=20, fitness="margin")
        assert len(list(generations(settings, problem, bowl))) == populations


def test_distinct_indices_are_equally_likely():
    uniform = torch.rand(60_000, 3, generator=torch.Generator().manual_seed(0))
    one, two, three = distinct(uniform, 4)
    assert ((one != two) & (one != three) & (two != three)).all()
    counts = torch.bincount(one * 16 + two * 4 + three, minlength=64)
    counts = counts[counts > 0]
    assert len(counts) == 24
    assert float(((counts - 2500) ** 2 / 2500).sum()) < 49.7  # chi-squared with 23 degrees, p = 0.001


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"form": "rand2"}, "known are published, best1bin"),
        ({"fitness": "loss"}, "known are probability, margin"),
        ({"population": 3}, "at least 4"),
        ({"generations": -1}, "generations must be at least 0"),
        ({"crossover": 1.5}, "crossover must be in"),
    ],
)
def test_refusals(options, words):
    with pytest.raises(InputError, match=words):
        DifferentialEvolution(**options)


def test_settings_are_json():
    assert DifferentialEvolution().to_json()["name"] == "de"
    assert DifferentialEvolution(form="best1bin").to_json()["name"] == "de-best1bin"
