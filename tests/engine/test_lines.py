import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from robustkit.engine.bends import Bend, apply, bends_of
from robustkit.engine.chain import Affine, UnsupportedChain
from robustkit.engine.lines import LineNetwork
from robustkit.models import AuditedClassifier, Output

pytest.importorskip("numba")
SHAPE = (2, 13, 12)


class Chain(nn.Module):
    latent = "fc"

    def __init__(self, *layers, cells=9, classes=3):
        super().__init__()
        self.features, self.flatten = nn.Sequential(*layers), nn.Flatten()
        self.fc, self.relu, self.last = nn.Linear(4 * cells, 6), nn.ReLU(), nn.Linear(6, classes)

    def forward(self, x):
        return self.last(self.relu(self.fc(self.flatten(self.features(x)))))


def conv(bands, channels):
    return nn.Conv2d(bands, channels, 3, padding=1)


# Max and mean pools, functions that fall or are flat before a max pool, pools that drop the last row, no pool at all.
NETWORKS = {
    "published": lambda: [conv(2, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
                          conv(3, 4), nn.ReLU(), nn.MaxPool2d(2)],
    "mean": lambda: [conv(2, 3), nn.LeakyReLU(0.1), nn.AvgPool2d(2), conv(3, 4), nn.ReLU6(), nn.AvgPool2d(2)],
    "falling": lambda: [conv(2, 3), nn.ReLU(), nn.BatchNorm2d(3), nn.MaxPool2d(2),
                        conv(3, 4), nn.Hardtanh(-0.3, 0.4), nn.BatchNorm2d(4), nn.MaxPool2d(2)],
    "no padding": lambda: [nn.Conv2d(2, 3, 5), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.ReLU()],
}  # fmt: skip


def classifier_of(name):
    torch.manual_seed(1)
    layers = NETWORKS[name]()
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            with torch.no_grad():
                for values in (layer.weight, layer.bias, layer.running_mean):
                    values.normal_()
    return AuditedClassifier(Chain(*layers).eval(), input_shape=SHAPE)


def every_line():
    """Corners, borders and the inside, both bands and both directions."""
    lines = np.array([(r, c, b, s) for r in (0, 5, 12) for c in (0, 6, 11) for b in (0, 1) for s in (1, -1)])
    ways = np.zeros((len(lines), 2))
    ways[np.arange(len(lines)), lines[:, 2]] = lines[:, 3]
    return lines, ways


def margins(module, image, label, row, column, way, distances):
    images = image[None].double().repeat(len(distances), 1, 1, 1)
    images[:, :, row, column] += torch.from_numpy(distances[:, None] * way)
    with torch.no_grad():
        logits = module(images)
    mine = logits[:, label].clone()
    logits[:, label] = -torch.inf
    return (logits.amax(1) - mine).numpy()


@pytest.mark.parametrize("shortest", [1 / 64, 2.0])  # bounds first; every breakpoint of every line
@pytest.mark.parametrize("name", NETWORKS)
def test_every_distance_is_judged_as_the_network_judges_it(name, shortest, monkeypatch):
    monkeypatch.setattr("robustkit.engine.lines._SHORTEST", shortest)
    classifier = classifier_of(name)
    images = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(2))
    label, other = classifier(images[:1])[0].topk(2).indices.tolist()
    with torch.no_grad():  # so near to the boundary that lines cross it
        ahead = classifier(images[:1])[0, label] - classifier(images[:1])[0, other]
        classifier.module.last.bias[label] -= ahead - 1e-3
    network = LineNetwork(classifier, images)
    lines, ways = every_line()
    spans = network.follow(images[0], label, lines[:, :2], ways, np.full(len(lines), 40.0))
    assert spans.whole.all()
    assert spans.pieces.max() > (5 if shortest > 1 else 0)
    module, distances = classifier.module.double(), np.sort(np.random.default_rng(0).uniform(0, 40, 300))
    flips = 0
    for i, (row, column, _, _) in enumerate(lines):
        margin = margins(module, images[0], label, row, column, ways[i], distances)
        mine = spans.line == i
        inside = ((spans.start[mine][:, None] < distances) & (distances < spans.stop[mine][:, None])).any(0)
        sure = np.abs(margin) > 1e-5
        np.testing.assert_array_equal(inside[sure], (margin > 0)[sure])
        assert margin.max() <= max(spans.peak.max(), 0) + 1e-5
        peak = margins(module, images[0], label, row, column, ways[i], spans.peak_at[i : i + 1])
        np.testing.assert_allclose(peak, spans.peak[i], atol=1e-5)
        # A step past an end ceases to flip or begins to.
        for start, stop in zip(spans.start[mine], spans.stop[mine], strict=True):
            for end, inner in ((start, 1), (stop, -1)):
                if 0 < end < 40:
                    near = margins(
                        module, images[0], label, row, column, ways[i], end + np.array([-1e-3, 1e-3]) * inner
                    )
                    assert near[0] < 1e-6 < near[1] or abs(near).max() < 1e-4
                    flips += 1
    module.float()
    assert flips


