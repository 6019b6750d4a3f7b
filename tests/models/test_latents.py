# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""Heads that are functions of the code: the latent is what the last affine step takes, and the split is proved."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from robustkit.errors import InputError
from robustkit.latent.geometry import AffineHead
from robustkit.latent.heads import find_head
from robustkit.models import AuditedClassifier, Output
from robustkit.models.endings import cut_ending
from robustkit.models.fronts.base import behind, in_network
from robustkit.models.latents import LAST_STEP, MEAN_OF

SHAPE = (3, 6, 6)
IMAGES = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(0))
MEAN = MEAN_OF + LAST_STEP


class Directions(nn.Module):
    """A head inside of a layer that is not an affine one."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 6))

    def forward(self, x):
        return 20 * functional.linear(functional.normalize(x), functional.normalize(self.weight))


class Normed(nn.Linear):
    """A layer that is called affine and normalises what it takes."""

    def forward(self, x):
        return functional.linear(functional.normalize(x), self.weight)


class Backbone(nn.Module):
    """Six numbers of an image, and a head that is a function."""

    def __init__(self, head, of="vector"):
        super().__init__()
        self.conv, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.W, self.V = nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.randn(4, 6))
        self.b, self.T, self.M = nn.Parameter(torch.randn(4)), nn.Parameter(torch.tensor(1.7)), torch.randn(4, 4)
        self.fc, self.directions, self.normed = nn.Linear(6, 4), Directions(), Normed(6, 4)
        self.head, self.of = head, of

    def forward(self, x):
        maps = torch.relu(self.conv2(torch.relu(self.conv(x))))
        return self.head(self, maps if self.of == "map" else maps.mean((2, 3)))


def looked(z):
    """What torch.fx cannot follow: it depends on numbers."""
    return z if float(z.detach().sum()) > -1e9 else 2 * z


VECTORS = {
    "linear": lambda s, z: functional.linear(z, s.W, s.b),
    "matmul": lambda s, z: z @ s.W.T + s.b,
    "matmul, transposed": lambda s, z: (s.W @ z.T).T + s.b,
    "addmm": lambda s, z: torch.addmm(s.b, z, s.W.T),
    "einsum": lambda s, z: torch.einsum("kd,nd->nk", s.W, z) + s.b,
    "tensordot": lambda s, z: torch.tensordot(z, s.W, dims=([1], [1])),
    "a batch of products": lambda s, z: torch.bmm(z[:, None], s.W.T.expand(len(z), 6, 4)).squeeze(1),
    "products and sums": lambda s, z: (z[:, None] * s.W).sum(-1) + s.b,
    "one sum per class": lambda s, z: torch.stack([(z * w).sum(1) for w in s.W], 1),
    "distances to prototypes": lambda s, z: -((z[:, None] - s.W) ** 2).sum(-1),
    "angles": lambda s, z: 30 * functional.linear(functional.normalize(z), functional.normalize(s.W)),
    "in a layer": lambda s, z: s.directions(z),
    "in an affine layer": lambda s, z: s.normed(z),
    "a temperature": lambda s, z: functional.linear(z, s.W, s.b) / s.T,
    "calibrated by a matrix": lambda s, z: functional.linear(z, s.W, s.b) @ s.M,
    "tied weights": lambda s, z: functional.linear(z, s.fc.weight),
    "a layer used twice": lambda s, z: s.fc(z) + 0.3 * s.fc(2 * z),
    "two heads added": lambda s, z: functional.linear(z, s.W) + functional.linear(z, s.V),
    "two heads joined": lambda s, z: torch.cat([functional.linear(z, s.W)[:, :2], functional.linear(z, s.V)[:, :2]], 1),
    "squeezed": lambda s, z: torch.matmul(z.unsqueeze(1), s.W.T).squeeze(),
    "a view by the number of images": lambda s, z: functional.linear(z, s.W).view(z.size(0), -1),
    "a branch on numbers": lambda s, z: functional.linear(looked(z), s.W, s.b),
    "ReLU in place": lambda s, z: functional.linear(functional.relu(z, inplace=True), s.W),
    "a layer made where it runs": lambda s, z: functional.linear(nn.ReLU()(z), s.W),
}
MAPS = {
    "1x1 and mean": (lambda s, m: functional.conv2d(m, s.W[:, :, None, None], s.b).mean((2, 3)), MEAN),
    "1x1 and pool": (
        lambda s, m: functional.adaptive_avg_pool2d(functional.conv2d(m, s.W[:, :, None, None]), 1).flatten(1), MEAN,
    ),
    "tokens": (lambda s, m: functional.linear(m.flatten(2).mT, s.W, s.b).mean(1), MEAN),
    "einsum": (lambda s, m: torch.einsum("nchw,kc->nk", m, s.W) / 36, MEAN),
    "pooled, 1x1, squeezed": (
        lambda s, m: functional.conv2d(m.mean((2, 3), keepdim=True), s.W[:, :, None, None]).squeeze(), LAST_STEP,
    ),
}  # fmt: skip


def _proved(classifier, name, size=6):
    assert classifier.latent_name == name
    assert any(note.startswith(f"latent: {name}") for note in classifier.notes)
    with torch.inference_mode():
        latents = classifier.embed(IMAGES)
        assert latents.shape == (5, size)
        torch.testing.assert_close(classifier.head(latents), classifier(IMAGES), rtol=1e-5, atol=1e-5)
        # What `--latent` is told finds the same again.
        again = AuditedClassifier(classifier.module, input_shape=SHAPE, latent=name, output=classifier.output)
        assert torch.equal(again.embed(IMAGES), latents)
    return find_head(classifier, latents.numpy())


@pytest.mark.parametrize("name", VECTORS)
def test_the_latent_is_what_a_function_takes(name):
    torch.manual_seed(0)
    network = Backbone(VECTORS[name]).eval()
    head = _proved(AuditedClassifier(network, input_shape=SHAPE), LAST_STEP)
    assert isinstance(head, AffineHead)


@pytest.mark.parametrize("name", MAPS)
def test_the_mean_of_a_map_is_the_latent_where_it_is_enough(name):
    torch.manual_seed(0)
    how, key = MAPS[name]
    head = _proved(AuditedClassifier(Backbone(how, "map").eval(), input_shape=SHAPE), key)
    assert isinstance(head, AffineHead)


def test_a_map_of_which_the_mean_is_not_enough_stays_a_map():
    torch.manual_seed(0)
    kernel = torch.randn(4, 6, 3, 3)
    for of in (
        lambda s, m: functional.conv2d(m, kernel, padding=1).mean((2, 3)),
        lambda s, m: functional.conv2d(m, s.W[:, :, None, None]).amax((2, 3)),
    ):
        classifier = AuditedClassifier(Backbone(of, "map").eval(), input_shape=SHAPE)
        assert classifier.latent_name == LAST_STEP
        assert classifier.latent_shape == (6, 6, 6)
        with pytest.raises(InputError, match="does not follow from the mean of input of the last affine step"):
            AuditedClassifier(classifier.module, input_shape=SHAPE, latent=MEAN)


def test_the_head_of_the_scores_is_split_and_not_another():
    torch.manual_seed(0)
    network = Backbone(lambda s, z: (functional.linear(z, s.W), functional.linear(torch.tanh(z), s.V))).eval()
    vectors = [AuditedClassifier(network, input_shape=SHAPE, output=Output(part)).embed(IMAGES) for part in (0, 1)]
    torch.testing.assert_close(torch.tanh(vectors[0]), vectors[1])
    assert not torch.equal(vectors[0], vectors[1])


def test_angles_alone_are_no_affine_head():
    network = Backbone(lambda s, z: functional.cosine_similarity(z[:, None], s.W[None], dim=-1)).eval()
    assert _proved(AuditedClassifier(network, input_shape=SHAPE), LAST_STEP) is None


def test_nothing_is_taken_for_a_latent_that_the_answer_does_not_follow_from():
    torch.manual_seed(0)
    for around in (
        lambda s, z: functional.linear(z, s.W) + 0.1 * z[:, :4],  # which follows from z, but is joined with weights
        lambda s, m: functional.linear(m.mean((2, 3)), s.W) + 0.1 * m.amax((2, 3))[:, :4],
    ):
        of = "vector" if around.__code__.co_varnames[1] == "z" else "map"
        classifier = AuditedClassifier(Backbone(around, of).eval(), input_shape=SHAPE)
        assert classifier.latent_shape == ((6,) if of == "vector" else (6, 6, 6))


class Branches(nn.Module):
    """Two branches that begin where an image was normalised."""

    def __init__(self):
        super().__init__()
        self.scale = nn.BatchNorm2d(3)
        self.one, self.two = (Backbone(VECTORS["linear"]) for _ in range(2))

    def forward(self, x):
        x = self.scale(x)
        return self.one(x) + self.two(x.flip(3))


def test_the_image_is_no_latent_of_branches():
    classifier = AuditedClassifier(Branches().eval(), input_shape=SHAPE)
    assert classifier.latent_name is None
    assert "no layer was found that the answer follows from alone" in classifier.why_no_latent
    linear = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(108, 3)).eval()
    assert AuditedClassifier(linear, input_shape=SHAPE).latent_name == "1"  # where it is what the affine step takes


def test_training_takes_layers_alone():
    network = Backbone(VECTORS["linear"]).eval()
    found = AuditedClassifier(network, input_shape=SHAPE, steps=False)
    assert found.latent_name not in (LAST_STEP, MEAN)


ENDS = {
    "softmax": (lambda z: nn.Softmax(dim=1)(z), "softmax"),
    "by name": (lambda z: torch.softmax(input=z, dim=-1), "softmax"),
    "of a scaled head": (lambda z: (z / 2).log_softmax(-1), "log_softmax"),
    "sigmoid, squeezed": (lambda z: torch.sigmoid(z[:, :1])[:, 0], "sigmoid"),
}


@pytest.mark.parametrize("see", [looked, lambda z: z], ids=["not followed by torch.fx", "followed"])
@pytest.mark.parametrize("name", ENDS)
def test_an_ending_is_cut_off_whether_or_not_torch_fx_follows_the_code(name, see):
    torch.manual_seed(0)
    end, kind = ENDS[name]
    network = Backbone(lambda s, z: end(see(functional.linear(z, s.W)))).eval()
    before = network(IMAGES)
    cut = cut_ending(network, Output(), IMAGES)
    assert cut is not None
    assert cut.kind == kind
    logits = cut.network(IMAGES)
    made = {"softmax": logits.softmax(-1), "log_softmax": logits.log_softmax(-1), "sigmoid": logits.sigmoid()}[kind]
    torch.testing.assert_close(made, before)
    assert not torch.allclose(logits, before)
    assert torch.equal(network(IMAGES), before)  # the network itself is as it was
    assert {key for key, _ in cut.network.named_parameters()} <= {key for key, _ in network.named_parameters()}
    assert AuditedClassifier(cut.network.eval(), input_shape=SHAPE).latent_name == LAST_STEP


@pytest.mark.parametrize("end", [lambda z: z.softmax(0), lambda z: z.softmax(1) * 2, lambda z: z.relu()])
def test_what_is_no_ending_stays_where_torch_fx_does_not_follow(end):
    assert cut_ending(Backbone(lambda s, z: end(looked(s.fc(z)))).eval(), Output(), IMAGES) is None


def test_names_of_latents_go_behind_a_front_end_and_back():
    for name in ("fc", "input of fc", "mean of fc", "mean of input of fc", LAST_STEP, MEAN):
        assert in_network(behind(name)) == name
    assert behind("mean of input of fc") == "mean of input of network.fc"
    assert behind(LAST_STEP) == LAST_STEP


def test_a_step_is_found_in_a_network_that_is_given_an_image_twice():
    def squeezed(s, m):
        both = torch.cat([m.mean((2, 3), keepdim=True), m.amax((2, 3), keepdim=True)], 1).squeeze()
        return functional.linear(both, torch.cat([s.W, s.V], 1))

    torch.manual_seed(0)
    classifier = AuditedClassifier(Backbone(squeezed, "map").eval(), input_shape=SHAPE)
    assert classifier.pairs
    assert classifier.latent_name == LAST_STEP
    one = torch.cat([classifier.embed(image[None]) for image in IMAGES])
    torch.testing.assert_close(one, classifier.embed(IMAGES))
    torch.testing.assert_close(classifier.head(one), classifier(IMAGES))
    torch.testing.assert_close(classifier.head(one[:1]), classifier(IMAGES[:1]))


def test_gradients_pass_through_a_step():
    network = Backbone(VECTORS["matmul"]).eval()
    classifier = AuditedClassifier(network, input_shape=SHAPE)
    latents = torch.randn(3, 6, requires_grad=True)
    classifier.head(latents)[:, 0].sum().backward()
    np.testing.assert_allclose(latents.grad.numpy(), network.W[0].detach().expand(3, -1).numpy(), rtol=1e-6)
