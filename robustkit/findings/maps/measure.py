"""Maps of a model's latents: what `robustkit isomap` does, for use from Python too."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robustkit.errors import InputError
from robustkit.files import jsonable, sha256_file, write_json, write_text
from robustkit.findings.latents.measure import Embedded, embed_run, latent_folder
from robustkit.findings.maps.record import KINDS, NEIGHBOURS, LatentMap, lay_onto, map_latents
from robustkit.findings.maps.show import flat_maps, space_map
from robustkit.latent.grad_cam import grad_cam
from robustkit.models import ModelOptions
from robustkit.models.checkpoint import versions
from robustkit.report.films import frames, save_gif, save_mp4
from robustkit.report.palette import Looks, Palette, make_palette
from robustkit.report.saving import save_drawing
from robustkit.report.sections.gallery import CamPicture, draw_grad_cams
from robustkit.report.sections.latent_maps import draw_maps, draw_spaces, space_panel
from robustkit.runs import AGAIN, interruptible, open_run
from robustkit.runs.opening import choose_device
from robustkit.tables import Writer

RECORD, EMBEDDINGS, TABLE, SUMMARY = "isomap.npz", "embeddings.npz", "isomap.csv", "summary.json"
FLAT, SPACE, FILM, CAM = "isomap", "isomap-3d", "isomap-3d", "grad-cam"


@dataclass(frozen=True)
class IsomapRequest:
    """What maps of a model are asked for.

    Attributes:
        noisy: Where the noisy twins come from; see `robustkit.findings.latents.twins.make_twins`.
        data: The images that were attacked; by default where the run says they are.
        search: Take the flips of this search alone.
        base: Another checkpoint, whose map is laid onto the first.
        base_run: The attack on it.
        neighbours: How many nearest points each point is joined to.
        landmarks: How many landmarks; 0 for the full map. By default the full map up to 3000 latents.
        others: Further maps of the same points: `tsne`, `umap`.
        images: Ids of the images to mark; by default a rule chooses.
        cams: Whether to draw Grad-CAMs of the marked images.
        frames: Of the turning map; 0 for none.
        colours: `safe` or `paper`.
        seed: Of noise that is made here, of t-SNE and of UMAP.
    """

    noisy: str | None = None
    data: str | os.PathLike[str] | None = None
    search: str | None = None
    base: str | os.PathLike[str] | None = None
    base_run: str | os.PathLike[str] | None = None
    neighbours: int = NEIGHBOURS
    landmarks: int | None = None
    others: Sequence[str] = ()
    images: Sequence[str] = ()
    cams: bool = False
    frames: int = 36
    colours: str = "safe"
    seed: int = 0

    def __post_init__(self) -> None:
        check_base(self.base, self.base_run)
        if self.frames < 0:
            raise InputError(f"expected 0 frames or more, came --frames {self.frames}")


@dataclass(frozen=True, eq=False)
class IsomapRun:
    """A finished run.

    Attributes:
        folder: Where its files are.
        maps: The model's maps and, laid onto them, those of the base.
    """

    folder: Path
    maps: tuple[LatentMap, ...]


def run_isomap(
    model: str | os.PathLike[str],
    attack: str | os.PathLike[str],
    request: IsomapRequest | None = None,
    *,
    options: ModelOptions | None = None,
    out: str | os.PathLike[str] | None = None,
    device: str | None = None,
    say: Callable[[str], None] = print,
) -> IsomapRun:
    """Maps the latents of an attacked model and leaves records, a table, drawings and a summary in a run folder.

    Args:
        model: The checkpoint.
        attack: The folder of the attack on it.
        request: What to do.
        options: What to say about models that robustkit did not train.
        out: A new folder; by default `runs/isomap-<model>`.
        device: Where to run; by default a GPU if there is one.
        say: Where the lines for the terminal go.

    Raises:
        InputError: If anything given cannot be used; nothing is written then.
    """
    request = request or IsomapRequest()
    folder = latent_folder("isomap", model, out)
    embedded = embed_both(model, attack, request, options=options, device=device, say=say)
    maps = [
        map_latents(
            one.record,
            model=name,
            neighbours=request.neighbours,
            landmarks=request.landmarks,
            others=request.others,
            seed=request.seed,
            images=request.images,
        )
        for name, one in embedded.items()
    ]
    maps = [maps[0], *(lay_onto(maps[0], other) for other in maps[1:])]
    palette = make_palette(maps[0].class_names, request.colours)
    cams = _cams(next(iter(embedded.values())), maps[0]) if request.cams else []
    manifest = {"inputs": about_embedded(embedded), "versions": versions()}
    unfinished = not (folder / SUMMARY).is_file()  # written last: what a kill left is written again
    with open_run(folder, manifest, resume=unfinished, advice=AGAIN), interruptible(AGAIN):
        for suffix, one, found in zip(("", "-base"), maps, embedded.values(), strict=False):
            found.record.save(folder / _named(EMBEDDINGS, suffix))
            one.save(folder / _named(RECORD, suffix))
            say(one.text())
        write_text(folder / TABLE, table(maps))
        # The base comes first, as in the papers' figures.
        save_drawing(draw_maps([points for one in reversed(maps) for points in flat_maps(one, palette)]), folder, FLAT)
        save_drawing(draw_spaces([space_map(one, palette) for one in reversed(maps)]), folder, SPACE)
        films = _films(folder, maps, palette, request.frames, say) if request.frames else []
        if cams:
            save_drawing(draw_grad_cams(cams), folder, CAM)
        for one in maps[1:]:
            far = one.disparity["flat"]
            say(f"laid onto the map of {maps[0].model}, that of {one.model} is left with a disparity of {far:.3f} of 1")
        write_json(folder / SUMMARY, jsonable({**_numbers(maps, embedded), "films": films, "versions": versions()}))
    say(f"everything is in {folder}, the numbers in {folder / SUMMARY}")
    return IsomapRun(folder, tuple(maps))


def embed_both(
    model: str | os.PathLike[str],
    attack: str | os.PathLike[str],
    request: Any,
    *,
    options: ModelOptions | None = None,
    device: str | None,
    say: Callable[[str], None],
) -> dict[str, Embedded]:
    """The embeddings of a model and, if a base is asked for, of that, by name.

    Args:
        model: The checkpoint.
        attack: The folder of the attack on it.
        request: Has `noisy`, `data`, `search`, `seed`, `base` and `base_run`.
        options: What to say about models that robustkit did not train, of both.
        device: Where to run.
        say: Where the lines for the terminal go.

    Raises:
        InputError: If anything given cannot be used.
    """
    asked = {"noisy": request.noisy, "data": request.data, "search": request.search, "seed": request.seed}
    asked |= {"options": options, "device": choose_device(device), "say": say}
    found = {Path(model).stem: embed_run(model, attack, **asked)}
    if request.base is not None and request.base_run is not None:
        name = Path(request.base).stem
        name = name if name not in found else f"{name} (base)"
        found[name] = embed_run(request.base, request.base_run, **asked)
    return found


def check_base(base: object, base_run: object) -> None:
    """Refuses one of the two options for a second model without the other.

    Raises:
        InputError: If one is missing.
    """
    if (base is None) != (base_run is None):
        raise InputError("a second model is compared by its own attack: give --base and --base-run, or neither")


def about_embedded(embedded: dict[str, Embedded]) -> dict[str, Any]:
    """What a run rests on, as JSON values."""
    return {
        name: {
            "model": str(one.attacked.sample.model),
            "model_sha256": one.attacked.sample.checkpoint.origin.sha256,
            "attack": str(one.attacked.folder),
            "attack_sha256": sha256_file(one.attacked.folder / "attack.npz"),
            "data": str(one.attacked.sample.path),
            "noise": one.record.noise,
            "flips": one.record.settings["flips"],
        }
        for name, one in embedded.items()
    }


def table(maps: Sequence[LatentMap]) -> str:
    """The points as CSV, a line each."""
    text = io.StringIO()
    writer = Writer(text)
    places = ["flat_1", "flat_2", *(f"{name}_{d}" for name in ("solid", "pca") for d in (1, 2, 3))]
    writer.writerow(["model", "id", "kind", "true", "predicted", *places, "tsne_1", "tsne_2", "umap_1", "umap_2"])
    for one in maps:
        names = one.class_names
        for p in range(len(one.kind)):
            i = one.image[p]
            line = [one.model, one.ids[i], KINDS[one.kind[p]], names[one.true[i]], names[one.predicted[p]]]
            places = [*one.flat[p], *one.solid[p], *one.pca[p]]
            for other in (one.tsne, one.umap):
                places += [*other[p]] if len(other) else [np.nan, np.nan]
            writer.writerow(line + ["" if np.isnan(x) else f"{x:.9g}" for x in places])
    return text.getvalue()


def _films(
    folder: Path, maps: Sequence[LatentMap], palette: Palette, count: int, say: Callable[[str], None]
) -> list[str]:
    """A turning map of each model, as GIF and, where ffmpeg is here, as MP4."""
    files = []
    for suffix, one in zip(("", "-base"), maps, strict=False):
        pictures = list(frames(space_panel(space_map(one, palette)), Looks(palette), count=count))
        files.append(save_gif(pictures, folder / f"{FILM}{suffix}.gif"))
        movie = save_mp4(pictures, folder / f"{FILM}{suffix}.mp4")
        files += [movie] if movie is not None else []
    if all(path.suffix == ".gif" for path in files):
        say("no MP4 was written, because ffmpeg is not installed; the turning map is a GIF")
    return [path.name for path in files]


def _cams(embedded: Embedded, one: LatentMap) -> list[CamPicture]:
    """Grad-CAMs of the marked images."""
    found, attacked = embedded.record, embedded.attacked
    examples = one.examples[found.flipped[one.examples]]
    if not len(examples):
        raise InputError("none of the marked images was flipped, so there is no pair for --grad-cam to show")
    attempts = found.attempt[examples]
    clean = torch.cat([attacked.clean(i, i + 1) for i in examples.tolist()])
    painted = attacked.painted(attempts)
    classes = found.clean_class[examples], found.attacked_class[examples]
    maps = [
        grad_cam(embedded.classifier, images, torch.from_numpy(labels))
        for images, labels in zip((clean, painted), classes, strict=True)
    ]
    record, names = attacked.record, found.class_names
    return [
        CamPicture(
            name=f"{e + 1}: {found.ids[i]}",
            clean=clean[e].numpy(),
            attacked=painted[e].numpy(),
            clean_map=maps[0][e],
            attacked_map=maps[1][e],
            before=names[classes[0][e]],
            after=names[classes[1][e]],
            row=tuple(record.row[attempts[e]].tolist()),
            column=tuple(record.column[attempts[e]].tolist()),
            bands=attacked.sample.checkpoint.card.bands,
        )
        for e, i in enumerate(examples.tolist())
    ]


def _numbers(maps: Sequence[LatentMap], embedded: dict[str, Embedded]) -> dict[str, Any]:
    keys = ("quality", "latent_hit", "scan", "components", "largest", "duplicates", "disparity", "settings")
    numbers = {}
    for one in maps:
        counts = {name: int((one.kind == k).sum()) for k, name in enumerate(KINDS)}
        marked = [str(one.ids[i]) for i in one.examples]
        numbers[one.model] = {**{key: getattr(one, key) for key in keys}, "points": counts, "examples": marked}
    return {"maps": numbers, "inputs": about_embedded(embedded)}


def _named(file: str, suffix: str) -> str:
    stem, dot, end = file.rpartition(".")
    return f"{stem}{suffix}{dot}{end}"
