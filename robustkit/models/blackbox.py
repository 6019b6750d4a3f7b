"""`BlackBox`: a classifier of which nothing is known but its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from robustkit.errors import NoGraph
from robustkit.models.classifier import AuditedClassifier
from robustkit.models.outputs import Output


class BlackBox(AuditedClassifier):
    """A function from images to scores, which can be attacked and swept; it has no latent and no gradient.

    Args:
        predict: From a batch of images, shape (N, C, H, W), to scores, shape (N, K). A `torch.nn.Module` gets tensors,
            anything else float32 NumPy arrays.
        input_shape: (C, H, W) of the images it takes.
        class_names: The K classes, in the order of the scores.
        output: Which part of the return value holds the scores, and what they are.

    Raises:
        InputError: If the answers depend on the batch or on chance, or are not what `output` says.

    Examples:
        >>> flat = BlackBox(lambda images: images.mean((2, 3)), input_shape=(3, 8, 8))
        >>> flat.classes
        3
    """

    def __init__(
        self,
        predict: Callable[..., Any],
        *,
        input_shape: Sequence[int],
        class_names: Sequence[str] | None = None,
        output: Output | None = None,
    ) -> None:
        network = predict if isinstance(predict, Calls) else Calls(predict)
        super().__init__(network.eval(), input_shape=input_shape, class_names=class_names, output=output)

    def _choose_latent(self, latent: str | None, logits: Tensor) -> None:
        self._without_latent(
            "nothing inside a black box can be seen; give the network itself, or an ONNX graph, for what needs a latent"
        )
        self.notes.append("latent: none, because nothing inside a black box can be seen")


class Calls(nn.Module):
    """Calls a function as if it were a network.

    Args:
        predict: The function; see `BlackBox`.
    """

    def __init__(self, predict: Callable[..., Any]) -> None:
        super().__init__()
        # In a list, so that a module is not taken for a part of this one: it may be a script, which has no such parts.
        self._held = [predict]

    def forward(self, images: Tensor) -> Any:
        """What the function returns, with arrays as tensors."""
        if isinstance(images, fx.Proxy):
            raise NoGraph("a black box has no graph")
        predict = self._held[0]
        with torch.no_grad():
            if isinstance(predict, nn.Module):
                return predict(images)
            return _tensors(predict(images.detach().cpu().numpy().astype(np.float32)), images.device)

    def __deepcopy__(self, memo: Any) -> Calls:
        raise NoGraph("a black box has no graph")


def _tensors(value: Any, device: torch.device) -> Any:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value, dtype=np.float32)).to(device)
    if isinstance(value, dict):
        return {key: _tensors(item, device) for key, item in value.items()}
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, list | tuple) and all(isinstance(item, np.ndarray | Tensor) for item in value):
        return [_tensors(item, device) for item in value]
    return value
