"""ONNX graphs become networks of PyTorch: graphs as exporters write them, against onnxruntime."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from robustkit.engine import make_evaluator
from robustkit.latent import find_head
from robustkit.latent.geometry import AffineHead
from robustkit.models import ModelOptions, open_model
from robustkit.models.foreign.onnx_values import NotConverted
from tests.models.foreign.onnx_writing import keras_graph, save

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SIZE = 16


class View(nn.Module):
    """Flattens by the size of the batch, as most published code does."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=False)
        self.norm, self.fc1, self.fc2 = nn.BatchNorm2d(8), nn.Linear(8 * 7 * 7, 12), nn.Linear(12, 3)

    def forward(self, x):
        x = functional.relu(self.norm(self.conv2(functional.leaky_relu(self.conv1(x)))))
        return self.fc2(torch.tanh(self.fc1(x.view(x.size(0), -1))))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.a = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU())
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        x = self.stem(x)
        return self.fc((x + self.a(x)).mean((2, 3)))


class Squeezing(nn.Module):
    """As a MobileNet of the third generation: depth-wise, squeeze and excite, hard swish."""

    def __init__(self):
        super().__init__()
        self.conv, self.deep = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.down, self.up, self.fc = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1), nn.Linear(8, 3)

    def forward(self, x):
        x = functional.hardswish(self.deep(functional.relu6(self.conv(x))))
        gate = functional.hardsigmoid(self.up(functional.relu(self.down(functional.adaptive_avg_pool2d(x, 1)))))
        return self.fc(torch.flatten(functional.avg_pool2d(x * gate, 8), 1))


