"""Trains classifiers without robustkit, saves them as others do, and audits them: plain PyTorch, ResNet, timm, ONNX.

    python examples/02_foreign_models.py --out foreign

makes a folder of JPEGs, trains on it, and runs `robustkit inspect` and a short `robustkit attack` on every checkpoint:
a state_dict, a Lightning checkpoint, a pickled network without trust, and an ONNX graph that becomes a network of
PyTorch. Then on what a model is asked: two checkpoints as one model, a cut on the score of one class, a threshold,
several labels at once, and a regression that must stay in a band about its label.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from foreign_networks import PlainNet, SmallResNet
from PIL import Image
from torch import nn

from robustkit.cli import main as command_line

CODE = Path(__file__).with_name("foreign_networks.py")
MEAN, STD = 0.2, 0.2


def make_jpegs(folder: Path, galaxies: str | None, n: int) -> None:
    """Simulated galaxies as colour pictures, one folder a class; any stretch does, as in an archive of cutouts."""
    from robustkit.data import open_images
    from robustkit.data.simulate import simulate

    source = galaxies or simulate(n, survey="lsst", years=(10, 1), seed=0, out=folder.parent / "galaxies", size=64)
    images = open_images(source)
    assert images.labels is not None
    high = np.percentile(images.images[: min(200, len(images))], 99.5)
    for name, label, image in zip(images.ids, images.labels, images.images, strict=True):
        pixels = 255 * np.arcsinh(np.clip(image / high, 0, None) * 5) / np.arcsinh(5)
        place = folder / images.class_names[label]
        place.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8).transpose(1, 2, 0))
        picture.save(place / f"{name}.jpg", quality=92)


def load(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """All pictures, normalised, and their classes in alphabetical order, as torchvision's ImageFolder has them."""
    paths = sorted(folder.glob("*/*.jpg"))
    names = sorted({path.parent.name for path in paths})
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths]).transpose(0, 3, 1, 2) / np.float32(255)
    return torch.from_numpy((pixels - MEAN) / STD).float(), torch.tensor([names.index(p.parent.name) for p in paths])


