"""The incremental evaluator against plain forward passes in float64, layer by layer and on networks of many kinds."""

from __future__ import annotations

import operator
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robustkit.engine import Candidates, IncrementalEvaluator, PlainEvaluator, incremental
from robustkit.engine.follower import Follower
from robustkit.engine.kernel import KernelFollower
from robustkit.models import AuditedClassifier, ConvNet, DeepMerge, Output, ResNet18
from tests.engine.contract import (
    ROUNDING,
    assert_agrees,
    assert_grouping_is_free,
    check_evaluator,
    random_candidates,
    random_images,
    randomise,
)
from tests.engine.networks import Branching, Dense, Inception, Mobile, Random, Residual, Turning

# Windows wherever they can be followed, also where whole maps would be cheaper.
everywhere = partial(IncrementalEvaluator, worth=50.0, compiled=False)
windows = partial(IncrementalEvaluator, compiled=False)


def _classifier(module, shape, **options):
    module.eval()(torch.zeros(1, *shape))  # gives lazy layers their sizes
    return AuditedClassifier(randomise(module), input_shape=shape, **options)


@pytest.mark.parametrize(
    "make", [IncrementalEvaluator, windows, everywhere], ids=["compiled", "as it pays", "everywhere"]
)
@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (partial(ConvNet, size=(41, 38)), (3, 41, 38)),
        (partial(DeepMerge, size=(37, 40)), (3, 37, 40)),
        (Residual, (3, 45, 38)),
        (Dense, (3, 30, 27)),
        (Mobile, (3, 35, 32)),
        (Turning, (3, 34, 40)),
    ],
    ids=["ConvNet", "DeepMerge", "Residual", "Dense", "Mobile", "Turning"],
)
def test_contract(network, shape, make):
    evaluator = check_evaluator(make, _classifier(network(), shape), n=2, extra=6)
    assert evaluator.refusal == ""
    assert 0 < evaluator.tolerance < 1e-4


def test_contract_of_a_part_of_a_tuple():
    classifier = _classifier(Inception(), (3, 32, 29), output=Output(part=1))
    assert check_evaluator(IncrementalEvaluator, classifier, n=2, extra=6).refusal == ""


def test_resnet18():
    classifier = _classifier(ResNet18(), (3, 40, 36))
    images = random_images(classifier, n=2)
    evaluator = IncrementalEvaluator(classifier, images)
    candidates = random_candidates(images, extra=4)
    assert_agrees(evaluator, classifier, candidates)
    assert evaluator.refusal == ""
    assert "layers on windows" in evaluator.reason


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("seed", range(40))
def test_random_networks(seed):
    torch.manual_seed(seed)
    shape = (1 + seed % 4, 11 + seed % 7, 12 + seed % 5)
    try:
        network = Random(seed, shape)
    except RuntimeError:
        pytest.skip("no map is left")
    classifier = _classifier(network, shape)
    images = random_images(classifier, n=2)
    evaluator = everywhere(classifier, images)
    candidates = random_candidates(images, extra=6, seed=seed)
    moved = evaluator.plain(candidates) - evaluator.clean()[candidates.image][:, None]
    if float(moved.abs().max()) < 0.005 * float(evaluator.clean().abs().max()):
        pytest.skip("a network that one pixel hardly moves")
    assert_agrees(evaluator, classifier, candidates)
    assert evaluator.refusal == ""


class One(nn.Module):
    """A convolution, one layer, and what is needed to be a classifier."""

    latent = "code"

    def __init__(self, layer):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.layer = layer
        self.register_buffer("scale", torch.linspace(0.5, 2.0, 6)[:, None, None])
        self.register_buffer("weight", torch.linspace(-1.0, 1.0, 6 * 6 * 9).reshape(6, 6, 3, 3))
        self.code = nn.Flatten()
        self.fc = nn.LazyLinear(4)

    def forward(self, x):
        x = self.conv(x)
        x = self.layer(x) if isinstance(self.layer, nn.Module) else self.layer(self, x)
        return self.fc(self.code(x))


