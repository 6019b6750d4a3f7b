"""Simulated galaxies of three classes, as a survey sees the same ones after different numbers of years."""

from __future__ import annotations

import io
import math
import os
import platform
import signal
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import robustkit
from robustkit.cores import cores
from robustkit.data.galaxies import CLASSES, SHARES, draw_galaxy
from robustkit.data.imageset import ImageSet
from robustkit.data.render import Renderer
from robustkit.data.styles import Style, open_style
from robustkit.data.survey import Depth, Survey, open_survey
from robustkit.errors import InputError
from robustkit.extras import require
from robustkit.files import take_room, whole_folder, write_json, write_text
from robustkit.progress import progress
from robustkit.seeds import stream
from robustkit.tables import NamedWriter
from robustkit.words import no_such

GALAXIES_FILE = "galaxies.json"
CATALOGUE_FILE = "catalogue.csv"
# Galaxies that one process makes at a time; fewer than this many are made without starting processes.
_CHUNK = 16


@dataclass(frozen=True)
class _Job:
    """What a worker process needs to make any of the galaxies."""

    folder: str
    style: Style
    survey: Survey
    depths: tuple[Depth, ...]
    size: int
    seed: int
    shares: Mapping[str, float]


def simulate(
    n: int,
    *,
    survey: str | Survey | None = None,
    years: Sequence[float] | None = None,
    seed: int = 0,
    out: str | os.PathLike[str],
    workers: int | None = None,
    size: int = 100,
    classes: Mapping[str, float] = SHARES,
    style: str | Style = "lsst",
) -> Path:
    """Makes n galaxies and writes what a survey sees of each after every one of `years`.

    All depths show the same galaxies. Images are sky-subtracted and stored in electrons of the deepest exposure, so
    that one frozen stretch serves all: a shallower image is as bright and noisier (see `robustkit.data.survey`). Those
    of another style are stored on the zero point in r of ten years of LSST, with its own noise.
    Every galaxy has its own random streams: n, workers and the other depths never change it.

    Args:
        n: Number of galaxies, at least 1.
        survey: The camera: `lsst`, `des`, `hsc`, `sdss`, `hst`, or a `Survey` of your own; `None` is that of the style.
        years: The depths, each above 0; for LSST, 10 is the whole survey. `None` takes those of the style, 10 and 1 for
            `lsst` and 1 for the others; with another survey, its whole and a tenth of it.
        seed: Seed of the population and of the noise, at least 0.
        out: A new folder. It gets one image set for each depth (`Y10`, `Y1`), `catalogue.csv` with one row for each
            galaxy and `galaxies.json`. It appears once everything is written; an interrupted run leaves nothing.
        workers: Processes; by default as many as there are processors.
        size: Height and width of the images, pixels.
        classes: Share of each of `spiral`, `elliptical`, `merger`; they need not add to 1.
        style: The universe: which galaxies there are, and by which camera they are seen unless `survey` says otherwise.
            `lsst` is a sample of ten years of LSST; `sdss` a nearby one in single exposures of SDSS; `hst` one of
            half the age of the universe in images of the Hubble Space Telescope.

    Returns:
        The folder.

    Raises:
        InputError: If an argument is out of its range, or the folder is not empty.
        MissingExtra: If GalSim is not installed.
    """
    require("galsim", extra="sim", purpose="simulate galaxies")
    style = open_style(style)
    depths = _depths(style, survey, years)
    _check(n, seed, workers, size, classes)
    workers = min(workers or cores(), math.ceil(n / _CHUNK))
    with whole_folder(out) as building:
        job = _Job(str(building), style, depths[0].survey, depths, size, seed, dict(classes))
        for depth in depths:
            (building / depth.name).mkdir()
            shape = (n, len(job.survey.bands), size, size)
            path = building / depth.name / "images.npy"
            np.lib.format.open_memmap(path, "w+", np.float32, shape)
            with open(path, "r+b") as file:
                take_room(file)
        rows = _make(job, n, workers)
        _describe(building, job, rows)
    return Path(out)


def expose(rate: np.ndarray, depth: Depth, rng: np.random.Generator) -> np.ndarray:
    """What one exposure records of a galaxy, sky-subtracted.

    Args:
        rate: Electrons per second without sky, shape (C, H, W).
        depth: Depth of the exposure.
        rng: Draws the noise: Poisson of source and sky, and the read noise of every visit.

    Returns:
        Stored values, `depth.scale` times electrons, shape (C, H, W), float32.
    """
    bands = depth.survey.bands
    seconds, sky, visits = (
        np.array([get(band) for band in bands])[:, None, None] for get in (depth.exposure, depth.sky, depth.visits)
    )
    electrons = rng.poisson(seconds * rate + sky) - sky
    electrons += np.sqrt(visits) * depth.survey.read_noise * rng.standard_normal(rate.shape)
    return (depth.scale * electrons).astype(np.float32)


def _depths(style: Style, survey: str | Survey | None, years: Sequence[float] | None) -> tuple[Depth, ...]:
    camera = style.survey if survey is None else open_survey(survey)
    own = camera == style.survey
    if years is None:
        years = style.years if own else (camera.years, camera.years / 10)
    years = sorted({float(value) for value in years}, reverse=True)
    if not years or not (years[-1] > 0 and np.isfinite(years[0])):
        raise InputError(f"expected one or more positive numbers of years, got {list(years)}")
    # A style's unit speaks of its whole survey; images of LSST stay in electrons of the deepest depth that is made.
    unit = style.unit * style.years[0] / years[0] if own and style.unit != 1 else 1.0
    return tuple(Depth(camera, value, years[0], unit) for value in years)


