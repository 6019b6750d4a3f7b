import pytest
import torch
from torch import nn

from robustkit.errors import InputError
from robustkit.findings.certify.measure import certify
from robustkit.models import AuditedClassifier
from robustkit.models.fronts import Repaired, make_front
from robustkit.perturb.edges import Edged, Placed, has_threshold, with_edges
from robustkit.perturb.values import Corners

NOISE = {"low": [0.0] * 3, "high": [1.0] * 3, "sigma": [[0.02] * 3] * 3}


class _Brightest(nn.Module):
    """Class 1 where any pixel is bright: a front end removes what is very bright, and not what is a little bright."""

    def __init__(self, above):
        super().__init__()
        self.above = above

    def forward(self, images):
        most = images.amax((1, 2, 3))
        return torch.stack([torch.full_like(most, self.above), most], 1) * 10


def _behind(name, network, size=(9, 9)):
    front = make_front(name, {"noise": NOISE})
    return AuditedClassifier(Repaired(front, network).eval(), input_shape=(3, *size))


def _sky(n=2, size=(9, 9)):
    return 0.3 + 0.02 * torch.randn(n, 3, *size, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)


CORNERS = Corners(torch.zeros(3), torch.ones(3))


@pytest.mark.parametrize("name", ["joint:5", "joint:3", "nan+joint:5", "joint:5+clip"])
def test_what_lies_at_the_edge_passes_the_threshold_and_a_little_more_does_not(name):
    images, front = _sky(), make_front(name.partition("+clip")[0], {"noise": NOISE})
    values = Edged(CORNERS, make_front(name, {"noise": NOISE}))
    assert values.size == 8 + 6 + 8
    placed = Placed(values, images)
    middle, _ = values.front.hides(images)
    for pixel in (0, 4, 40, 80):  # a corner of the image, its border, its middle
        row, column = divmod(pixel, 9)
        for option in range(8, values.size):
            value = placed.at(torch.tensor([1]), torch.tensor([pixel]), torch.tensor([option]))[0]
            for far, passes in ((1.0, True), (1.01, False)):
                changed = images[1:].clone()
                centre = middle[1, :, row, column]
                changed[0, :, row, column] = centre + far * (value - centre)
                kept = front(changed)[0, :, row, column]
                assert torch.equal(kept, changed[0, :, row, column]) == passes


def test_a_threshold_flatters_itself_on_corners_and_not_at_its_edge():
    images, labels = _sky(), torch.zeros(2, dtype=torch.int64)
    classifier = _behind("joint:5", _Brightest(0.38))
    ids = ["a", "b"]
    corners = certify(classifier, images, labels, values=CORNERS, ids=ids)
    assert corners.certified.all()
    edges = certify(classifier, images, labels, values=with_edges(CORNERS, classifier), ids=ids)
    assert edges.flippable.all()
    assert edges.complete.all()
    assert edges.cells == 81 * 22
    sampled = certify(classifier, images, labels, values=with_edges(CORNERS, classifier), ids=ids, budget=800)
    assert (sampled.queries == 800).all()
    assert (sampled.at_most >= sampled.flipping).all()
    # The worst cell is one that the network itself is seen to be flipped by.
    flipped = images[:1].clone()
    flipped[0, :, edges.best_row[0], edges.best_column[0]] = torch.from_numpy(edges.best_value[0])
    assert classifier(flipped).argmax(1).item() == 1


@pytest.mark.parametrize("name", ["detect:clip", "detect:line", "detect:across:3", "nan+detect:clip"])
def test_what_a_front_end_that_flags_leaves_alone_is_searched_where_it_looks_by_clipping(name):
    images, front = _sky(), make_front(name)
    placed = Placed(Edged(CORNERS, front), images)
    middle, reach = front.hides(images)
    assert placed.values.size == 8 + 6 + 8
    for option in range(8, placed.values.size):
        value = placed.at(torch.tensor([1]), torch.tensor([40]), torch.tensor([option]))[0]
        for far, flagged in ((1.0, False), (1.01, True)):
            changed = images[1:].clone()
            changed[0, :, 4, 4] = middle[1, :, 4, 4] + far * (value - middle[1, :, 4, 4])
            assert bool(front.seen(changed)[0, 4, 4]) == flagged
    # In all bands together each is at its end.
    torch.testing.assert_close(value, middle[1, :, 4, 4] + 0.999 * reach[1, :, 4, 4])


def test_one_band_has_two_edges():
    noise = {"low": [0.0], "high": [1.0], "sigma": [[0.02, 0.02]]}
    values = Edged(Corners(torch.zeros(1), torch.ones(1)), make_front("joint:4", {"noise": noise}))
    assert values.size == 2 + 2
    assert values.directions.tolist() == [[1.0], [-1.0]]


def test_fronts_without_a_threshold_say_so():
    assert not has_threshold(make_front("clip"), 3)
    assert not has_threshold(make_front("nan+clip:2"), 3)
    assert has_threshold(make_front("clip+joint:5", {"noise": NOISE}), 3)
    with pytest.raises(InputError, match=r"front end clip, which has no threshold.* use --values corners"):
        with_edges(CORNERS, _behind("clip", _Brightest(0.5)))
    with pytest.raises(InputError, match="the model has no front end"):
        with_edges(CORNERS, AuditedClassifier(_Brightest(0.5).eval(), input_shape=(3, 9, 9)))
