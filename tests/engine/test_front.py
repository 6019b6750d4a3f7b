# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
import pytest
import torch
from torch import nn

from robustkit.engine import Candidates, FrontEvaluator, PlainEvaluator, make_evaluator
from robustkit.engine.front import _merged
from robustkit.findings.certify.measure import certify
from robustkit.models import AuditedClassifier, BlackBox, ConvNet
from robustkit.models.fronts import FrontEnd, Repaired, make_front
from robustkit.models.fronts.splitting import split_front
from robustkit.perturb.values import Corners
from tests.engine.contract import randomise
from tests.engine.networks import Residual

NOISE = {"low": [0.0] * 3, "high": [1.0] * 3, "sigma": [[0.05] * 3] * 3}


def _classifier(name, network, size=(13, 18)):
    torch.manual_seed(0)
    front = make_front(name, {"noise": NOISE})
    return AuditedClassifier(Repaired(front, randomise(network)).eval(), input_shape=(3, *size))


def _every_cell(images, values):
    """Every pixel of every image with every value."""
    n, _, height, width = images.shape
    place = torch.cartesian_prod(torch.arange(height), torch.arange(width), torch.arange(len(values)))
    row, column = (place[:, i].expand(n, -1)[..., None].contiguous() for i in (0, 1))
    return Candidates(torch.arange(n), row, column, values[place[:, 2]].expand(n, -1, -1)[:, :, None].contiguous())


def _images(n, size=(13, 18)):
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(1)) * 0.5


@pytest.mark.parametrize(
    "name",
    ["clip", "across", "median", "line:2", "joint:3", "nan+clip+joint:3", "detect:joint:12", "detect:joint:3+clip"],
)
@pytest.mark.parametrize("engine", ["auto", "incremental"])
def test_every_cell_is_that_of_the_plain_network_borders_included(name, engine):
    images = _images(2)
    classifier = _classifier(name, ConvNet(size=(13, 18)))
    values = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.0, 0.5]])
    cells = _every_cell(images, values)
    evaluator = make_evaluator(classifier, images, engine=engine)
    assert isinstance(evaluator, FrontEvaluator)
    expected = PlainEvaluator(classifier, images)(cells)
    atol = 1e-5 * float(expected.nan_to_num().abs().max())
    torch.testing.assert_close(evaluator(cells), expected, rtol=0, atol=atol, equal_nan=True)
    torch.testing.assert_close(evaluator.clean(), classifier(images), rtol=0, atol=1e-5, equal_nan=True)


def test_a_candidate_is_flagged_by_what_it_does_and_by_what_the_image_has_elsewhere():
    images = 0.3 + 0.01 * torch.rand(3, 3, 9, 11, generator=torch.Generator().manual_seed(0))
    images[1, :, 4, 5] = 1.0  # flagged as it is, but for what covers this pixel
    images[2, :, 0, 0] = images[2, :, 8, 10] = 1.0
    classifier = _classifier("detect:joint:8", ConvNet(size=(9, 11)), (9, 11))
    cells = _every_cell(images, torch.tensor([[0.3, 0.3, 0.3], [1.0, 0.0, 1.0]]))
    evaluator = make_evaluator(classifier, images)
    found = evaluator(cells)
    assert torch.equal(evaluator.flagged, found.isnan().all(2))
    assert torch.equal(found.isnan(), PlainEvaluator(classifier, images)(cells).isnan())
    flagged = evaluator.flagged.view(3, 9, 11, 2)
    assert not flagged[0, ..., 0].any()
    assert flagged[0, ..., 1].all()
    assert flagged[1, ..., 0].sum() == 98  # painted over, it is not seen
    assert flagged[2].all()


def test_images_that_are_hardly_larger_than_the_front_end_are_followed():
    images = _images(2, (4, 5))
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3))
    classifier = _classifier("line:2+clip", network, (4, 5))
    cells = _every_cell(images, torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 1.0]]))
    evaluator = make_evaluator(classifier, images)
    torch.testing.assert_close(evaluator(cells), PlainEvaluator(classifier, images)(cells), rtol=0, atol=1e-5)


