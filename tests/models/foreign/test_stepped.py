"""Networks in eight bits answer in steps: a small change moves no logit, or several at once, and scores tie.

A certificate of such a network is counted again by onnxruntime alone, image by image and cell by cell.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from robustkit.data import open_images
from robustkit.findings.certify.measure import run_certify
from robustkit.findings.certify.record import CertificateRecord, CertifyRequest
from robustkit.models import ModelOptions, open_model
from tests.cli.forms.graphs import quantized
from tests.cli.forms.making import SIZE, pictures


def _written(step: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Writes a graph in eight bits, its scores in steps too where a step is given; images and what it says of them."""
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    torch.manual_seed(0)
    images = pictures()
    quantized(images)
    model = onnx.load("net.onnx")
    if step is not None:
        graph = model.graph
        graph.node[-1].output[0] = "fine"
        for name, value, kind in (("scale", step, np.float32), ("zero", 0, np.int8)):
            graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=kind), name))
        graph.node.append(helper.make_node("QuantizeLinear", ["fine", "scale", "zero"], ["coarse"]))
        graph.node.append(helper.make_node("DequantizeLinear", ["coarse", "scale", "zero"], ["scores"]))
        onnx.save(model, "net.onnx")
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    scores = np.concatenate([session.run(None, {"x": image[None]})[0] for image in images])
    labels = scores.argmax(1)
    np.savez("d.npz", images=images, labels=labels, class_names=list("abc"))
    return images, scores


@pytest.mark.parametrize("step", [None, 0.02, 0.1], ids=["fine scores", "scores in steps", "scores that tie"])
def test_a_certificate_of_a_stepped_network_is_what_onnxruntime_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float | None
) -> None:
    import onnxruntime

    monkeypatch.chdir(tmp_path)
    images, scores = _written(step)
    request = CertifyRequest(n=4, data="d.npz", part="all", options=ModelOptions())
    found: CertificateRecord = run_certify("net.onnx", request, out="run", device="cpu", say=lambda line: None).record
    card = open_model("net.onnx", ModelOptions(), images=open_images("d.npz")).card
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    corners = np.array(list(product(*card.input_range)), dtype=np.float32)
    assert found.complete.all()
    for image_id, flipping, certified in zip(found.ids, found.flipping, found.certified, strict=True):
        image, label = images[int(image_id)], scores[int(image_id)].argmax()
        flips = 0
        for row, column in product(range(SIZE), repeat=2):
            painted = np.repeat(image[None], len(corners), 0)
            painted[:, :, row, column] = corners
            flips += int((session.run(None, {"x": painted})[0].argmax(1) != label).sum())
        assert flips == flipping
        assert not (certified and flips)
    assert found.flipping.sum() > 0
