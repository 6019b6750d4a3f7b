import pytest
import torch

from robustkit.errors import InputError
from robustkit.perturb.search.random import RandomSearch
from robustkit.perturb.values import Grid
from tests.perturb.landscapes import bowl, generations, make_problem, queries_until


def cells(candidates, options):
    """A number for each candidate's position and corner."""
    bits = (candidates.value[..., 0, :] > 0.5).long()
    corner = (bits * torch.tensor([1, 2, 4])).sum(-1)
    return (candidates.row[..., 0] * 24 + candidates.column[..., 0]) * options + corner


def test_everything_is_tried_once_and_then_the_search_ends():
    problem = make_problem(["a", "b"])
    tried = torch.cat(
        [cells(candidates, 8) for candidates, _ in generations(RandomSearch(batch=333), problem, bowl)], 1
    )
    everything = torch.arange(20 * 24 * 8)
    assert torch.equal(tried.sort(1).values, everything.expand(2, -1))
    assert not torch.equal(tried[0], tried[1])


def test_the_batch_changes_no_answer_and_more_queries_only_add():
    def tried(settings, ids):
        parts = [cells(candidates, 8) for candidates, _ in generations(settings, make_problem(ids), bowl)]
        return torch.cat(parts, 1)

    whole = tried(RandomSearch(queries=1000, batch=400), ["a", "b", "c"])
    assert whole.shape == (3, 1000)
    assert torch.equal(tried(RandomSearch(queries=1000, batch=7), ["b"])[0], whole[1])
    assert torch.equal(tried(RandomSearch(queries=300), ["c"])[0], whole[2, :300])


def test_finds_one_cell_in_as_many_queries_as_theory_says():
    # One cell of N is hit after (N + 1) / 2 draws without replacement, with standard deviation N / sqrt(12).
    n, count = 20 * 24 * 8, 200
    problem = make_problem([f"{i}" for i in range(count)])
    queries = queries_until(RandomSearch(), problem, lambda c: (cells(c, 8) == 77).float(), 0.5)
    assert queries.isfinite().all()
    error = n / 12**0.5 / count**0.5
    assert abs(float(queries.mean()) - (n + 1) / 2) < 4 * error


def test_several_pixels_and_huge_sets_are_drawn_without_an_order():
    for pixels, values in ((2, None), (1, Grid(torch.zeros(3), torch.ones(3), 40))):
        problem = make_problem(["a", "b"], pixels=pixels, values=values, budget=500)
        drawn = [candidates for candidates, _ in generations(RandomSearch(), problem, bowl)]
        assert sum(candidates.row.shape[1] for candidates in drawn) == 500
        row = torch.cat([candidates.row for candidates in drawn], 1)
        assert row.shape == (2, 500, pixels)
        assert row.min() == 0
        assert row.max() == 19
        alone = next(iter(generations(RandomSearch(), make_problem(["b"], pixels=pixels, values=values), bowl)))[0]
        assert torch.equal(alone.value[0], drawn[0].value[1])


def test_refuses_nothing_to_do():
    with pytest.raises(InputError, match="must be at least 1"):
        RandomSearch(queries=0)