def train(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    """An ordinary loop."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    weight = len(labels) / torch.bincount(labels).float()
    for _ in range(epochs):
        network.train()
        for batch in torch.randperm(len(images)).split(32):
            out = network(images[batch])
            loss = nn.functional.cross_entropy(out[1] if isinstance(out, tuple) else out, labels[batch], weight=weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()


def timm_network() -> nn.Module | None:
    """A model of timm, where it is installed."""
    try:
        import timm

        return timm.create_model("resnet10t", num_classes=3)
    except Exception as error:  # timm needs torchvision too
        print(f"timm is left out: {error}")
        return None


def export(network: nn.Module, path: Path, shape: torch.Size) -> bool:
    """ONNX with a fixed batch, as exporters write it by default."""
    try:
        torch.onnx.export(network, (torch.zeros(8, *shape),), str(path), dynamo=False)
    except Exception as error:
        print(f"ONNX is left out: {error}")
        return False
    return True


def robustkit(*arguments: object) -> None:
    """A command as it is typed in a shell, in this process, which has PyTorch loaded already."""
    print("\nrobustkit", *arguments, flush=True)
    try:
        command_line([str(argument) for argument in arguments])
    except SystemExit as done:
        if done.code:
            raise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("foreign"))
    parser.add_argument("--galaxies", help="An image set to take in place of simulated galaxies.")
    parser.add_argument("--n", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--attacked", type=int, default=20, help="Pictures to attack.")
    asked = parser.parse_args()
    out, jpegs = asked.out, asked.out / "jpegs"
    out.mkdir(parents=True, exist_ok=True)
    if not jpegs.exists():
        make_jpegs(jpegs, asked.galaxies, asked.n)
    images, labels = load(jpegs)

    plain, resnet = PlainNet(), SmallResNet(width=8)
    made: list[tuple[str, nn.Module, list[str]]] = [("plain.pth", plain, ["--arch", f"{CODE}:PlainNet"])]
    made.append(("whole.pth", pickled := PlainNet(), ["--arch", f"{CODE}:PlainNet"]))
    made.append(("resnet.ckpt", resnet, ["--arch", f"{CODE}:SmallResNet", "--arch-kwargs", "width = 8"]))
    if (other := timm_network()) is not None:
        made.append(("timm.safetensors", other, ["--arch", "timm:resnet10t"]))
    for name, network, _ in made:
        train(network, images, labels, asked.epochs)
        state = network.state_dict()
        if network is pickled:
            torch.save(network, out / name)  # the network itself: its class is named, and nothing in the file is run
        elif name.endswith(".pth"):
            torch.save(state, out / name)
        elif name.endswith(".ckpt"):
            torch.save(
                {"epoch": asked.epochs, "state_dict": {f"model.{key}": t for key, t in state.items()}}, out / name
            )
        else:
            from safetensors.torch import save_file

            save_file(state, out / name)
    if export(resnet, out / "resnet.onnx", images.shape[1:]):
        made.append(("resnet.onnx", resnet, []))
    for name, _, arch in made:
        given = ["--model", out / name, *arch, "--data", jpegs, "--mean", MEAN, "--std", STD]
        card = out / f"{Path(name).stem}-card.toml"
        card.unlink(missing_ok=True)
        robustkit("inspect", *given, "--write", card)
        robustkit(
            "attack",
            *given,
            "--n",
            asked.attacked,
            "--search",
            "best-first",
            "--budget",
            200,
            "--out",
            out / f"attack-{name}",
        )

    second = PlainNet()
    train(second, images, labels, asked.epochs)
    torch.save(second.state_dict(), out / "plain-2.pth")
    decide(asked, out, images, second, sorted(folder.name for folder in jpegs.iterdir()))


def decide(asked: argparse.Namespace, out: Path, images: torch.Tensor, second: PlainNet, names: list[str]) -> None:
    """What a model is asked, where that is not its largest output."""
    scaled = ["--mean", MEAN, "--std", STD, "--n", asked.attacked, "--search", "random", "--budget", 50]
    jpegs = ["--data", out / "jpegs", *scaled]
    plain = ["--arch", f"{CODE}:PlainNet"]
    # Two checkpoints as one model, by the mean of their probabilities; attacks.csv says which share disagrees.
    both = ["--model", out / "plain.pth", out / "plain-2.pth", *plain]
    robustkit("attack", *both, *jpegs, "--out", out / "attack-ensemble")
    # A decision: is the score of the first class above a cut that half of the pictures pass?
    with torch.no_grad():
        scores = second(images)[1].softmax(1)[:, 0]
    question = ["--classes", ",".join(names), "--question", f"{names[0]}>{float(scores.median()):.6f}"]
    robustkit("attack", "--model", out / "plain-2.pth", *plain, *jpegs, *question, "--out", out / "attack-question")
    # A network of one logit: real where its score is above a threshold, as alerts are gated.
    gate = PlainNet(num_classes=1).eval()
    with torch.no_grad():
        gate.fc2.bias -= gate(images)[1].median()
        passed = gate(images)[1][:, 0].sigmoid() > 0.5
    torch.save(gate.state_dict(), out / "gate.pth")
    pixels = (images * STD + MEAN).numpy()
    np.savez(out / "gate.npz", images=pixels, labels=np.where(passed, "real", "bogus"))
    one = ["--arch", f"{CODE}:PlainNet", "--arch-kwargs", "num_classes = 1"]
    gated = ["--data", out / "gate.npz", *scaled, "--threshold", 0.5]
    robustkit("attack", "--model", out / "gate.pth", *one, *gated, "--out", out / "attack-threshold")
    # Two labels that may both be there, or neither; any that comes or goes is a flip.
    several = PlainNet(num_classes=2).eval()
    with torch.no_grad():
        several.fc2.bias -= several(images)[1].median(0).values
        there = several(images)[1] > 0
    torch.save(several.state_dict(), out / "labels.pth")
    combinations = np.array(["none", "ring", "dust", "ring+dust"])[(there[:, 0] + 2 * there[:, 1]).numpy()]
    np.savez(out / "labels.npz", images=pixels, labels=combinations)
    two = ["--arch", f"{CODE}:PlainNet", "--arch-kwargs", "num_classes = 2", "--classes", "ring,dust", "--multi-label"]
    labelled = ["--data", out / "labels.npz", *scaled]
    robustkit("attack", "--model", out / "labels.pth", *two, *labelled, "--out", out / "attack-labels")
    # The network of one logit as a regression: its number must stay within 0.15 (1 + z) of the label, as a redshift.
    with torch.no_grad():
        numbers = gate(images)[1][:, 0].numpy()
    np.savez(out / "numbers.npz", images=pixels, labels=numbers.astype(float))
    banded = ["--data", out / "numbers.npz", *scaled, "--tolerance", "0.15(1+z)"]
    robustkit("attack", "--model", out / "gate.pth", *one, *banded, "--out", out / "attack-tolerance")


if __name__ == "__main__":
    main()
