"""FITS through astropy: a cube, one HDU per object, or one image. Headers are checked before any pixel is touched."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.data.guard import brief, reading
from robustkit.data.imageset import Units
from robustkit.data.pixels import rows_per_block
from robustkit.data.readers.fits_headers import check_headers
from robustkit.data.readers.found import Found, Frames, Names, Options, rows_of
from robustkit.data.readers.labels import stated_labels
from robustkit.data.readers.layout import Layout, image_layout, set_layout
from robustkit.data.readers.provenance import file_hash
from robustkit.data.readers.single import SingleImage
from robustkit.errors import InputError
from robustkit.extras import require

SUFFIXES = (".fits", ".fit", ".fts", ".fz")
_KIND = "a FITS file"
_MOST_COMPRESSED = 1 << 30  # pixels of one compressed image, whose stored size proves nothing
_ELECTRONS = {"electron", "electrons", "e-", "e"}
_COUNTS = {"count", "counts", "ct", "cts"}
_NOT_IMAGES = {"ERR", "DQ", "WHT", "WEIGHT", "MASK", "VAR", "VARIANCE", "IVAR", "CTX"}
_DAMAGE = ("checksum verification failed", "datasum verification failed", "may have been truncated")


@dataclass(frozen=True)
class ImageHdu:
    """One HDU that holds pixels, as its header describes it.

    Attributes:
        index: Number of the HDU in the file.
        name: EXTNAME, or an empty string.
        shape: Shape of its pixels, slowest axis first.
        unit: BUNIT, or an empty string.
        filter: FILTER, or an empty string.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    unit: str
    filter: str


def read_fits(path: Path, options: Options) -> Found:
    """Finds the images of one FITS file: one cube, or one HDU per object.

    Raises:
        InputError: If the file is damaged, holds no images, or leaves a choice open.
    """
    notes: list[str] = []
    provenance = {path.name: file_hash(path)}
    labels = stated_labels(options, notes, provenance)
    hdus = _chosen(_survey(path, path.name, path.stat().st_size, notes), options, path.name, notes)
    cube = len(hdus) == 1 and len(hdus[0].shape) > 2
    if cube:
        layouts = [set_layout(hdus[0].shape, options, path.name, labelled=None if labels is None else len(labels))]
        notes.append(layouts[0].note)
        frames = _cube_frames(path, hdus[0], layouts[0])
    else:
        layouts = [image_layout(hdu.shape, options, f"HDU {hdu.index} of {path.name}") for hdu in hdus]
        notes.append(f"images: one HDU per object, {len(hdus)} of {_span(hdus)}")
        if not options.steps and len({hdu.shape for hdu in hdus}) > 1:
            raise InputError(
                f"the {len(hdus)} images in {path.name} are from {_span(hdus)}; --resize H W brings all to one size, "
                "and --input-size H W cuts and pads them about their centre"
            )
        frames = _hdu_frames(path, hdus, layouts)
    found = Found(frames, labels=labels, notes=notes, provenance=provenance, units=_units(hdus, notes))
    if {layout.channels for layout in layouts} == {"none"}:
        found.bands = _filter(hdus, notes)
    if not cube:
        found.ids = _ids(hdus, path.stem, notes)
    return found


def read_fits_image(data: bytes, name: str, options: Options) -> SingleImage:
    """One image from the bytes of a FITS file, shape (C, H, W).

    Raises:
        InputError: If the file is damaged or holds not exactly one image.
    """
    notes: list[str] = []
    hdus = _chosen(_survey(data, name, len(data), notes), options, name, notes)
    if len(hdus) > 1:
        raise InputError(f"{name} holds {len(hdus)} images; expected one per file, or name an extension with --images")
    layout = image_layout(hdus[0].shape, options, name)
    with _opened(data, name) as file:
        pixels = _section(file[hdus[0].index], slice(None), name)
    bands = _filter(hdus, notes) if layout.channels == "none" else None
    units = _units(hdus, notes)
    return SingleImage(layout.apply(pixels)[0], bands, units, None, "FITS image", "; ".join(notes) or None)


