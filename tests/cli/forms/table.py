# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""The table of the forms of models: its rows, how each is made, and its text in the docs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.cli.forms import making
from tests.cli.forms.graphs import domains, half_precision, quantized, scikit_learn
from tests.cli.forms.making import BOUNDS, CODE, code, keep, logits, made, onnx, pictures, state
from tests.models.foreign.onnx_writing import keras_graph

COLUMNS = ("open", "attack", "certify", "sweep", "windows, maps", "audit page")
ABC = ("a", "b", "c")
NO_LATENT = "no latent"


@dataclass(frozen=True)
class Form:
    """A row of the table.

    Attributes:
        name: What it says.
        make: Makes the model and `d.npz` in this folder, with labels as the network decides; what is said after
            `--model`.
        without: What stands in the cell of windows and maps where there are none.
        sampled: Whether windows are sampled on a grid, because the head is neither affine nor of ReLU.
    """

    name: str
    make: Callable[[], list[str]]
    without: str = ""
    sampled: bool = False

    @property
    def cells(self) -> list[str]:
        """What stands in the row."""
        latent = self.without or ("yes, sampled" if self.sampled else "yes")
        return [latent if column == "windows, maps" else "yes" for column in COLUMNS]


def plain(
    network: str = "Net",
    write: Callable[[Any], str] = state,
    *,
    bands: int = 3,
    outputs: int = 3,
    size: int = making.SIZE,
    names: Sequence[str] | None = ABC,
    options: Sequence[str] = (),
    half: bool = False,
    seed: int = 0,
    **kwargs: Any,
) -> list[str]:
    """A file that `--arch` opens, with labels by the largest output."""
    images = pictures(bands, size)
    one = made(network, images, outputs, half=half, seed=seed, **kwargs)
    keep(images, logits(one, images).argmax(1), names)
    return [write(one), *code(network, bands, outputs, **kwargs), *BOUNDS, *options]


def graph(network: str = "Net", *, size: int = making.SIZE, **how: Any) -> list[str]:
    """An ONNX graph of PyTorch."""
    images = pictures(3, size)
    one = made(network, images)
    keep(images, logits(one, images).argmax(1), ABC)
    return [onnx(one, images, **how), *BOUNDS]


def keras() -> list[str]:
    images = pictures()
    answer = keras_graph(Path("net.onnx"), bands=3, size=making.SIZE, images=torch.from_numpy(images))
    keep(images, answer(torch.from_numpy(images)).argmax(1), ABC)
    return ["net.onnx", *BOUNDS]


def said(write: Callable[[np.ndarray], str]) -> list[str]:
    """A graph that is labelled by onnxruntime."""
    images = pictures()
    path = write(images)
    scores = next(part for part in making.runtime(images)[::-1] if part.ndim == 2 and part.dtype.kind == "f")
    keep(images, scores.argmax(1), ABC)
    return [path, *BOUNDS]


def closed(write: Callable[[Any, np.ndarray], str]) -> list[str]:
    """A file that runs code, opened by its hash."""
    images = pictures()
    one = made("Net", images)
    keep(images, logits(one, images).argmax(1), ABC)
    path = write(one, images)
    return [path, *making.trusted(path), *BOUNDS]


def inner() -> list[str]:
    """A pickled network whose class stands in a function."""
    from tests.cli.forms import networks

    images = pictures()
    one = made("Net", images)
    kind = networks.build()
    kind.load_state_dict(one.state_dict())
    keep(images, logits(one, images).argmax(1), ABC)
    making.pickled(kind.eval(), name="Inner")
    code("Net")
    return ["model.pth", "--arch", "nets.py:build", *BOUNDS]


def gate(network: str = "Net", threshold: float = 0.5, *, outputs: int = 1, options: Sequence[str] = ()) -> list[str]:
    """One score: real where it is above the threshold."""
    images = pictures()
    one = made(network, images, outputs, share=threshold)
    if outputs == 2:
        with torch.no_grad():
            one.classifier.bias[0] = 0
            one.classifier.weight[0] = 0
    scores = logits(one, images)
    above = scores[:, -1] - (scores[:, 0] if outputs == 2 else 0)
    keep(images, above > np.log(threshold / (1 - threshold)), ("bogus", "real"))
    return [state(one), *code(network, 3, outputs), *BOUNDS, *options]


