"""Where the images of a run are kept: on the device when they fit, and otherwise beside it."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from robustkit.devices import free_bytes

_log = logging.getLogger("robustkit.training")
# The rest is for the network, its gradients and the feature maps of a batch.
_SHARE = 0.5


def hold(images: Tensor, device: torch.device | str) -> Tensor:
    """Puts images on a device if they take at most half of what is free there; otherwise batches are moved one by one.

    Args:
        images: On the CPU.
        device: Device of the network.

    Returns:
        The images on the device, or as they were.
    """
    place = torch.device(device)
    free = free_bytes(place)
    if free is not None and images.nbytes > _SHARE * free:
        _log.info("%d images (%.1f GB) stay in main memory, %s has too little", len(images), images.nbytes / 1e9, place)
        return images
    return images.to(place)
