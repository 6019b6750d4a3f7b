"""`open_images`: one door for every format, which says what it chose and refuses what it would have to guess."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np

from robustkit.data.bounds import bounded_memory, stored_bytes
from robustkit.data.imageset import IMAGE_SET_FILE, ImageSet, Units
from robustkit.data.preprocess import parse_steps
from robustkit.data.readers import (
    catalogue,
    decode,
    fits,
    folder,
    galaxies,
    hdf5,
    npy,
    npz,
    parquet,
    webdataset,
    zarr_store,
)
from robustkit.data.readers.assemble import assemble, checked, stepped
from robustkit.data.readers.axes import check_axes
from robustkit.data.readers.found import Channels, Found, Options
from robustkit.data.readers.sets import name_classes
from robustkit.data.readers.shards import shard_files
from robustkit.data.readers.single import find_files, names_of
from robustkit.errors import InputError
from robustkit.words import no_such, to_path


@dataclass(frozen=True)
class Format:
    """A file format: its name, its reader, and the options that apply to it."""

    name: str
    read: Callable[[Path, Options], Found]
    options: frozenset[str]


_COMMON = frozenset(
    {
        "class_names", "class_count", "accepted", "numbers", "bands", "units", "bounds", "steps", "nan", "channels",
        "axes",
    }
)  # fmt: skip
_LISTED = 16 << 20  # bytes that the first image may have which a catalogue names; those of all are known by then
# How the command line spells what readers are told.
_SPELLED = {
    "images": "--images",
    "labels": "--labels",
    "class_names": "--classes",
    "class_count": "--classes",
    "numbers": "--tolerance",
    "bands": "--bands",
    "channels": "--channels",
    "axes": "--axes",
    "units": "--units",
    "bounds": "--image-range",
    "nan": "--nan",
}
_OF_OWN = frozenset({"steps", "class_count", "accepted"})
_NAMED = _COMMON | {"images", "labels", "ids"}


def _read_picture(path: Path, options: Options) -> Found:
    found = find_files(path.parent, [path], lambda data, file: decode.read_one(data, file, options))
    found.ids = names_of(path.parent, [path])
    return found


FOLDER = Format("a folder of images", folder.read_folder, _COMMON | {"images", "labels"})
ZARR = Format("a Zarr store", zarr_store.read_zarr, _NAMED)
FORMATS: dict[str, Format] = {
    ".npy": Format("a .npy file", npy.read_npy, _COMMON | {"labels"}),
    ".npz": Format("an .npz archive", npz.read_npz, _NAMED),
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".he5"), Format("an HDF5 file", hdf5.read_hdf5, _NAMED)),
    **dict.fromkeys((".csv", ".tsv"), Format("a catalogue", catalogue.read_catalogue, _NAMED)),
    **dict.fromkeys(fits.SUFFIXES, Format("a FITS file", fits.read_fits, _COMMON | {"images", "labels"})),
    ".parquet": Format("a Parquet file", parquet.read_parquet, _NAMED),
    ".tar": Format("a webdataset", webdataset.read_webdataset, _COMMON | {"images", "labels"}),
    **dict.fromkeys((".png", ".jpg", ".jpeg"), Format("a picture", _read_picture, _COMMON)),
}


def open_images(
    path: str | os.PathLike[str],
    *,
    images: str | None = None,
    labels: str | os.PathLike[str] | Sequence[int] | Sequence[str] | np.ndarray | None = None,
    ids: str | None = None,
    class_names: Sequence[str] | None = None,
    class_count: int | None = None,
    accepted: Sequence[str] = (),
    numbers: bool = False,
    bands: Sequence[str] | None = None,
    channels: Channels | None = None,
    axes: str | None = None,
    units: Units | None = None,
    bounds: tuple[float, float] | None = None,
    preprocess: Sequence[str] = (),
    size: int | tuple[int, int] | None = None,
    nan: Literal["refuse", "fill"] = "refuse",
) -> ImageSet:
    """Opens images of any format as an `ImageSet`, whose `notes` say every choice that was made.

    Args:
        path: A folder that robustkit wrote; a .npy, .npz, .h5, .fits, .png or .jpg file; a .csv catalogue; a folder
            of classes with PNG, JPEG or FITS files; a Zarr store; a Parquet file or a webdataset (.tar), or a folder
            of their shards.
        images: Which array, column of paths or FITS extension holds the images, where there are several.
        labels: Which array or column holds the labels; or a .npy file with them; or the labels themselves.
        ids: Which array or column holds the ids.
        class_names: The K classes, in the order of the labels.
        numbers: Whether the labels are numbers that a regression predicts, and no classes.
        class_count: K, where labels are numbers that need not show every class.
        accepted: Names that are classes although tables write them for no label, such as `none`.
        bands: The C bands, in the order of the channels; for a folder with one FITS file per band, the ends of their
            names.
        channels: Where the bands of an image are: its `first` or `last` axis, or `none` for (N, H, W).
        axes: A letter for each axis of an array, where that does not say it: N images, C bands, H rows, W columns, V
            visits of which the mean is taken, a digit for that place alone: `HWN`, `NVCHW`, `N0CHW`.
        units: `electron` (sky-subtracted counts), `display` or `unknown`.
        bounds: Lowest and highest value that a pixel can physically take.
        preprocess: What is done to them, in this order, such as `resize 64 64`; see `robustkit.data.preprocess`.
        size: Height and width to cut and pad all images to about their centre, or one number for both.
        nan: `refuse` pixels that are not finite, or `fill` them with the median of their image and band.

    Raises:
        InputError: If the source is missing, damaged, leaves a choice open, or does not fit what was said.
        MissingExtra: If astropy, h5py, zarr or pyarrow is needed and not installed.
    """
    path = to_path(path, "an image set", "arrays in memory go to rk.attack, rk.audit and the like as they are")
    options = Options(
        images=images,
        labels=_label_option(labels),
        ids=ids,
        class_names=_names(class_names, "class_names"),
        class_count=class_count,
        accepted=tuple(accepted),
        numbers=numbers,
        bands=_names(bands, "bands"),
        channels=channels,
        axes=axes,
        units=units,
        bounds=bounds,
        steps=parse_steps([*preprocess, *(["fit {} {}".format(*_size_option(size))] if size is not None else [])]),
        nan=nan,
    )
    _check_choices(options)
    try:
        own = _open_own(path, options)
        if own is not None:
            return checked(own)
        chosen = _format(path)
        _refuse_options(options, chosen.options, chosen.name)
        with bounded_memory(stored_bytes(path) + (_LISTED if chosen.read is catalogue.read_catalogue else 0), path):
            found = chosen.read(path, options)
        return name_classes(assemble(found, options, path), options, path)
    except OSError as error:  # no permission, a name that is too long, no room for a temporary file
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def open_pair(path: str | os.PathLike[str]) -> tuple[ImageSet, ImageSet]:
    """Opens simulated galaxies at their deepest and at their shallowest, row by row the same objects.

    Raises:
        InputError: If the folder does not hold galaxies at two depths or more, or the depths show other objects.
    """
    folder = Path(path)
    depths = galaxies.depths_of(folder)
    if len(depths) < 2:
        raise InputError(f"{folder} has only the depth {', '.join(depths)}; expected at least two to compare")
    deep, shallow = (checked(ImageSet.load(folder / depth)) for depth in (depths[0], depths[-1]))
    if set(deep.ids) != set(shallow.ids):
        raise InputError(f"{depths[0]} and {depths[-1]} in {folder} do not show the same objects; simulate them again")
    return deep, shallow.select(shallow.positions(deep.ids)) if (deep.ids != shallow.ids).any() else shallow


def _open_own(path: Path, options: Options) -> ImageSet | None:
    """What robustkit wrote itself, or `None`."""
    if (path / galaxies.GALAXIES_FILE).is_file():
        _refuse_options(options, _OF_OWN, "simulated galaxies, whose files already say all that")
        depth = galaxies.depths_of(path)
        note = f"depth: {depth[0]}, the deepest of {', '.join(depth)}"
        image_set = ImageSet.load(path / depth[0])
        return stepped(replace(image_set, notes=(*image_set.notes, note)), options)
    if (path / IMAGE_SET_FILE).is_file():
        _refuse_options(options, _OF_OWN, "a saved image set, whose files already say all that")
        return stepped(ImageSet.load(path), options)
    return None


def _format(path: Path) -> Format:
    if path.is_dir():
        return _folder_format(path)
    if not path.exists():
        raise InputError(f"no such file or folder: {path} (expected images)")
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"robustkit cannot read {path}; expected a folder or {', '.join(FORMATS)}")
    if not path.is_file():
        raise InputError(f"{path} is neither a file nor a folder; expected images")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; expected images")
    return FORMATS[path.suffix.lower()]


def _folder_format(path: Path) -> Format:
    if zarr_store.is_zarr(path):
        return ZARR
    if not folder.holds_pictures(path):
        for suffix in (".parquet", ".tar"):
            if shard_files(path, suffix):
                return FORMATS[suffix]
    return FOLDER


def _refuse_options(options: Options, understood: frozenset[str], name: str) -> None:
    for field in fields(Options):
        value = getattr(options, field.name)
        if value is not field.default and not (isinstance(value, tuple) and not value) and field.name not in understood:
            raise InputError(f"{_SPELLED.get(field.name, field.name)} does not apply to {name}; leave it out")


def _check_choices(options: Options) -> None:
    if options.axes is not None:
        check_axes(options.axes)
        if options.channels is not None:
            raise InputError("--axes says where the bands are too; omit --channels")
    known = {"channels": ("first", "last", "none"), "nan": ("refuse", "fill")}
    for name, choices in known.items():
        value = getattr(options, name)
        if value is not None and value not in choices:
            raise InputError(no_such(f"--{name}", value, choices))


def _label_option(labels: object) -> str | np.ndarray | None:
    if labels is None or isinstance(labels, str):
        return labels
    if isinstance(labels, os.PathLike):
        return os.fspath(labels)
    values = np.asarray(labels)
    if values.ndim not in (1, 2):
        raise InputError(f"expected one label per image, got an array of shape {values.shape}")
    return values


def _names(names: Sequence[str] | None, what: str) -> tuple[str, ...] | None:
    if names is None:
        return None
    if isinstance(names, str) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"expected {what} as a sequence of names, got {names!r}")
    return tuple(names)


def _size_option(size: int | tuple[int, int]) -> tuple[int, int]:
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(pair) != 2 or not all(isinstance(side, int) and 0 < side <= 1 << 16 for side in pair):
        raise InputError(f"expected size as pixels, one number or height and width, got {size!r}")
    return pair[0], pair[1]
