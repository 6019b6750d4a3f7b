"""ONNX graphs as exporters write them, built by hand from a small PyTorch network, so that the answer is known."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn


class Small(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv, self.fc1, self.fc2 = nn.Conv2d(3, 4, 3), nn.Linear(4, 5), nn.Linear(5, classes)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        self.eval()

    def latent(self, x: Tensor) -> Tensor:
        return torch.relu(self.fc1(torch.relu(self.conv(x)).mean((2, 3))))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.latent(x))


def write(
    path: Path,
    *,
    batch: int | str = "n",
    size: int | str = 16,
    bands_last: bool = False,
    outputs: tuple[str, ...] = ("logits",),
    external: str | None = None,
) -> Small:
    """Writes the network; `outputs` are of logits, features, probabilities and wrong (softmax over the images)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    network = Small()
    weights = {name.replace(".", "_"): tensor.detach().numpy() for name, tensor in network.state_dict().items()}
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    nodes = [
        helper.make_node("Conv", ["x", "conv_weight", "conv_bias"], ["/conv"]),
        helper.make_node("Relu", ["/conv"], ["/relu"]),
        helper.make_node("GlobalAveragePool", ["/relu"], ["/pool"]),
        helper.make_node("Flatten", ["/pool"], ["/flat"]),
        helper.make_node("Gemm", ["/flat", "fc1_weight", "fc1_bias"], ["/fc1"], transB=1),
        helper.make_node("Relu", ["/fc1"], ["features"]),
        helper.make_node("Gemm", ["features", "fc2_weight", "fc2_bias"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("Softmax", ["logits"], ["wrong"], axis=0),
    ]
    shape = [batch, size, size, 3] if bands_last else [batch, 3, size, size]
    if bands_last:
        nodes.insert(0, helper.make_node("Transpose", ["images"], ["x"], perm=[0, 3, 1, 2]))
    made = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 5 if name == "features" else 3])
        for name in outputs
    ]
    images = helper.make_tensor_value_info("images" if bands_last else "x", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "g", [images], made, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    if external is not None:
        onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
        stored = onnx.load(path, load_external_data=False)
        for tensor in stored.graph.initializer:
            next(entry for entry in tensor.external_data if entry.key == "location").value = external
        path.write_bytes(stored.SerializeToString())
    else:
        path.write_bytes(model.SerializeToString())
    return network
