import itertools

import pytest
import torch

from robustkit.engine import PlainEvaluator
from robustkit.models import AuditedClassifier, ConvNet
from robustkit.models.fronts import make_front
from robustkit.models.fronts.splitting import put_before
from robustkit.perturb.pairs import neighbours, survey_pairs
from robustkit.perturb.values import Corners
from tests.engine.contract import randomise

SIZE = (9, 8)
VALUES = Corners(torch.zeros(3), torch.ones(3))


@pytest.fixture(scope="module")
def world():
    torch.manual_seed(3)
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(1)) * 0.4
    network = AuditedClassifier(randomise(ConvNet(size=SIZE)).eval(), input_shape=(3, *SIZE))
    return images, network


def _brute(classifier, image, label):
    """The largest margin over all pairs and values, by whole images, in a loop."""
    painted = []
    for y, x in itertools.product(range(SIZE[0]), range(SIZE[1])):
        for a, b in ((y, x + 1), (y + 1, x)):
            if a < SIZE[0] and b < SIZE[1]:
                for one, other in itertools.product(itertools.product((0.0, 1.0), repeat=3), repeat=2):
                    made = image.clone()
                    made[:, y, x], made[:, a, b] = torch.tensor(one), torch.tensor(other)
                    painted.append(made)
    with torch.inference_mode():
        logits = torch.cat([classifier(part) for part in torch.stack(painted).split(512)])
    rest = logits.clone()
    rest[:, label] = -torch.inf
    return len(painted), float((rest.amax(1) - logits[:, label]).max())


@pytest.mark.parametrize("name", ["", "clip:2", "median"])
def test_every_pair_is_tried_as_a_loop_over_whole_images_does(world, name):
    images, network = world
    classifier = put_before(make_front(name), network) if name else network
    with torch.inference_mode():
        labels = classifier(images).argmax(1)
    found = survey_pairs(classifier, images, labels, values=VALUES)
    assert found.correct.all()
    for i in range(len(images)):
        cells, worst = _brute(classifier, images[i], int(labels[i]))
        assert found.cells == cells
        assert found.flipped[i] == (worst > 0)
        if not found.flipped[i]:
            assert found.best_margin[i] == pytest.approx(worst, abs=1e-4)
            assert found.certified[i] == (worst < -1e-3)


def test_wrong_images_are_not_tried(world):
    images, network = world
    with torch.inference_mode():
        labels = (network(images).argmax(1) + 1) % 3
    found = survey_pairs(network, images, labels, values=VALUES)
    assert not (found.correct | found.flipped | found.certified).any()


def test_neighbours_are_all_there_once():
    pairs = neighbours(5, 7)
    assert len(pairs) == 5 * 6 + 4 * 7
    assert len({tuple(pair) for pair in pairs.tolist()}) == len(pairs)
    assert ((pairs[:, 2:] - pairs[:, :2]).sum(1) == 1).all()


def test_pixels_far_apart_go_through_the_whole_front_end(world):
    from robustkit.engine import Candidates, make_evaluator

    images, network = world
    classifier = put_before(make_front("clip"), network)
    row, column = torch.tensor([[[0, 6], [2, 4], [5, 5]]]), torch.tensor([[[0, 7], [3, 3], [6, 6]]])
    value = torch.rand(1, 3, 2, 3, generator=torch.Generator().manual_seed(0))
    for some in (slice(0, 3), slice(1, 3)):  # the first lies far apart, the last twice on one pixel
        asked = Candidates(torch.tensor([1]), row[:, some], column[:, some], value[:, some])
        expected = PlainEvaluator(classifier, images)(asked)
        torch.testing.assert_close(make_evaluator(classifier, images)(asked), expected, rtol=0, atol=1e-4)