LAYERS = {
    "strided": nn.Conv2d(6, 5, 3, 2, 1),
    "same, even kernel": nn.Conv2d(6, 5, (4, 3), padding="same"),
    "valid": nn.Conv2d(6, 5, (2, 5), padding="valid"),
    "dilated, one way": nn.Conv2d(6, 5, 3, padding=(4, 2), dilation=(4, 2)),
    "groups": nn.Conv2d(6, 9, 3, groups=3),
    "depthwise": nn.Conv2d(6, 12, 5, 2, 2, groups=6),
    "stride over the kernel": nn.Conv2d(6, 5, 2, 3),
    "functional convolution": lambda m, x: F.conv2d(x, m.weight, None, 1, padding=2),
    "max pool, padded": nn.MaxPool2d(3, 2, 1),
    "max pool, ceil": nn.MaxPool2d(3, 3, ceil_mode=True),
    "max pool, dilated": nn.MaxPool2d(2, 1, dilation=3),
    "functional max pool": lambda m, x: F.max_pool2d(x, (2, 3), (3, 1), (1, 1)),
    "average pool": nn.AvgPool2d(2),
    "average pool, padding counts": nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    "average pool, padding does not count": nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    "average pool, own divisor": nn.AvgPool2d(3, 1, divisor_override=4),
    "functional average pool": lambda m, x: F.avg_pool2d(x, 3, stride=2, padding=1),
    "adaptive pool, even": nn.AdaptiveAvgPool2d((4, 3)),
    "functional adaptive pool, one": lambda m, x: F.adaptive_avg_pool2d(x, 1),
    "average pool over all": nn.AvgPool2d((16, 15)),
    "mean": lambda m, x: x.mean(dim=(2, 3), keepdim=True),
    "zero padding": nn.ZeroPad2d((2, 0, 1, 3)),
    "functional padding": lambda m, x: F.pad(x, (1, -1, 0, 2), value=0.5),
    "batch norm": nn.Sequential(nn.ReLU(), nn.BatchNorm2d(6)),
    "relu, in place": lambda m, x: F.relu(x, inplace=True),
    "relu method, in place": lambda m, x: x.relu_() + x,
    "leaky relu": nn.LeakyReLU(0.3, inplace=True),
    "leaky relu, functional": lambda m, x: F.leaky_relu(x, 0.2, inplace=True),
    "leaky relu that folds over": nn.LeakyReLU(1.5),
    "hardtanh, functional": lambda m, x: F.hardtanh(x, max_val=0.4),
    "relu6, functional": lambda m, x: F.relu6(x),
    "gelu": nn.GELU(approximate="tanh"),
    "silu": lambda m, x: F.silu(x),
    "sigmoid": torch.nn.Sigmoid(),
    "tanh method": lambda m, x: x.tanh(),
    "hardtanh": nn.Hardtanh(-0.5, 0.7),
    "hardswish": nn.Hardswish(),
    "prelu": nn.PReLU(6),
    "softplus": nn.Softplus(),
    "clamp": lambda m, x: x.clamp(-0.2, 0.4),
    "across channels": nn.LocalResponseNorm(3),
    "dropout": nn.Dropout2d(0.5),
    "scaled": lambda m, x: 1.0 - x / m.scale + torch.mul(x, 0.5),
    "sum in place": lambda m, x: operator.iadd(F.relu(x), x),
    "product of branches": lambda m, x: torch.sigmoid(m.conv(x[:, :3]) if False else x) * x,
    "branches of other reach": lambda m, x: F.conv2d(x, m.weight, padding=1) + x,
    "joined": lambda m, x: torch.cat((x, F.max_pool2d(x, 3, 1, 1), x.abs()), 1),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")  # PyTorch, once per process
@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_is_followed(name):
    layer = LAYERS[name]
    classifier = _classifier(One(layer), (3, 16, 15))
    images = random_images(classifier, n=2)
    evaluator = everywhere(classifier, images)
    for pixels in (1, 2):
        assert_agrees(evaluator, classifier, random_candidates(images, pixels=pixels, extra=4))
    assert evaluator.refusal == ""
    assert_agrees(IncrementalEvaluator(classifier, images), classifier, random_candidates(images, extra=4))
    # Nothing but the head, and what flattens for it, is left to whole maps.
    follower = evaluator._follower((1, 1))
    assert all(node not in follower.plan.reaches for node in follower.plan.frontier)


UNKNOWN = {
    "reflected padding": nn.Conv2d(6, 4, 3, padding=1, padding_mode="reflect"),
    "instance norm": nn.InstanceNorm2d(6),
    "squeeze and excitation": lambda m, x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "resized": lambda m, x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "uneven adaptive pool": nn.AdaptiveAvgPool2d((5, 4)),
    "transposed": nn.ConvTranspose2d(6, 4, 2, 2),
    "position in the map": lambda m, x: x * torch.linspace(0.0, 1.0, 15),
    "global max": nn.AdaptiveMaxPool2d(1),
    "turned": lambda m, x: x.transpose(2, 3),
    "sliced": lambda m, x: x[:, :, 1:],
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_layer_that_is_not_known_goes_on_with_whole_maps(name):
    classifier = _classifier(One(UNKNOWN[name]), (3, 16, 15))
    images = random_images(classifier, n=2)
    evaluator = everywhere(classifier, images)
    assert_agrees(evaluator, classifier, random_candidates(images, extra=4))
    assert evaluator.refusal == ""
    follower = evaluator._follower((1, 1))
    assert any(node in follower.plan.reaches for node in follower.plan.frontier)


def test_a_network_that_does_not_trace_is_left_to_the_plain_evaluator():
    classifier = _classifier(Branching(), (3, 14, 13))
    evaluator = check_evaluator(IncrementalEvaluator, classifier, n=2, extra=4)
    assert "does not trace" in evaluator.reason
    assert evaluator.tolerance == 0


def test_windows_that_disagree_are_given_up_with_the_reason(monkeypatch):
    classifier = _classifier(ConvNet(size=(40, 40)), (3, 40, 40))
    follow = Follower.__call__
    monkeypatch.setattr(Follower, "__call__", lambda self, candidates: follow(self, candidates) * 1.001)
    images = random_images(classifier)
    evaluator = windows(classifier, images)
    assert "from the plain ones" in evaluator.reason
    assert_agrees(evaluator, classifier, random_candidates(images))


def test_values_far_outside_are_tried_again(monkeypatch):
    classifier = _classifier(ConvNet(size=(40, 40)), (3, 40, 40))
    images = random_images(classifier)
    evaluator = windows(classifier, images)
    before, candidates = evaluator.tolerance, random_candidates(images)
    evaluator(candidates)
    assert evaluator.tolerance > before
    follow = Follower.__call__
    monkeypatch.setattr(Follower, "__call__", lambda self, candidates: follow(self, candidates) + 1.0)
    far = Candidates(candidates.image, candidates.row, candidates.column, candidates.value * 10)
    assert_agrees(evaluator, classifier, far)
    assert "from the plain ones" in evaluator.refusal


def test_values_that_are_not_finite_are_answered_as_by_the_plain_evaluator():
    classifier = _classifier(ConvNet(size=(40, 40)), (3, 40, 40))
    images = random_images(classifier)
    candidates = random_candidates(images)
    candidates.value[0, 0], candidates.value[1, 1] = torch.nan, torch.inf
    answer = IncrementalEvaluator(classifier, images)(candidates)
    torch.testing.assert_close(answer, PlainEvaluator(classifier, images)(candidates), equal_nan=True)


def test_little_memory_changes_no_answer_and_holds_few_images():
    classifier = _classifier(Residual(), (3, 45, 38))
    images = random_images(classifier, n=5)
    roomy = everywhere(classifier, images)
    one = roomy._follower((1, 1)).clean.bytes_per_image()
    tight = everywhere(classifier, images, memory=int(2.5 * one))
    clean = tight._follower((1, 1)).clean
    assert clean.slots == 2
    candidates = random_candidates(images)
    scale = float(roomy(candidates).abs().max())
    assert float((tight(candidates) - roomy(candidates)).abs().max()) < ROUNDING * scale
    assert_grouping_is_free(tight, candidates)


def test_images_used_last_stay_loaded(monkeypatch):
    classifier = _classifier(Residual(), (3, 45, 38))
    images = random_images(classifier, n=4)
    one = everywhere(classifier, images)._follower((1, 1)).clean.bytes_per_image()
    evaluator = everywhere(classifier, images, memory=2 * one)
    clean = evaluator._follower((1, 1)).clean
    loaded = []
    load = clean._load
    monkeypatch.setattr(clean, "_load", lambda slots, images: (loaded.extend(images), load(slots, images)))
    candidates = random_candidates(images)

    def ask(*wanted):
        loaded.clear()
        rows = torch.tensor([candidates.image.tolist().index(image) for image in wanted])
        evaluator(candidates.select(rows))
        return sorted(loaded)

    ask(0, 1)
    assert ask(0, 1) == []
    assert ask(1, 2) == [2]
    assert ask(1) == []
    assert ask(3) == [3]  # in the place of 2
    assert ask(1) == []


@pytest.mark.parametrize("make", [IncrementalEvaluator, everywhere], ids=["compiled", "everywhere"])
@pytest.mark.parametrize("sides", [(1, 1), (2, 2), (4, 4), (9, 9), (3, 14), (22, 7), (38, 30)])
def test_pixels_that_lie_together_are_followed_as_one_box(sides, make, monkeypatch):
    monkeypatch.setattr(incremental, "_MANY", 1)
    if make is IncrementalEvaluator and min(sides) > 20:
        pytest.skip("most of the maps change")
    classifier = _classifier(ConvNet(size=(64, 60)), (3, 64, 60))
    images = random_images(classifier)
    evaluator = make(classifier, images)
    candidates = random_candidates(images, pixels=3)
    generator = torch.Generator().manual_seed(1)
    down, across = (torch.randint(side, candidates.row.shape, generator=generator) for side in sides)
    row = (candidates.row[..., :1] + down).clamp_max(63)
    column = (candidates.column[..., :1] + across).clamp_max(59)
    close = Candidates(candidates.image, row, column, candidates.value)
    evaluator(close)  # the trial on these values, which asks the plain evaluator
    monkeypatch.setattr(evaluator, "plain", None)
    assert_agrees(evaluator, classifier, close)


def test_many_candidates_make_a_box_of_their_own_and_few_use_it(monkeypatch):
    monkeypatch.setattr(incremental, "_MANY", 8)
    classifier = _classifier(ConvNet(size=(64, 60)), (3, 64, 60))
    images = random_images(classifier)
    evaluator = IncrementalEvaluator(classifier, images)
    generator = torch.Generator().manual_seed(2)

    def ask(tall, wide, count):
        down, across = (at.flatten() for at in torch.meshgrid(torch.arange(tall), torch.arange(wide), indexing="ij"))
        row, column = (torch.randint(max(1, 60 - side), (1, count, 1), generator=generator) for side in (tall, wide))
        value = torch.rand(1, count, tall * wide, 3, generator=generator)
        assert_agrees(evaluator, classifier, Candidates(torch.tensor([0]), row + down, column + across, value))
        return {box for box, follower in evaluator._followers.items() if isinstance(follower, KernelFollower)}

    assert ask(7, 30, 7) == {(1, 1)}  # by whole images
    assert ask(9, 33, 8) == {(1, 1), (12, 40)}
    assert ask(7, 30, 7) == {(1, 1), (12, 40)}  # in the larger one
    assert ask(3, 7, 7) == {(1, 1), (12, 40), (8, 8)}
    assert ask(64, 52, 8) == {(1, 1), (12, 40), (8, 8)}  # most of the image


def test_few_candidates_make_no_box_of_their_own():
    classifier = _classifier(ConvNet(size=(64, 60)), (3, 64, 60))
    images = random_images(classifier)
    evaluator = everywhere(classifier, images)
    apart = random_candidates(images, pixels=3)  # all over the image
    assert_agrees(evaluator, classifier, apart)
    assert all(box[0] == box[1] <= 18 for box in evaluator._followers)
