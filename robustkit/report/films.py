"""Turning maps as films: an endless GIF and, where ffmpeg is here, an MP4."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from robustkit.files import atomic_write
from robustkit.progress import progress
from robustkit.report.blocks import Drawing, Panel
from robustkit.report.palette import Looks
from robustkit.report.paper import CAMERAS, paint_legend, paint_space
from robustkit.report.saving import printing


def frames(panel: Panel, looks: Looks, *, count: int = 36, pixels: int = 480) -> Iterator[Image.Image]:
    """A panel in space as a camera sees it that goes round it once.

    Args:
        panel: What to paint.
        looks: How what it shows is drawn.
        count: How many pictures.
        pixels: Side of each.
    """
    drawing = Drawing([panel], size=(pixels / 100, pixels / 100), legend="below")
    looks = looks.including(drawing.meanings())
    with printing():
        figure = Figure(figsize=drawing.size, dpi=100)
        canvas = FigureCanvasAgg(figure)
        ax = figure.add_subplot(projection="3d")
        figure.subplots_adjust(left=0.02, right=0.98, bottom=0.15, top=0.95)
        paint_space(panel, ax, looks, azimuth=0, zoom=1.15)
        figure.suptitle(panel.title)
        paint_legend(figure, drawing, looks)
        for i in progress(range(count), label="turning map", unit="frame"):
            ax.view_init(elev=18, azim=CAMERAS[0] + 360 * i / count)
            canvas.draw()
            yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def save_gif(pictures: Sequence[Image.Image], path: Path, *, seconds: float = 7.2) -> Path:
    """Writes frames as an endless GIF."""
    palette = pictures[0].quantize(128)
    small = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    with atomic_write(path) as file:
        duration = round(1000 * seconds / len(small))
        small[0].save(file, format="GIF", save_all=True, append_images=small[1:], duration=duration, loop=0)
    return path


def save_mp4(pictures: Sequence[Image.Image], path: Path, *, seconds: float = 7.2) -> Path | None:
    """Writes frames as a film, if ffmpeg is here; `None` if not."""
    program = shutil.which("ffmpeg")
    if program is None:
        return None
    width, height = pictures[0].size
    handle, temporary = tempfile.mkstemp(suffix=".mp4", dir=path.parent)
    os.close(handle)
    command = [program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    command += ["-r", f"{len(pictures) / seconds:g}", "-i", "-", "-pix_fmt", "yuv420p", "-vf"]
    command += ["pad=ceil(iw/2)*2:ceil(ih/2)*2", temporary]
    try:
        done = subprocess.run(command, input=b"".join(p.tobytes() for p in pictures), capture_output=True, check=False)
        if done.returncode == 0:
            os.replace(temporary, path)
        return path if done.returncode == 0 else None
    finally:
        Path(temporary).unlink(missing_ok=True)