def labels() -> list[str]:
    images = pictures()
    one = made("Sigmoid", images, 2)
    there = logits(one, images) > 0
    keep(images, there[:, 0] + 2 * there[:, 1], ("none", "ring", "dust", "ring+dust"))
    return [state(one), *code("Sigmoid", 3, 2), *BOUNDS, "--classes", "ring,dust", "--multi-label"]


VOTES = ("smooth", "disc", "star", "bar", "plain")
ASKED = ("--classes", ",".join(VOTES), "--output-kind", "votes")


def votes(question: str) -> list[str]:
    """Vote fractions of two questions."""
    images = pictures()
    one = made("Votes", images, 5)
    with torch.no_grad():
        counts = one(torch.from_numpy(images)).numpy()
    if ">" in question:
        share = counts[:, 0] / counts[:, :3].sum(1)
        cut = float(np.median(share))
        keep(images, share > cut, ("not smooth", "smooth"))
        question = question.format(cut)
    else:
        names = [f"{a}+{b}" for a in VOTES[:3] for b in VOTES[3:]]
        keep(images, 2 * counts[:, :3].argmax(1) + counts[:, 3:].argmax(1), names)
    return [state(one), *code("Votes", 3, 5), *BOUNDS, *ASKED, "--question", question]


def regression(tolerance: str) -> list[str]:
    """A redshift, whose labels lie in their bands by half of the tolerance."""
    images = pictures()
    one = made("Doubled", images, 1)
    with torch.no_grad():
        answer = one(torch.from_numpy(images)).numpy()[:, 0].astype(float)
    keep(images, answer * 1.02)
    return [state(one), *code("Doubled", 3, 1), *BOUNDS, "--tolerance", tolerance]


def several(*options: str, average: bool = False) -> list[str]:
    """Two checkpoints as one model."""
    images = pictures()
    seen = torch.from_numpy(images)
    found = []
    for seed, path in enumerate(("one.pt", "two.pt")):
        one = made("Net", images, seed=seed)
        torch.save(one.state_dict(), path)
        views = [seen, seen.flip(3), seen.flip(2), seen.flip(2, 3)] if average else [seen]
        with torch.no_grad():
            found.append(torch.stack([one(view).softmax(1) for view in views]).mean(0))
    mean = torch.stack(found).mean(0)
    if "votes" in options:
        mean = torch.stack([torch.nn.functional.one_hot(p.argmax(1), 3) for p in found]).double().mean(0) + mean / 1e3
    keep(images, mean.argmax(1).numpy(), ABC)
    return ["one.pt", "two.pt", *code("Net"), *BOUNDS, *options]


def resized() -> list[str]:
    """Images of 424 pixels, resized to the 12 of the network."""
    small = pictures()
    one = made("Plain", small, size=making.SIZE)
    large = np.kron(small, np.ones((1, 1, 36, 36), dtype=np.float32))[:, :, 4:428, 4:428]
    seen = torch.nn.functional.interpolate(
        torch.from_numpy(large), size=(making.SIZE, making.SIZE), mode="bilinear", antialias=True
    )
    keep(large, logits(one, seen.numpy()).argmax(1), ABC)
    return [state(one), *code("Plain", size=making.SIZE), *BOUNDS, "--resize", str(making.SIZE), str(making.SIZE)]


def function() -> list[str]:
    from tests.cli.forms import networks

    images = pictures()
    keep(images, networks.predict(images).argmax(1), [*ABC, "d"])
    Path("nets.py").write_bytes(CODE.read_bytes())
    return ["nets.py:predict", *BOUNDS]


