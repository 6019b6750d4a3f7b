"""What lies in the folder of a reader: tiny galaxies, networks trained on them, and an attack; made once a session."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from click.testing import CliRunner
from PIL import Image

from robustkit.cli import group
from robustkit.data import ImageSet

SIZE = 32

NETWORK = '''
import torch
from torch import nn


class PlainNet(nn.Module):
    """A network as anyone writes it."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool2d(8), nn.Flatten())
        self.fc1 = nn.Linear(8 * 8 * 8, 16)
        self.fc2 = nn.Linear(16, 3)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(self.features(x))))


Net = PlainNet
'''


def run(*words: str, gated: bool = False) -> str:
    """Runs a `robustkit` command that has to succeed, and returns what it said; a gate may fail, and has to say so."""
    result = CliRunner().invoke(group, list(words))
    failed = gated and result.exit_code == 1 and "FAILED: " in result.output
    if result.exception is not None and not failed:
        raise AssertionError(f"robustkit {' '.join(words)}: {result.exception}\n{result.output}") from result.exception
    return result.output


def make_world(folder: Path) -> Path:
    """Makes all that the pages take for granted.

    Returns:
        The folder. `ckpt.pt` and `adapted.pt` are ConvNets that were trained on `galaxies/Y10` (also `Y10`, with `Y1`
        beside it), `attack` and `attack-adapted` attacks on them; `best.pth`, `network.py` and `cutouts` are
        those of a stranger; `radio.npz` is an array of one band.
    """
    galaxies = folder / "galaxies"
    run("simulate", "--n", "60", "--size", str(SIZE), "--workers", "1", "--out", str(galaxies))
    for depth in ("Y10", "Y1"):
        shutil.copytree(galaxies / depth, folder / depth)
    trained = ("train", "--data", str(galaxies), "--epochs", "6")
    run(*trained, "--out", str(folder / "ckpt.pt"))
    run(*trained, "--seed", "1", "--out", str(folder / "adapted.pt"))
    for model, out in (("ckpt.pt", "attack"), ("adapted.pt", "attack-adapted")):
        few = ("--part", "all", "--n", "12", "--all", "--budget", "60", "--search", "auto", "--search", "random")
        run("attack", "--model", str(folder / model), *few, "--out", str(folder / out))
    _make_strangers(folder, ImageSet.load(galaxies / "Y10"))
    return folder


def _make_strangers(folder: Path, galaxies: ImageSet) -> None:
    """A state_dict with its code and a folder of pictures, and an array of radio galaxies."""
    (folder / "network.py").write_text(NETWORK)
    names: dict[str, type] = {}
    exec(NETWORK, names)
    torch.manual_seed(0)
    torch.save({"state_dict": names["PlainNet"]().state_dict()}, folder / "best.pth")
    low, high = np.quantile(galaxies.images, (0.01, 0.999))
    pictures = (np.clip((galaxies.images - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    for name, picture, label in zip(galaxies.ids, pictures, galaxies.labels, strict=True):
        path = folder / "cutouts" / galaxies.class_names[label] / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.transpose(1, 2, 0)).save(path)
    np.savez(folder / "radio.npz", images=pictures[:, :1], labels=galaxies.labels % 2)


def give(world: Path, folder: Path) -> None:
    """Puts what was made into the folder of a page; large things are linked and nothing of the world is changed."""
    for path in world.iterdir():
        if path.suffix == ".py":
            shutil.copy(path, folder / path.name)
        else:
            (folder / path.name).symlink_to(path)
