import pytest
import torch

from robustkit.engine import PlainEvaluator
from robustkit.errors import InputError
from robustkit.perturb.search import universal
from robustkit.perturb.search.cells import Cells
from robustkit.perturb.search.universal import Universal, rank_by_stand_in, stand_in
from tests.perturb.searching import Hill, make_problem, pursue


def true_margins(problem, network):
    cells = Cells(problem)
    every = torch.arange(cells.count).expand(len(problem), -1)
    rows = torch.arange(len(problem))
    candidates = cells.candidates(rows, every)
    images = problem.images[:, None].repeat(1, cells.count, 1, 1, 1)
    place = torch.arange(cells.count)
    for row in rows.tolist():
        images[row, place, :, candidates.row[row, :, 0], candidates.column[row, :, 0]] = candidates.value[row, :, 0]
    with torch.no_grad():
        logits = network(images.flatten(0, 1)).unflatten(0, (len(problem), -1))
    return problem.margin(rows, logits)


def test_an_image_like_the_stand_in_has_its_cells_in_the_true_order():
    network = Hill((3, 10, 12), row=3, column=8, width=2.0)
    blank = make_problem(network, torch.full((1, 3, 10, 12), 0.5))
    problem = make_problem(network, stand_in(blank))
    cells = Cells(problem)
    ranked = rank_by_stand_in(cells, int(cells.left[0]), effort=cells.count)
    margins = true_margins(problem, network).gather(1, ranked)
    assert (margins[:, 1:] <= margins[:, :-1] + 1e-6).all()


@pytest.mark.parametrize("effort", [10**6, 130])
def test_the_place_that_the_network_looks_at_comes_first_on_every_image(effort):
    network = Hill((1, 21, 26), row=8, column=20, width=3.0)
    images = 0.2 + 0.4 * torch.rand(4, 1, 21, 26, generator=torch.Generator().manual_seed(0))
    problem = make_problem(network, images, labels=torch.zeros(4).long())  # which a bright pixel on the hill leaves
    ranked = rank_by_stand_in(Cells(problem), 1, effort=effort)
    assert (ranked % 2 == 1).all()
    pixel = ranked[:, 0] // 2
    step = 1 if effort > 10**5 else 3
    assert ((pixel // 26 - 8).abs() < step).all()
    assert ((pixel % 26 - 20).abs() < step).all()


def test_the_stand_in_costs_no_more_queries_than_the_effort_whatever_the_number_of_images(monkeypatch):
    network, asked = Hill((1, 20, 20), row=3, column=8, width=2.0), []

    class Counting(PlainEvaluator):
        def __call__(self, candidates):
            asked.append(len(candidates))
            return super().__call__(candidates)

    monkeypatch.setattr(universal, "make_evaluator", Counting)
    for n in (1, 5):
        rank_by_stand_in(Cells(make_problem(network, torch.full((n, 1, 20, 20), 0.5))), 3, effort=100)
    assert asked == [98, 98]  # 7 x 7 places of 20 x 20, two values


def test_it_needs_a_classifier_and_sensible_numbers():
    network = Hill((1, 8, 8), row=2, column=5, width=1.5)
    problem = make_problem(network, torch.full((1, 1, 8, 8), 0.5))
    blind = type(problem)(**{**vars(problem), "classifier": None})
    with pytest.raises(InputError, match="use best-first"):
        Universal().start(blind)
    with pytest.raises(InputError, match="at least 1"):
        Universal(effort=0)


def test_it_ends_after_its_top_cells():
    network = Hill((1, 8, 8), row=2, column=5, width=1.5)
    problem = make_problem(network, torch.full((2, 1, 8, 8), 0.5))
    story = pursue(Universal(top=9, batch=4), problem, problem.classifier)
    assert all(len(asked) <= 9 for asked in story.asked)
