"""The weights that a network begins with: all of a checkpoint, or all but a head that was made for other classes."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from robustkit.errors import InputError
from robustkit.models.foreign.state import find_parts, load_state
from robustkit.models.foreign.weights import read_weights

_log = logging.getLogger("robustkit.training")


def begin_with(network: nn.Module, path: Path) -> None:
    """Gives a network the weights of a checkpoint or state_dict, so that it is tuned from there.

    A head for other classes than those of the images stays as it was drawn: the last affine layer, and nothing else.

    Args:
        network: The network; changed in place.
        path: The file.

    Raises:
        InputError: If the weights are those of another network.
    """
    content = read_weights(path)
    try:
        load_state(network, content)
    except InputError as error:
        head = _head(network)
        for part in find_parts(content):
            wanted = network.state_dict()
            other = {
                name for name, tensor in part.tensors.items() if name in wanted and wanted[name].shape != tensor.shape
            }
            missing = {name for name in wanted if name not in part.tensors and not name.endswith("num_batches_tracked")}
            if head and other and other | missing <= head and all(name in wanted for name in part.tensors):
                kept = {name: tensor for name, tensor in part.tensors.items() if name not in head}
                network.load_state_dict(kept, strict=False)
                _log.warning(
                    "the head %s of %s is for other classes, so it begins at random", ", ".join(sorted(other)), path
                )
                return
        raise error


def _head(network: nn.Module) -> set[str]:
    """The names of the tensors of the last affine layer."""
    layers = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    return {f"{layers[-1]}.weight", f"{layers[-1]}.bias"} if layers else set()
