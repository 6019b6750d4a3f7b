# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""How the models of the table are made: a network that decides differently between images, written as strangers do."""

from __future__ import annotations

import hashlib
import math
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.cli.forms import networks

CODE = Path(networks.__file__)
COUNT, SIZE = 12, 12
# Of the network's input, so that a pixel may become what no image shows.
BOUNDS = ["--bounds", "0", "1"]


def pictures(bands: int = 3, size: int = SIZE) -> np.ndarray:
    """Images about a half that differ so little that one pixel outweighs the difference, shape (N, C, H, W)."""
    noise = np.random.default_rng(0).random((COUNT, bands, size, size), dtype=np.float32) - np.float32(0.5)
    return (0.5 + min(1.0, 4 / size) * noise).astype(np.float32)


def made(
    name: str, images: np.ndarray, outputs: int = 3, *, seed: int = 0, share: float = 0.5, half: bool = False,
    **kwargs: Any,
) -> Any:  # fmt: skip
    """A network whose outputs differ between the images, in evaluation mode; none of them wins always.

    Args:
        name: Its class.
        images: The images.
        outputs: How many.
        seed: Of its weights.
        share: Half of the images have a score above this, where there is one.
        half: Whether its weights are such as half precision can hold.
        **kwargs: Of the class.
    """
    torch.manual_seed(seed)
    network = getattr(networks, name)(images.shape[1], outputs, **kwargs)
    seen = torch.from_numpy(images)
    with torch.no_grad():
        network.train()
        network.logits(seen)  # statistics of batch norms
        network.eval()
        *_, weight, bias = network.parameters()
        if (offset := getattr(network, "offset", None)) is not None:
            offset -= network.logits(seen).mean(0)
        else:
            weight *= 1.5 / network.logits(seen).std(0).mean()
            found = network.logits(seen).sort(0).values
            bias -= (found[COUNT // 2 - 1] + found[COUNT // 2]) / 2  # the median
            bias += math.log(share / (1 - share))
            for parameter in network.parameters():
                parameter.copy_(parameter.half() if half else parameter)
    return network


def logits(network: Any, images: np.ndarray) -> np.ndarray:
    """The scores before whatever the network ends in, shape (N, K)."""
    with torch.no_grad():
        return network.logits(torch.from_numpy(images)).numpy()


def keep(images: np.ndarray, labels: Any, names: Sequence[str] | None = None) -> None:
    """Writes `d.npz` here."""
    named = {} if names is None else {"class_names": np.array(names)}
    np.savez("d.npz", images=images, labels=np.asarray(labels), **named)


def code(name: str, bands: int = 3, outputs: int = 3, **kwargs: Any) -> list[str]:
    """Copies the file of the networks here, and names one of them."""
    shutil.copy(CODE, "nets.py")
    given = "; ".join(f"{key} = {value}" for key, value in {"bands": bands, "outputs": outputs, **kwargs}.items())
    return ["--arch", f"nets.py:{name}", "--arch-kwargs", given]


Write = Callable[[nn.Module], str]


def state(network: nn.Module) -> str:
    """The file of a state_dict."""
    torch.save(network.state_dict(), "net.pt")
    return "net.pt"


def legacy(network: nn.Module) -> str:
    """The same, as PyTorch wrote it before 1.6."""
    torch.save(network.state_dict(), "net.pth", _use_new_zipfile_serialization=False)
    return "net.pth"


def lightning(network: nn.Module) -> str:
    """A checkpoint of Lightning, with the prefix that its modules have."""
    tensors = {f"model.{key}": value for key, value in network.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": tensors, "hyper_parameters": {"lr": 1e-3}}, "last.ckpt")
    return "last.ckpt"


def parallel(network: nn.Module) -> str:
    """Weights of DataParallel below a key."""
    tensors = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save({"model": tensors, "optimizer": {"state": {}, "param_groups": []}}, "net.pth.tar")
    return "net.pth.tar"


def halved(network: nn.Module) -> str:
    """Weights in half precision."""
    torch.save({key: value.half() for key, value in network.state_dict().items()}, "net.pt")
    return "net.pt"


def safetensors(network: nn.Module) -> str:
    """A file of safetensors."""
    from safetensors.torch import save_file

    save_file(network.state_dict(), "net.safetensors")
    return "net.safetensors"


def pickled(network: nn.Module, *, name: str | None = None) -> str:
    """`torch.save(model)` in a script, whose classes are those of `__main__`."""
    kind = type(network)
    with _in_main(name or kind.__name__, kind):
        torch.save(network, "model.pth")
    return "model.pth"


@contextmanager
def _in_main(name: str, kind: type):
    main: ModuleType = sys.modules["__main__"]
    before = kind.__module__, kind.__qualname__
    kind.__module__, kind.__qualname__ = "__main__", name
    setattr(main, name, kind)
    try:
        yield
    finally:
        delattr(main, name)
        kind.__module__, kind.__qualname__ = before


def trusted(path: str) -> list[str]:
    """The options that open a file which runs code."""
    return ["--trust-checkpoint", hashlib.sha256(Path(path).read_bytes()).hexdigest()]


def script(network: nn.Module, images: np.ndarray) -> str:
    """TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of its own function
        torch.jit.trace(network, torch.from_numpy(images)).save("net.torchscript")
    return "net.torchscript"


def exported(network: nn.Module, images: np.ndarray) -> str:
    """A .pt2 of torch.export, for any batch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dynamic = ({0: torch.export.Dim("n", min=1, max=512)},)
        program = torch.export.export(network, (torch.from_numpy(images),), dynamic_shapes=dynamic)
        torch.export.save(program, "net.pt2")
    return "net.pt2"


def onnx(network: nn.Module, images: np.ndarray, *, fixed: bool = False, dynamo: bool = False) -> str:
    """An ONNX graph, by one of the exporters of PyTorch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            pytest.importorskip("onnxscript")
            shapes = {"dynamic_shapes": ({0: torch.export.Dim("n", min=1, max=512)},)}
            torch.onnx.export(network, (torch.from_numpy(images),), "net.onnx", dynamo=True, verbose=False, **shapes)
            return "net.onnx"
        axes = None if fixed else {"images": {0: "n"}}
        seen = torch.from_numpy(images[: 4 if fixed else 1])
        torch.onnx.export(network, (seen,), "net.onnx", dynamo=False, input_names=["images"], dynamic_axes=axes)
    return "net.onnx"


def runtime(images: np.ndarray) -> list[Any]:
    """What onnxruntime says of `net.onnx`."""
    import onnxruntime

    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: images}))