FORMS = (
    Form("state_dict, with `--arch`", plain),
    Form("state_dict of DataParallel, under a key", partial(plain, write=making.parallel)),
    Form("state_dict in half precision", partial(plain, write=making.halved, half=True)),
    Form("PyTorch before 1.6", partial(plain, write=making.legacy)),
    Form("Lightning .ckpt", partial(plain, write=making.lightning)),
    Form(".safetensors", partial(plain, write=making.safetensors)),
    Form("`torch.save(model)` of a script, without trust", partial(plain, write=making.pickled)),
    Form("`torch.save(model)`, its class in a function", inner),
    Form("TorchScript, trusted by hash", partial(closed, making.script), NO_LATENT),
    Form("torch.export .pt2, trusted by hash", partial(closed, making.exported), NO_LATENT),
    Form("ONNX of PyTorch's TorchScript exporter", graph),
    Form("ONNX of a fixed batch", partial(graph, fixed=True)),
    Form("ONNX of PyTorch's dynamo exporter", partial(graph, dynamo=True)),
    Form("ONNX that ends in a softmax", partial(graph, "Softmax")),
    Form("ONNX of Keras: bands last, MatMul and Add", keras),
    Form("ONNX of scikit-learn: a label and probabilities", partial(said, scikit_learn)),
    Form("ONNX in int8, QuantizeLinear and DequantizeLinear", partial(said, quantized)),
    Form("ONNX in float16, run by onnxruntime", partial(said, half_precision)),
    Form("ONNX of a class head and a domain head", partial(said, domains)),
    Form("batch norm, dropout, two dense layers", partial(plain, "Plain", size=making.SIZE)),
    Form("DenseNet's ending", partial(plain, "DenseEnding")),
    Form("ShuffleNet's ending", partial(plain, "ShuffleEnding")),
    Form("MobileNet's ending", partial(plain, "MobileEnding")),
    Form("vision transformer's ending", partial(plain, "TransformerEnding", size=making.SIZE)),
    Form("convolutions alone", partial(plain, "Convolutional")),
    Form("angles to directions", partial(plain, "Cosine")),
    Form("the head is `functional.linear`", partial(plain, "FunctionHead")),
    Form("a 1x1 `functional.conv2d`, then a mean", partial(plain, "FunctionMaps")),
    Form("`einsum` and softmax, in code that looks at numbers", partial(plain, "Looking")),
    Form("two branches added", partial(plain, "Branches"), NO_LATENT),
    Form("softmax at the end", partial(plain, "Softmax")),
    Form("log-softmax at the end, as a layer", partial(plain, "LogSoftmax")),
    Form("returns (features, logits)", partial(plain, "Pair")),
    Form("returns a dict of probabilities and logits", partial(plain, "Named")),
    Form("fails at a batch of one", partial(plain, "Alone")),
    Form("one logit, (N,)", partial(gate, "Flat")),
    Form("one logit, (N, 1)", gate),
    Form("one sigmoid", partial(gate, "Sigmoid")),
    Form("one logit, `--threshold 0.6`", partial(gate, "Flat", 0.6, options=("--threshold", "0.6"))),
    Form("two classes, `--threshold 0.6`", partial(gate, "Net", 0.6, outputs=2, options=("--threshold", "0.6"))),
    Form("several labels, `--multi-label`", labels),
    Form("vote fractions, two questions", partial(votes, "smooth,disc,star; bar,plain"), sampled=True),
    Form("vote fractions, a cut", partial(votes, "smooth,disc,star: smooth>{:.6f}; ..."), sampled=True),
    Form("a regression, `--tolerance 0.05(1+z)`", partial(regression, "0.05(1+z)"), NO_LATENT),
    Form("a regression, `--tolerance 0.1`", partial(regression, "0.1"), NO_LATENT),
    Form("two checkpoints, mean", several, NO_LATENT),
    Form("two checkpoints, votes", partial(several, "--combine", "votes"), NO_LATENT),
    Form("two checkpoints, each over flips", partial(several, "--average", "flips", average=True), NO_LATENT),
    Form("10 classes, 1 band, 28 px",
         partial(plain, bands=1, outputs=10, size=28, names=None, options=("--classes", "10"))),
    Form("100 classes", partial(plain, outputs=100, names=None, options=["--classes", "100"])),
    Form("2 classes, 4 bands", partial(plain, bands=4, outputs=2, names=("star", "galaxy"), seed=4)),
    Form("10 bands", partial(plain, bands=10)),
    Form("424 px, as they are", partial(plain, "Strided", size=424)),
    Form("424 px, `--resize 12 12`", resized),
    Form("a function, `--model nets.py:predict`", function, NO_LATENT),
)  # fmt: skip


def markdown() -> str:
    """The table as it stands in the docs."""
    lines = ["| form | " + " | ".join(COLUMNS) + " |", "|---" * (1 + len(COLUMNS)) + "|"]
    lines += [f"| {form.name} | " + " | ".join(form.cells) + " |" for form in FORMS]
    return "\n".join(lines) + "\n"