def test_networks_of_any_kind_stand_behind_a_front_end():
    images = _images(2, (24, 24))
    residual = _classifier("clip", Residual(), (24, 24))
    split = split_front(residual)
    assert split is not None
    black = BlackBox(Repaired(make_front("clip"), split[1].module), input_shape=(3, 24, 24))
    values = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    cells = _every_cell(images, values)
    expected = PlainEvaluator(residual, images)(cells)
    for classifier in (residual, black):
        made = make_evaluator(classifier, images)(cells)
        torch.testing.assert_close(made, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_the_compiled_code_follows_boxes():
    pytest.importorskip("llvmlite")
    images = _images(1, (100, 100))
    evaluator = make_evaluator(_classifier("clip", ConvNet(size=(100, 100)), (100, 100)), images)
    evaluator(_every_cell(images[:, :, :2], torch.tensor([[1.0, 1.0, 1.0]])))
    assert evaluator.name == "chain"
    assert "compiled kernel" in evaluator.reason
    assert "not compiled" not in evaluator.reason


class Asked:
    """Notes what an evaluator is asked for."""

    def __init__(self, evaluator):
        self.evaluator, self.asked = evaluator, []
        self.tolerance, self.images = evaluator.tolerance, evaluator.images

    def __getattr__(self, name):
        return getattr(self.evaluator, name)

    def __call__(self, candidates):
        self.asked.append(candidates)
        return self.evaluator(candidates)


def test_what_the_front_end_undoes_is_not_asked_for_and_what_is_equal_is_asked_once():
    images = torch.full((1, 3, 12, 12), 0.5)
    classifier = _classifier("joint:3", ConvNet(size=(12, 12)), (12, 12))
    evaluator = make_evaluator(classifier, images)
    evaluator.rest = asked = Asked(evaluator.rest)
    row = torch.full((1, 4, 1), 5)
    # Far from the sky, replaced by it; and twice the same that stays.
    value = torch.tensor([[9.0] * 3, [-9.0] * 3, [0.51] * 3, [0.51] * 3])[None, :, None]
    logits = evaluator(Candidates(torch.tensor([0]), row, row, value))
    assert [len(one) for one in asked.asked] == [1]
    clean = classifier(images)[0]
    assert torch.equal(logits[0, 0], logits[0, 1])
    torch.testing.assert_close(logits[0, 0], clean, rtol=0, atol=1e-5)
    assert torch.equal(logits[0, 2], logits[0, 3])
    assert not torch.allclose(logits[0, 2], clean, rtol=0, atol=1e-7)


def test_keys_that_collide_merge_nothing_that_differs(monkeypatch):
    places, boxes = torch.zeros(3, 3, dtype=torch.int64), torch.tensor([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0]])
    first, of = _merged(places, boxes)
    assert of[0] == of[1] != of[2]
    monkeypatch.setattr(torch, "randint", lambda *args, **how: torch.ones(5, dtype=torch.int64))
    first, of = _merged(places, boxes)
    assert torch.equal(boxes[first[of]], boxes)


def test_pixels_that_lie_apart_are_scored_by_the_whole_network():
    images = _images(2)
    classifier = _classifier("clip", ConvNet(size=(13, 18)))
    row = torch.tensor([[[0, 5]], [[12, 3]]])
    some = Candidates(torch.tensor([1, 0]), row, row, torch.ones(2, 1, 2, 3))
    expected = PlainEvaluator(classifier, images)(some)
    torch.testing.assert_close(make_evaluator(classifier, images)(some), expected, rtol=0, atol=1e-5)


class Pixel(nn.Module):
    """Decides by one pixel of the repaired image."""

    def forward(self, images):
        light = images[:, 0, 4, 4]
        return torch.stack([light, torch.full_like(light, 0.75)], 1)


def test_a_certificate_through_a_front_end_is_that_of_brute_force():
    """The pixel itself is clipped; only by its neighbours can it be moved, and clip:2 undoes that too."""
    values = Corners(torch.zeros(1), torch.ones(1))
    image = torch.full((1, 1, 9, 9), 0.5)
    image[0, 0, 4, 4] = 1.0  # a star that the clip takes for a bad pixel, until a neighbour is as bright
    for name, flipping in (("clip", 8), ("clip:2", 0)):
        classifier = AuditedClassifier(Repaired(make_front(name), Pixel()).eval(), input_shape=(1, 9, 9))
        record = certify(classifier, image, torch.tensor([1]), values=values, ids=["a"])
        assert int(record.flipping[0]) == flipping
        assert bool(record.certified[0]) == (flipping == 0)
        assert record.flips_map[0].sum() == flipping


class Shift(FrontEnd):
    """Depends on its neighbour at the left, by another border than the mirrored one."""

    radius = 1

    def forward(self, images):
        return torch.cat([images[..., :1], (images[..., :-1] + images[..., 1:]) / 2], 3)


def test_a_front_end_of_your_own_is_followed_with_its_own_border():
    images = _images(2)
    torch.manual_seed(0)
    classifier = AuditedClassifier(Repaired(Shift(), randomise(ConvNet(size=(13, 18)))).eval(), input_shape=(3, 13, 18))
    cells = _every_cell(images, torch.tensor([[0.0, 1.0, 0.0]]))
    expected = PlainEvaluator(classifier, images)(cells)
    torch.testing.assert_close(make_evaluator(classifier, images)(cells), expected, rtol=0, atol=1e-5)