def _survey(source: Path | bytes, name: str, size: int, notes: list[str]) -> list[ImageHdu]:
    """The HDUs with pixels, from their headers, with every size proved and every checksum verified."""
    fits = _astropy()
    found, others = [], []
    with _opened(source, name, notes) as file, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for index, hdu in enumerate(file):
            if not hdu.is_image and not isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
                raise InputError(f"HDU {index} of {name} is neither image nor table; its header is damaged")
            shape = tuple(hdu.shape) if hdu.is_image else ()
            if len(shape) < 2 or 0 in shape:
                others += [hdu.name or str(index)] if shape or not hdu.is_image else []
                continue
            _check_size(hdu, shape, size, f"HDU {index} of {name}")
            unit, band = (str(hdu.header.get(key, "")).strip() for key in ("BUNIT", "FILTER"))
            found.append(ImageHdu(index, "" if hdu.name == "PRIMARY" else hdu.name, shape, unit, band))
        end = max(info["datLoc"] + info["datSpan"] for info in (hdu.fileinfo() for hdu in file))
    _judge([str(warning.message) for warning in caught], name, notes)
    if end != size:
        raise InputError(f"{name} has {size} bytes and its HDUs end at {end}; it is truncated or a header is damaged")
    if not found:
        raise InputError(
            f"{name} holds no images" + (f", only tables or spectra: {', '.join(others)}" if others else "")
        )
    if others:
        notes.append(f"images: {len(others)} tables or spectra in {name} were left out ({', '.join(others[:4])})")
    return found


def _check_size(hdu: Any, shape: tuple[int, ...], size: int, name: str) -> None:
    pixels = math.prod(shape)
    if type(hdu).__name__ == "CompImageHDU":
        too_many = pixels > _MOST_COMPRESSED
    else:
        too_many = pixels * abs(int(hdu.header["BITPIX"])) // 8 > size
    if too_many:
        raise InputError(f"{name} claims {shape} pixels, more than the file's {size} bytes can hold; it is damaged")


def _chosen(hdus: list[ImageHdu], options: Options, name: str, notes: list[str]) -> list[ImageHdu]:
    planes = sorted({hdu.name for hdu in hdus if hdu.name.upper() in _NOT_IMAGES} - {options.images})
    if options.images is not None:
        chosen = [hdu for hdu in hdus if hdu.name == options.images]
        if not chosen:
            names = ", ".join(sorted({hdu.name or "(no name)" for hdu in hdus}))
            raise InputError(f"{name} has no image extension {options.images!r}; it has {names}")
        if planes:
            notes.append(
                f"images: {', '.join(planes)} beside {options.images} was not read, so pixels that it marks as "
                "bad count as good; make them NaN in the file, and say --nan fill"
            )
        return chosen
    if planes:
        raise InputError(
            f"{name} holds errors or masks beside images ({', '.join(planes)}); name one with --images SCI"
        )
    return hdus


@contextmanager
def _opened(source: Path | bytes, name: str, notes: list[str] | None = None) -> Generator[Any]:
    """An open FITS file, whose warnings about damage are errors and whose others become notes."""
    fits = _astropy()
    with reading(name, _KIND), io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
        start = stream.read(9)
        if start != b"SIMPLE  =":
            raise InputError(f"{name} does not begin like a FITS file; if it is compressed, unpack it first")
        check_headers(stream, name)
        # A checksum needs all bytes, so they are mapped; mapped pixels cannot be scaled, so to read those they are not.
        mapped = notes is not None and isinstance(source, Path)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            file = fits.open(stream, memmap=mapped, checksum=notes is not None, lazy_load_hdus=False)
        with file:
            _judge([str(warning.message) for warning in caught], name, notes)
            yield file


def _astropy() -> Any:
    return require("astropy.io.fits", extra="fits", purpose="read FITS images")