@pytest.mark.parametrize("name", NETWORKS)
def test_the_line_that_comes_nearest_is_found_where_none_flips(name):
    classifier = classifier_of(name)
    images = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(3))
    label, other = classifier(images)[0].topk(2).indices.tolist()
    with torch.no_grad():
        classifier.module.last.bias[other] -= 500
        classifier.module.last.bias[3 - label - other] -= 500
    network = LineNetwork(classifier, images)
    lines, ways = every_line()
    spans = network.follow(images[0], label, lines[:, :2], ways, np.full(len(lines), 10.0))
    assert len(spans.line) == 0
    module, distances = classifier.module.double(), np.linspace(0, 10, 400)
    seen = [
        margins(module, images[0], label, row, column, ways[i], distances).max()
        for i, (row, column, _, _) in enumerate(lines)
    ]
    assert max(seen) <= spans.peak.max() + 1e-5
    best = int(spans.peak.argmax())
    again = margins(module, images[0], label, *lines[best, :2], ways[best], spans.peak_at[best : best + 1])
    np.testing.assert_allclose(again, spans.peak[best], atol=1e-4)
    more = network.follow(images[0], label, lines[:, :2], ways, np.full(len(lines), 10.0), known=-1e-3)
    assert more.pieces.sum() == 0
    module.float()


def test_threads_and_lines_one_by_one_change_nothing():
    classifier = classifier_of("published")
    images = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(2))
    network = LineNetwork(classifier, images)
    lines, ways = every_line()
    many = np.tile(lines[:, :2], (20, 1))
    whole = network.follow(images[0], 0, many, np.tile(ways, (20, 1)), np.full(len(many), 40.0), threads=3)
    alone = network.follow(images[0], 0, lines[7:8, :2], ways[7:8], np.array([40.0]))
    assert whole.peak[7] == alone.peak[0] == whole.peak[7 + len(lines)]
    np.testing.assert_array_equal(whole.start[whole.line == 7], alone.start)


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        ([nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.Tanh(), nn.MaxPool2d(2)], "stride"),
        ([conv(2, 4), nn.Sigmoid(), nn.MaxPool2d(4)], "Sigmoid"),
    ],
)
def test_what_is_not_followed_is_refused_with_the_reason(layers, why):
    torch.manual_seed(0)
    classifier = AuditedClassifier(Chain(*layers).eval(), input_shape=SHAPE)
    with pytest.raises(UnsupportedChain, match=why):
        LineNetwork(classifier, torch.rand(1, *SHAPE))


def test_one_logit_is_followed_as_two():
    torch.manual_seed(0)
    module = Chain(*NETWORKS["published"](), classes=1).eval()
    classifier = AuditedClassifier(module, input_shape=SHAPE, output=Output())
    images = torch.rand(1, *SHAPE)
    network = LineNetwork(classifier, images)
    np.testing.assert_allclose(network.logits(images).numpy(), classifier(images).detach().numpy(), atol=1e-5)


@given(st.lists(st.sampled_from(["relu", "leaky", "clamp", "falls", "flat"]), max_size=5), st.sampled_from([1.0, -1.0]))
def test_functions_in_a_row_become_one(names, sign):
    known = {
        "relu": ("clamp", 0.0, float("inf")), "leaky": ("leaky", 0.2), "clamp": ("clamp", -0.5, 0.75),
        "falls": Affine(torch.tensor([-1.5]), torch.tensor([0.25])),
        "flat": Affine(torch.tensor([0.0]), torch.tensor([1.0])),
    }  # fmt: skip
    functions = [known[name] for name in names]
    (bend,) = bends_of(functions, 1, np.array([sign]))
    x = torch.linspace(-4, 4, 401, dtype=torch.float64)
    expected = apply(functions, sign * x[:, None])[:, 0].numpy()
    at = np.searchsorted(np.array(bend.start[1:]), x.numpy(), side="right")
    found = np.array(bend.slope)[at] * x.numpy() + np.array(bend.shift)[at]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert list(bend.start) == sorted(set(bend.start))
    assert isinstance(bend, Bend)
