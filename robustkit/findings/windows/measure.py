"""Church windows from a checkpoint and an attack to a run folder: what `robustkit window` does, also from Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from robustkit.findings.latents.measure import embed_run, latent_folder
from robustkit.findings.windows.axes import NOISE, ONE_PIXEL, make_axes
from robustkit.findings.windows.record import Windows, measure_windows
from robustkit.findings.windows.show import SUMMARY, write_windows
from robustkit.findings.windows.summary import window_text
from robustkit.latent.any_window import window_method
from robustkit.latent.embeddings import Embeddings
from robustkit.latent.heads import as_function
from robustkit.models import ModelOptions
from robustkit.models.checkpoint import versions
from robustkit.report.palette import make_palette
from robustkit.runs import AGAIN, interruptible, open_run
from robustkit.runs.opening import choose_device


@dataclass(frozen=True, eq=False)
class WindowRun:
    """A finished run.

    Attributes:
        folder: Where its files are.
        embeddings: The latents.
        windows: The windows.
    """

    folder: Path
    embeddings: Embeddings
    windows: Windows


@dataclass(frozen=True)
class WindowRequest:
    """What windows are asked for.

    Attributes:
        noisy: Where the noisy twins come from; see `robustkit.findings.latents.twins.make_twins`.
        data: The images that were attacked; by default where the run says they are.
        search: Take the flips of this search alone.
        x: The first axis; see `robustkit.findings.windows.axes.make_axes`.
        y: The second axis.
        orthogonal: Whether to turn y at a right angle to x: the traditional window.
        white: Whether to leave the true class white, as there.
        colours: `safe` or `paper`.
        extent: Half the side of a window, in lengths of the directions.
        resolution: Cells along an axis of a sampled window; exact windows without it.
        images: Ids of images to draw; by default a rule chooses.
        seed: Of noise and random directions made here.
    """

    noisy: str | None = None
    data: str | os.PathLike[str] | None = None
    search: str | None = None
    x: str = ONE_PIXEL
    y: str = NOISE
    orthogonal: bool = False
    white: bool = False
    colours: str = "safe"
    extent: float = 1.1
    resolution: int | None = None
    images: Sequence[str] = ()
    seed: int = 0


def run_window(
    model: str | os.PathLike[str],
    attack: str | os.PathLike[str],
    request: WindowRequest | None = None,
    *,
    options: ModelOptions | None = None,
    out: str | os.PathLike[str] | None = None,
    device: str | None = None,
    say: Callable[[str], None] = print,
) -> WindowRun:
    """Measures the church windows of attacked images and draws some, and the canonical window where there is one.

    Args:
        model: The checkpoint.
        attack: The run folder of an attack on it.
        request: What to do.
        options: What to say about a model that robustkit did not train.
        out: A new folder; by default `runs/window-<model>`.
        device: Where to embed the images; by default a GPU if there is one.
        say: Where the lines for the terminal go.

    Raises:
        InputError: If anything given cannot be used; nothing is written then.
        RunInterrupted: If a signal stopped the run.
    """
    request, model = request or WindowRequest(), Path(model)
    folder = latent_folder("window", model, out)
    embedded = embed_run(
        model, attack, options=options, noisy=request.noisy, data=request.data, search=request.search,
        seed=request.seed, device=choose_device(device), say=say,
    )  # fmt: skip
    record = embedded.record
    palette = make_palette(record.class_names, request.colours)
    window_method(record.head, request.resolution)
    x, y = make_axes(embedded, request.x, request.y, seed=request.seed)
    windows = measure_windows(
        record, x, y, function=as_function(embedded.classifier), extent=request.extent,
        orthogonal=request.orthogonal, resolution=request.resolution, images=request.images,
    )  # fmt: skip
    about = {
        "inputs": {
            "model_sha256": record.model_sha256,
            "settings": {**windows.settings, "flips": record.settings["flips"], "seed": request.seed},
        },
        "model": str(model),
        "attack": str(attack),
        "data": str(embedded.attacked.sample.path),
        "notes": list(embedded.notes),
        "versions": versions(),
    }
    manifest = {"inputs": about["inputs"], "versions": about["versions"]}
    unfinished = not (folder / SUMMARY).is_file()  # written last: what a kill left is written again
    with open_run(folder, manifest, resume=unfinished, advice=AGAIN), interruptible(AGAIN):
        summary = write_windows(folder, record, windows, palette=palette, white=request.white, about=about)
    say(window_text(summary))
    say(f"everything is in {folder}")
    return WindowRun(folder, record, windows)