def _check(n: int, seed: int, workers: int | None, size: int, classes: Mapping[str, float]) -> None:
    for name, value, least in (("n", n, 1), ("seed", seed, 0), ("workers", workers, 1), ("size", size, 16)):
        if value is not None and not isinstance(value, int | np.integer):
            raise InputError(f"expected {name} as a whole number, got {value!r}")
        if value is not None and value < least:
            raise InputError(f"{name} must be at least {least}, got {value}")
    unknown = [name for name in classes if name not in CLASSES]
    if unknown:
        raise InputError(no_such("class", unknown[0], CLASSES))
    if min(classes.values(), default=0) < 0 or not sum(classes.values()) > 0:
        raise InputError(f"expected class shares of at least 0 and not all 0, got {dict(classes)}")


def _make(job: _Job, n: int, workers: int) -> list[dict[str, Any]]:
    """Draws all galaxies into the image files and returns their catalogue rows, in order."""
    chunks = [range(start, min(start + _CHUNK, n)) for start in range(0, n, _CHUNK)]
    rows: list[dict[str, Any]] = []
    # Closing stops the processes before anybody removes the folder that they write into.
    with progress(total=n, label="simulating", unit="galaxies") as bar, closing(_drawn(job, chunks, workers)) as drawn:
        for made in drawn:
            rows += made
            bar.update(len(made))
    return rows


def _drawn(job: _Job, chunks: list[range], workers: int) -> Generator[list[dict[str, Any]]]:
    if workers == 1:
        renderer = Renderer(job.survey, job.size)
        for chunk in chunks:
            yield _draw(job, renderer, chunk)
        return
    # Processes are spawned, not forked: a fork of a process with threads (torch's) may hang.
    with ProcessPoolExecutor(workers, get_context("spawn"), _start, (job,)) as pool:
        yield from pool.map(_work, chunks)


_state: tuple[_Job, Renderer] | None = None


def _start(job: _Job) -> None:
    """Prepares a process. Ctrl-C is for the one that started it, which then asks for no more chunks."""
    global _state
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _state = job, Renderer(job.survey, job.size)


def _work(chunk: range) -> list[dict[str, Any]]:
    assert _state is not None
    return _draw(*_state, chunk)


def _draw(job: _Job, renderer: Renderer, chunk: range) -> list[dict[str, Any]]:
    """Draws some galaxies straight into the image files."""
    files = [np.load(Path(job.folder) / depth.name / "images.npy", mmap_mode="r+") for depth in job.depths]
    rows = []
    # One thread each: the processes fill the machine, and sums in another order would round otherwise.
    with threadpool_limits(1):
        for index in chunk:
            galaxy = draw_galaxy(job.seed, index, renderer.plane, job.shares, job.style)
            rate = renderer(galaxy)
            for file, depth in zip(files, job.depths, strict=True):
                file[index] = expose(rate, depth, stream(job.seed, galaxy.id, f"noise {depth.name}"))
            row = {"id": galaxy.id, "label": galaxy.label, "class": CLASSES[galaxy.label], "seeing": galaxy.seeing}
            rows.append(row | galaxy.truth)
    return rows


def _describe(folder: Path, job: _Job, rows: list[dict[str, Any]]) -> None:
    """Writes everything but the images."""
    labels = np.array([row["label"] for row in rows], dtype=np.int64)
    ids = np.array([row["id"] for row in rows], dtype=str)
    renderer = Renderer(job.survey, job.size)
    bands = tuple(band.name for band in job.survey.bands)
    psf_fwhm = {band: float(renderer.psf(band).calculateFWHM()) for band in bands}
    for depth in job.depths:
        ImageSet(
            images=np.load(folder / depth.name / "images.npy", mmap_mode="r"),
            labels=labels,
            class_names=CLASSES,
            bands=bands,
            ids=ids,
            units="electron",
            bounds=depth.bounds,
            meta=depth.meta() | {"psf_fwhm": psf_fwhm, "simulated": True, "style": job.style.name, "seed": job.seed},
        ).save_description(folder / depth.name)
    _write_catalogue(folder / CATALOGUE_FILE, rows)
    galsim = require("galsim", extra="sim", purpose="simulate galaxies")
    write_json(
        folder / GALAXIES_FILE,
        {
            "kind": "robustkit-galaxies",
            "version": 2,
            "style": job.style.name,
            "depths": [depth.name for depth in job.depths],
            "n": len(rows),
            "survey": asdict(job.survey),
            "years": [depth.years for depth in job.depths],
            "seed": job.seed,
            "size": job.size,
            "classes": dict(job.shares),
            "versions": {
                "robustkit": robustkit.__version__,
                "galsim": galsim.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        },
    )


def _write_catalogue(path: Path, rows: list[dict[str, Any]]) -> None:
    """One row for each galaxy; what only some classes have is empty for the others."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = NamedWriter(text, columns)
    writer.writeheader()
    writer.writerows({key: f"{v:.6g}" if isinstance(v, float) else v for key, v in row.items()} for row in rows)
    write_text(path, text.getvalue())
