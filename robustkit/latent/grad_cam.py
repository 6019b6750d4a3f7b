"""Grad-CAM: which parts of an image speak for a class, in the eyes of one convolution."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from robustkit.errors import InputError
from robustkit.extras import require
from robustkit.models import AuditedClassifier


def grad_cam(classifier: AuditedClassifier, images: Tensor, classes: Tensor, *, layer: str | None = None) -> np.ndarray:
    """Grad-CAM of images for a class each.

    Such a map is as coarse as the layer's, and shows what speaks for the class, not what would change it.

    Args:
        classifier: The network.
        images: Network input, shape (N, C, H, W).
        classes: The class of each to explain, shape (N,).
        layer: A convolution; by default the last one.

    Returns:
        Maps, shape (N, H, W), at least 0, the highest of each image 1; all 0 where nothing speaks for the class.

    Raises:
        MissingExtra: If captum is not installed.
        InputError: If there is no such convolution.

    Source: Selvaraju et al. 2017, arXiv:1610.02391; captum computes it.
    """
    captum = require("captum.attr", extra="captum", purpose="draw a Grad-CAM")
    convolutions = {name: module for name, module in classifier.module.named_modules() if isinstance(module, nn.Conv2d)}
    if not convolutions:
        raise InputError("the network has no convolution, and a Grad-CAM looks at one")
    name = layer if layer is not None else list(convolutions)[-1]
    if name not in convolutions:
        raise InputError(f"no convolution is called {name!r}; there are {', '.join(convolutions)}")
    attribution = captum.LayerGradCam(classifier, convolutions[name])
    found = attribution.attribute(images.to(classifier.device), target=classes.to(classifier.device))
    shown = captum.LayerAttribution.interpolate(found.detach(), tuple(images.shape[2:]), interpolate_mode="bilinear")
    shown = torch.relu(shown[:, 0])
    return (shown / shown.amax((1, 2), keepdim=True).clamp_min(1e-12)).cpu().numpy()
