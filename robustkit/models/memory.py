"""When memory runs out: how it is told from other errors, and how what a failed try held is given back."""

from __future__ import annotations

import gc

import torch
from torch import Tensor, nn

from robustkit.devices import empty_cache
from robustkit.errors import OutOfMemory

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "CUDNN_STATUS_NOT_SUPPORTED", "CUBLAS_STATUS_ALLOC_FAILED")


# What the layers of a network may fill at once where nothing says how much memory there is.
_MOST_BYTES = 512 << 20


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError, OutOfMemory)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def bytes_per_image(module: nn.Module, image: Tensor) -> tuple[int, int]:
    """How much memory the layers of a network fill for one image: the largest of them, and all together.

    Args:
        module: The network, in evaluation mode.
        image: Network input, shape (1, C, H, W), or of two images where it takes no single one.

    Returns:
        Bytes of float32; for a network whose layers cannot be seen, those of 64 bands of the size of the image.
    """
    found: list[int] = []

    def note(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            found.append(output.numel() * 4 // len(image))

    handles = [layer.register_forward_hook(note) for layer in module.modules() if layer is not module]
    try:
        with torch.inference_mode():
            module(image.clone())
    finally:
        for handle in handles:
            handle.remove()
    unseen = 64 * image[0, 0].numel() * 4
    return (max(found), sum(found)) if found else (unseen, 4 * unseen)


def images_in_memory(module: nn.Module, image: Tensor) -> int:
    """How many images go through a network at once in half a gigabyte of layers, at least 1.

    Args:
        module: The network.
        image: Network input, as for `bytes_per_image`.
    """
    largest, _ = bytes_per_image(module, image)
    return max(1, _MOST_BYTES // (3 * largest))  # a layer, the one before it, and what a library needs beside them


def free_memory() -> None:
    """Gives back what a failed try held; to be called outside the `except` block, whose traceback holds tensors."""
    gc.collect()
    empty_cache()
