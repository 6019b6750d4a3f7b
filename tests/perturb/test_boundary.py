import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from robustkit.findings.sweep.job import sweep
from robustkit.findings.sweep.summary import summarize_sweep
from robustkit.models import AuditedClassifier
from robustkit.perturb.boundary import boundary_distance, flat_error, implied_distance
from robustkit.perturb.faults.naming import make_perturbation

SHAPE = (2, 4, 5)


class Linear(nn.Module):
    """Four classes with flat boundaries."""

    latent = "flatten"

    def __init__(self):
        super().__init__()
        self.flatten, self.fc = nn.Flatten(), nn.Linear(40, 4)
        nn.init.normal_(self.fc.weight, generator=torch.Generator().manual_seed(1))
        self.eval()

    def forward(self, images):
        return self.fc(self.flatten(images))


class Ball(nn.Module):
    """Class 1 outside a ball of radius 2 about zero: the boundary bends towards what is inside."""

    latent = "flatten"

    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.eval()

    def forward(self, images):
        norm = self.flatten(images).norm(dim=1)
        return torch.stack([2 - norm, norm - 2], 1)


def test_distances_of_a_linear_network_are_the_formula():
    network = Linear()
    classifier = AuditedClassifier(network, input_shape=SHAPE)
    images = torch.randn(30, *SHAPE, generator=torch.Generator().manual_seed(0))
    logits, weight = network(images).detach(), network.fc.weight.detach()
    labels = logits.argmax(1)
    gaps = logits.gather(1, labels[:, None]) - logits
    slopes = (weight[labels][:, None] - weight[None]).norm(dim=2)
    expected = torch.where(slopes > 0, gaps / slopes.clamp_min(1e-9), torch.inf).amin(1).numpy()
    np.testing.assert_allclose(boundary_distance(classifier, images, labels), expected, rtol=2e-3, atol=1e-5)
    assert (boundary_distance(classifier, images, (labels + 1) % 4) == 0).all()
    with torch.inference_mode():  # as in a sweep
        np.testing.assert_allclose(
            boundary_distance(classifier, images.clone(), labels), expected, rtol=2e-3, atol=1e-5
        )


def test_distances_to_a_sphere_and_to_no_boundary():
    images = torch.randn(6, *SHAPE, generator=torch.Generator().manual_seed(0))
    images = (
        images / images.flatten(1).norm(dim=1)[:, None, None, None] * torch.linspace(0.2, 1.9, 6)[:, None, None, None]
    )
    found = boundary_distance(AuditedClassifier(Ball(), input_shape=SHAPE), images, torch.zeros(6, dtype=torch.long))
    np.testing.assert_allclose(found, 2 - np.linspace(0.2, 1.9, 6), rtol=1e-3)

    class Same(Ball):
        def forward(self, images):
            return super().forward(images) * 0 + torch.tensor([3.0, 0.0])

    found = boundary_distance(AuditedClassifier(Same(), input_shape=SHAPE), images, torch.zeros(6, dtype=torch.long))
    assert np.isinf(found).all()


def test_noise_agrees_with_flat_boundaries_and_not_with_a_bent_one():
    rng = np.random.default_rng(0)
    ids = [str(i) for i in range(2000)]
    noise = [make_perturbation("gaussian", level) for level in (0.3, 1.0)]
    axis = np.zeros((2000, *SHAPE), np.float32)
    axis[:, 0, 0, 0] = rng.uniform(0.5, 1.5, 2000)

    class Half(Ball):  # class 1 below 0 in the first pixel
        def forward(self, images):
            first = self.flatten(images)[:, 0]
            return torch.stack([first, -first], 1)

    classifier = AuditedClassifier(Half(), input_shape=SHAPE)
    checks = summarize_sweep(sweep(classifier, axis, np.zeros(2000, int), ids, noise, stretch=None)).noise
    for check in checks:
        assert abs(float(check.error.value) - check.flat) < 4 * math.sqrt(check.flat / 2000)
        assert check.flat == pytest.approx(norm.cdf(-axis[:, 0, 0, 0] / check.sigma).mean(), rel=1e-2)
    assert (
        "flat boundaries would give"
        in summarize_sweep(sweep(classifier, axis, np.zeros(2000, int), ids, noise, stretch=None)).text()
    )
    ball = AuditedClassifier(Ball(), input_shape=SHAPE)
    near, far = summarize_sweep(sweep(ball, axis, np.zeros(2000, int), ids, noise, stretch=None)).noise
    assert far.error.value > 0.9 > 2 * far.flat
    assert far.implied[0] < 0 < far.distance
    assert near.sigma == 0.3


def test_the_formula_of_ford_and_its_inverse():
    distance = np.array([0.1, 0.5, 2.0])
    np.testing.assert_allclose(implied_distance(flat_error(distance, 0.4), 0.4), distance)