class Shuffling(nn.Module):
    """As a ShuffleNet: channels in two halves, shuffled by a reshape and a transpose."""

    def __init__(self):
        super().__init__()
        self.conv, self.right, self.fc = nn.Conv2d(3, 8, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(8, 3)

    def forward(self, x):
        left, right = self.conv(x).chunk(2, dim=1)
        x = torch.cat([left, functional.relu(self.right(right))], 1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.fc(x.mean([2, 3]))


class Dense(nn.Module):
    """As a DenseNet: layers joined, a function pools before the classifier."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(7, 4, 3, padding=1), nn.BatchNorm2d(11)
        self.classifier = nn.Linear(11, 3)

    def forward(self, x):
        x = torch.cat([x, self.a(x)], 1)
        x = functional.relu(self.norm(torch.cat([x, self.b(x)], 1)))
        return self.classifier(torch.flatten(functional.adaptive_avg_pool2d(x, (1, 1)), 1))


class Attention(nn.Module):
    """As a vision transformer: patches, a class token, one block of attention with norms of layers."""

    def __init__(self):
        super().__init__()
        self.patch, self.token = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.randn(1, 1, 8))
        self.position, self.norm = nn.Parameter(torch.randn(1, 17, 8)), nn.LayerNorm(8)
        self.qkv, self.out, self.head = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(n, t, 3, 2, d // 2).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * (d // 2) ** -0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, t, d))
        return self.head(functional.gelu(self.norm(x))[:, 0])


class Resizing(nn.Module):
    """Shifts and scales its input, pads by reflection, doubles a map, and joins it with another."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, 2, 1), nn.Linear(8, 3)
        self.slope = nn.PReLU(4)

    def forward(self, x):
        x = (x - torch.tensor([0.4, 0.5, 0.6])[:, None, None]) / torch.tensor([0.2, 0.3, 0.2])[:, None, None]
        x = self.slope(self.first(functional.pad(x, (1, 1, 1, 1), "reflect")))
        up = functional.interpolate(self.second(x), scale_factor=2, mode="bilinear", align_corners=False)
        return self.fc(torch.cat([x, up], 1).amax((2, 3)))


FORMS = (View, Residual, Squeezing, Shuffling, Dense, Attention, Resizing)


def trained(made):
    """A network with statistics of batch norms that are not those of a fresh one."""
    torch.manual_seed(0)
    network = made()
    network.train()
    with torch.no_grad():
        network(torch.rand(16, 3, SIZE, SIZE))
    return network.eval()


def export(network, path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of itself
        torch.onnx.export(
            network, (torch.rand(2, 3, SIZE, SIZE),), path, dynamo=False, input_names=["images"],
            dynamic_axes=None if options.pop("fixed", False) else {"images": {0: "n"}}, **options,
        )  # fmt: skip


def opened(path, **options):
    checkpoint = open_model(path, ModelOptions(**options))
    why = [note for note in checkpoint.origin.notes if "onnxruntime" in note]
    return checkpoint.classifier, why


@pytest.mark.parametrize("fixed", [False, True], ids=["free", "fixed"])
@pytest.mark.parametrize("made", FORMS)
def test_exports_of_pytorch_are_networks_again(tmp_path, made, fixed):
    network = trained(made)
    export(network, tmp_path / "net.onnx", fixed=fixed, opset_version=17)
    classifier, why = opened(tmp_path / "net.onnx")
    assert why == ["the graph runs as a network of PyTorch, which answers as onnxruntime does"]
    images = torch.rand(5, 3, SIZE, SIZE, requires_grad=True)
    torch.testing.assert_close(classifier(images), network(images), rtol=1e-4, atol=1e-4)
    classifier(images)[:, 0].sum().backward()
    mine, images.grad = images.grad, None
    network(images)[:, 0].sum().backward()
    torch.testing.assert_close(mine, images.grad, rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        latents = classifier.embed(images)
        torch.testing.assert_close(classifier.head(latents), network(images), rtol=1e-4, atol=1e-4)
        assert find_head(classifier, latents.numpy()) is not None
        assert not make_evaluator(classifier, images, engine="plain").why_not_traced


def test_a_plain_network_is_a_chain_again(tmp_path):
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(200, 3)
    ).eval()
    export(network, tmp_path / "net.onnx")
    classifier, _ = opened(tmp_path / "net.onnx")
    assert make_evaluator(classifier, torch.rand(2, 3, SIZE, SIZE)).name == "chain"


@pytest.mark.parametrize(("bands", "opset"), [(3, 17), (1, 17), (3, 11)])
def test_exports_of_keras_lose_their_transposes(tmp_path, bands, opset):
    answer = keras_graph(tmp_path / "net.onnx", bands=bands, size=SIZE, opset=opset)
    classifier, why = opened(tmp_path / "net.onnx")
    assert "runs as a network of PyTorch" in why[0]
    images = torch.rand(4, bands, SIZE, SIZE)
    torch.testing.assert_close(classifier(images).softmax(1), answer(images), rtol=1e-4, atol=1e-5)
    assert make_evaluator(classifier, images).name == "chain"


def test_what_is_not_known_stays_with_onnxruntime_and_says_so(tmp_path):
    network = trained(Residual)

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network(torch.cumsum(x, 3))

    export(Odd().eval(), tmp_path / "net.onnx")
    classifier, why = opened(tmp_path / "net.onnx")
    assert why[0].startswith("the graph stays with onnxruntime, without gradients and at a fraction of the speed: ")
    assert why[0].endswith("its operator CumSum is not known")
    images = torch.rand(3, 3, SIZE, SIZE)
    torch.testing.assert_close(classifier(images), network(images.cumsum(3)), rtol=1e-4, atol=1e-4)


def test_a_network_that_answers_otherwise_than_onnxruntime_is_not_taken(tmp_path, monkeypatch):
    from robustkit.models.foreign import onnx_operators

    export(trained(View), tmp_path / "net.onnx")
    monkeypatch.setitem(onnx_operators.OPERATORS, "LeakyRelu", onnx_operators.OPERATORS["Relu"])
    _, why = opened(tmp_path / "net.onnx")
    assert "of the largest score from onnxruntime, which is no rounding" in why[0]


def test_a_tensor_in_the_middle_is_a_latent_and_one_beside_the_path_is_not(tmp_path):
    network = trained(View)
    export(network, tmp_path / "net.onnx")
    graph = __import__("onnx").load(tmp_path / "net.onnx").graph
    flat = next(node.output[0] for node in graph.node if node.op_type in ("Flatten", "Reshape"))
    classifier, _ = opened(tmp_path / "net.onnx", latent=flat)
    images = torch.rand(2, 3, SIZE, SIZE)
    assert classifier.embed(images).shape == (2, 392)
    assert classifier.latent_name == flat


def test_half_precision_stays_with_onnxruntime(tmp_path):
    import onnx

    half = onnx.TensorProto.FLOAT16
    weight = onnx.numpy_helper.from_array(np.random.default_rng(0).normal(size=(3 * SIZE**2, 3)).astype("f2"), "w")
    nodes = [
        onnx.helper.make_node("Flatten", ["x"], ["flat"]),
        onnx.helper.make_node("MatMul", ["flat", "w"], ["scores"]),
    ]
    save(tmp_path / "net.onnx", nodes, [weight], bands=3, size=SIZE, outputs={"scores": 3}, kind=half)
    _, why = opened(tmp_path / "net.onnx")
    assert "it computes in float16" in why[0]


class Head(nn.Module):
    """A head that is a function, of a mean or of a map."""

    def __init__(self, head, of="vector"):
        super().__init__()
        self.conv, self.W, self.b = nn.Conv2d(3, 6, 3), nn.Parameter(torch.randn(3, 6)), nn.Parameter(torch.randn(3))
        self.head, self.of = head, of

    def forward(self, x):
        maps = torch.relu(self.conv(x))
        return self.head(self, maps if self.of == "map" else maps.mean((2, 3)))


HEADS = {
    "matmul": (lambda s, z: z @ s.W.T + s.b, "vector"),
    "einsum": (lambda s, z: torch.einsum("nd,kd->nk", z, s.W) + s.b, "vector"),
    "einsum, weights first": (lambda s, z: torch.einsum("kd,nd->nk", s.W, z), "vector"),
    "temperature": (lambda s, z: (functional.linear(z, s.W, s.b) / 1.7).log_softmax(1), "vector"),
    "angles": (lambda s, z: 20 * functional.linear(functional.normalize(z), functional.normalize(s.W)), "vector"),
    "squeezed": (lambda s, z: torch.matmul(z.unsqueeze(1), s.W.T).squeeze(1), "vector"),
    "1x1 and mean": (lambda s, m: functional.conv2d(m, s.W[:, :, None, None], s.b).mean((2, 3)), "map"),
    "pooled, 1x1, flattened": (
        lambda s, m: functional.conv2d(functional.adaptive_avg_pool2d(m, 1), s.W[:, :, None, None]).flatten(1), "map",
    ),
}  # fmt: skip


@pytest.mark.parametrize("converted", [True, False])
@pytest.mark.parametrize("name", HEADS)
def test_heads_that_are_functions_have_the_vector_that_they_take_as_latent(tmp_path, name, converted, monkeypatch):
    torch.manual_seed(0)
    network = Head(*HEADS[name]).eval()
    export(network, tmp_path / "net.onnx")
    if not converted:

        def convert(*_):
            raise NotConverted("for this test")

        monkeypatch.setattr("robustkit.models.foreign.onnx_network.convert", convert)
    classifier, why = opened(tmp_path / "net.onnx")
    assert why[0].startswith("the graph runs as a network of PyTorch" if converted else "the graph stays"), why
    images = torch.rand(5, 3, SIZE, SIZE)
    with torch.inference_mode():
        latents = classifier.embed(images)
        assert latents.shape == (5, 6)
        torch.testing.assert_close(
            classifier.head(latents).softmax(1), network(images).softmax(1), rtol=1e-4, atol=1e-5
        )
    assert isinstance(find_head(classifier, latents.numpy()), AffineHead)