def _judge(messages: list[str], name: str, notes: list[str] | None) -> None:
    for message in messages:
        if any(damage in message.lower() for damage in _DAMAGE):
            raise InputError(f"{name} is damaged: {brief(message)}")
    if notes is not None:
        notes.extend(f"FITS: {name}: {brief(message)}" for message in dict.fromkeys(messages))


def _section(hdu: Any, rows: Any, name: str) -> np.ndarray:
    """Some rows of an HDU's pixels, scaled as its header says, in native byte order."""
    with reading(name, _KIND), warnings.catch_warnings():
        warnings.simplefilter("error")
        values = np.asarray(hdu.section[rows])
        if (
            "BLANK" in hdu.header and values.dtype.kind in "iu"
        ):  # which astropy leaves out of integers that stay integers
            scale, zero = (float(hdu.header.get(key, default)) for key, default in (("BSCALE", 1), ("BZERO", 0)))
            undefined = values == int(hdu.header["BLANK"]) * scale + zero
            values = np.where(undefined, np.nan, values) if undefined.any() else values
        return values.astype(values.dtype.newbyteorder("="), copy=False)


def _cube_frames(path: Path, hdu: ImageHdu, layout: Layout) -> Frames:
    count = layout.count(hdu.shape)

    def blocks(rows: int | None) -> Iterator[np.ndarray]:
        step = hdu.shape[0] if layout.whole else rows or rows_per_block(hdu.shape, 8)
        with _opened(path, path.name) as file:
            for start in range(0, hdu.shape[0], step):
                yield layout.apply(_section(file[hdu.index], slice(start, start + step), path.name))

    return Frames(rows_of(path.name, count), blocks)


def _hdu_frames(path: Path, hdus: list[ImageHdu], layouts: list[Layout]) -> Frames:
    def blocks(_: int | None) -> Iterator[np.ndarray]:
        with _opened(path, path.name) as file:
            for hdu, layout in zip(hdus, layouts, strict=True):
                yield layout.apply(_section(file[hdu.index], slice(None), path.name))

    return Frames(Names(len(hdus), lambda index: f"HDU {hdus[index].index} of {path.name}"), blocks)


def _span(hdus: list[ImageHdu]) -> str:
    """The smallest and the largest shape, in words."""
    shapes = sorted({hdu.shape for hdu in hdus})
    return " to ".join(dict.fromkeys("x".join(map(str, shape)) for shape in (shapes[0], shapes[-1])))


def _ids(hdus: list[ImageHdu], stem: str, notes: list[str]) -> np.ndarray:
    names = [hdu.name for hdu in hdus]
    unique = all(names) and len(set(names)) == len(names)
    notes.append("ids: the names of the HDUs" if unique else "ids: the name of the file and the number of the HDU")
    return np.array(names if unique else [f"{stem}-{hdu.index:04d}" for hdu in hdus])


def _filter(hdus: list[ImageHdu], notes: list[str]) -> tuple[str] | None:
    """The band of images of one band, where all headers state the same filter."""
    filters = {hdu.filter for hdu in hdus}
    if len(filters) != 1 or not hdus[0].filter:
        return None
    notes.append(f"bands: {hdus[0].filter}, from FILTER")
    return (hdus[0].filter,)


def _units(hdus: list[ImageHdu], notes: list[str]) -> Units | None:
    stated = {hdu.unit for hdu in hdus}
    if len(stated) > 1:
        notes.append(f"units: BUNIT differs ({', '.join(sorted(stated)[:4])}), so unknown; give --units")
        return "unknown"
    unit = stated.pop()
    if unit.lower() in _ELECTRONS:
        notes.append(f"units: electron, from BUNIT {unit!r}")
        return "electron"
    if unit.lower() in _COUNTS:
        notes.append(f"units: electron, taking BUNIT {unit!r} as one electron per count; --units unknown if not so")
        return "electron"
    if unit:
        notes.append(f"units: BUNIT {unit!r} is not one that robustkit recognises, so unknown; give --units if you can")
        return "unknown"
    return None
