"""What every search over cells must do, whatever its order."""

import pytest
import torch

from robustkit.errors import InputError
from robustkit.perturb.search.auto import Auto, Stage, Stages
from robustkit.perturb.search.best_first import BestFirst
from robustkit.perturb.search.chains import Chains
from robustkit.perturb.search.complete import Complete
from robustkit.perturb.search.gradient import Gradient
from robustkit.perturb.search.universal import Universal
from tests.oracles import MeanClassifier, PlantedPixel
from tests.perturb.searching import Hill, make_problem, pursue, select

SHAPE = (2, 9, 11)
SEARCHES = [
    BestFirst(spread=20, open=2, others=2),
    Chains(chains=4),
    Gradient(top=10**6, batch=30),
    Complete(batch=70),
    Universal(top=10**6, batch=30),
    Auto(known=15, ranked=20, near=100),
    Auto(known=15, near=100, gradients=False),
    Stages(
        (Stage(Gradient(top=10, effort=0), 7), Stage(BestFirst(spread=4), 33), Stage(Chains(), 50), Stage(Complete()))
    ),
]
every_search = pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search.name)


def images_of(n=4, seed=0):
    images = 0.1 + 0.6 * torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed))
    images[0, :, :3] = 1.0  # the first image has fewer cells that change it
    return images


@every_search
def test_every_cell_is_asked_once_and_what_changes_nothing_never(search):
    problem = make_problem(MeanClassifier(threshold=5.0), images_of())
    story = pursue(search, problem, problem.classifier)
    assert story.first_flip == [0] * 4
    cells = SHAPE[1] * SHAPE[2] * 4
    for asked, idle in zip(story.asked, (3 * SHAPE[2], 0, 0, 0), strict=True):
        assert len(asked) == len(set(asked)) == cells - idle


@every_search
def test_the_one_pixel_that_flips_is_found(search):
    problem = make_problem(PlantedPixel(SHAPE, row=7, column=2), images_of())
    story = pursue(search, problem, problem.classifier)
    assert all(story.first_flip)


@every_search
def test_an_image_has_the_same_story_alone_and_among_others(search):
    problem = make_problem(Hill(SHAPE, row=4, column=9, width=1.0), images_of())
    together = pursue(search, problem, problem.classifier)
    for row in range(4):
        alone = pursue(search, select(problem, [row]), problem.classifier)
        assert alone.asked[0] == together.asked[row]


@every_search
def test_another_seed_may_differ_and_the_same_one_does_not(search):
    def story(seed):
        problem = make_problem(MeanClassifier(threshold=5.0), images_of(2), seed=seed)
        return pursue(search, problem, problem.classifier, most=60).asked

    assert story(3) == story(3)
    if isinstance(search, BestFirst | Chains):
        assert story(3) != story(4)


@every_search
def test_images_stay_as_they_were(search):
    images = images_of()
    problem = make_problem(Hill(SHAPE, row=4, column=9), images.clone())
    pursue(search, problem, problem.classifier, most=100)
    assert torch.equal(problem.images, images)


@pytest.mark.parametrize("search", [BestFirst(), Gradient(), Complete()], ids=lambda search: search.name)
def test_several_pixels_at_once_are_refused_in_words(search):
    problem = make_problem(MeanClassifier(), images_of(1), pixels=2)
    with pytest.raises(InputError, match="one pixel, but 2 pixels at once"):
        search.start(problem)


def test_settings_print_as_json():
    for search in SEARCHES:
        assert search.to_json()["name"] == search.name
    assert SEARCHES[0].to_json() == {"name": "best-first", "spread": 20, "open": 2, "others": 2}


@pytest.mark.parametrize("make", [lambda: BestFirst(spread=0), lambda: Chains(reach=2.0), lambda: Chains(patience=0)])
def test_settings_without_meaning_are_refused(make):
    with pytest.raises(InputError):
        make()
