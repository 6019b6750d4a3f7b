"""Grad-CAM of a network whose gradients are known."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import nn

from robustkit.errors import InputError, MissingExtra
from robustkit.latent.grad_cam import grad_cam
from robustkit.models import AuditedClassifier


class Corner(nn.Module):
    """Class 1 is what is bright in the upper left corner; Grad-CAM averages its gradients over the image."""

    latent = "latent_layer"

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.latent_layer = nn.Linear(128, 2)
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            self.conv.weight[0] = 1
            self.latent_layer.weight[1].view(2, 8, 8)[0, :4, :4] = 1
            self.head.weight.copy_(torch.eye(2))

    def forward(self, images):
        return self.head(self.latent_layer(self.conv(images).flatten(1)))


def test_it_lights_up_where_the_image_speaks_for_the_class():
    pytest.importorskip("captum")
    classifier = AuditedClassifier(Corner().eval(), input_shape=(1, 8, 8))
    images = torch.zeros(2, 1, 8, 8)
    images[0, 0, 2, 3] = 1.0
    images[1, 0, 6, 5] = 2.0
    shown = grad_cam(classifier, images, torch.tensor([1, 1]))
    assert shown.shape == (2, 8, 8)
    for image, place in zip(shown, ((2, 3), (6, 5)), strict=True):
        assert np.unravel_index(image.argmax(), image.shape) == place
        assert image.max() == pytest.approx(1)
        assert (image > 0).sum() == 1
    assert (grad_cam(classifier, images, torch.tensor([0, 0])) == 0).all()  # nothing speaks for class 0
    with pytest.raises(InputError, match="there are conv"):
        grad_cam(classifier, images, torch.tensor([1, 1]), layer="head")


def test_a_missing_captum_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    classifier = AuditedClassifier(Corner().eval(), input_shape=(1, 8, 8))
    with pytest.raises(MissingExtra, match=r"robustkit-audit\[captum\]"):
        grad_cam(classifier, torch.zeros(1, 1, 8, 8), torch.tensor([1]))
