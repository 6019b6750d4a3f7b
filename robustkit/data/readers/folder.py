"""A folder of files with one image each: subfolders are classes, and train / valid / test above them is a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robustkit.data.bounds import files_inside
from robustkit.data.readers import fits, pictures
from robustkit.data.readers.bandfiles import is_one_file_a_band, read_bands
from robustkit.data.readers.decode import read_one
from robustkit.data.readers.found import Found, Options
from robustkit.data.readers.labels import stated_labels
from robustkit.data.readers.single import find_files, names_of
from robustkit.errors import WARNING, InputError

PARTS = ("train", "valid", "val", "validation", "test")
_IMAGES = (*pictures.SUFFIXES, *fits.SUFFIXES)


def read_folder(folder: Path, options: Options) -> Found:
    """Finds the images of a folder: FOLDER/CLASS/x.png, FOLDER/PART/CLASS/x.png, or FOLDER/x.png without labels.

    Raises:
        InputError: If the folder holds no images, or they lie at different depths.
    """
    inside = [path for path in sorted(files_inside(folder)) if not _hidden(path, folder)]
    files = [path for path in inside if path.suffix.lower() in _IMAGES]
    if not files:
        arrays = [path.name for path in inside if path.suffix in (".npy", ".npz", ".h5", ".hdf5", ".csv")]
        hint = f"; it holds {', '.join(arrays[:4])}, so name one of them" if arrays else ""
        raise InputError(f"{folder} holds no PNG, JPEG or FITS images and no image set{hint}")
    depths = {len(path.relative_to(folder).parts) for path in files}
    if len(depths) > 1 or max(depths) > 3:
        raise InputError(
            f"the images in {folder} lie at different depths or too deep; expected {folder.name}/CLASS/image.png, "
            f"{folder.name}/train/CLASS/image.png, or all in one folder without classes"
        )
    if options.images is not None and not any(path.suffix.lower() in fits.SUFFIXES for path in files):
        raise InputError(f"--images names a FITS extension, and {folder} holds pictures; leave it out")
    if depths == {1} and is_one_file_a_band(files, options):
        return read_bands(folder, files, options)
    found = find_files(folder, files, lambda data, path: read_one(data, path, options))
    found.ids = names_of(folder, files)
    _split(found, folder, files, depths.pop())
    found.labels = stated_labels(options, found.notes, found.provenance)
    if found.labels is None:
        _classes(found, folder, files, options)
    others = sorted(path.name for path in set(inside) - set(files))
    if others:
        found.notes.append(f"images: {len(others)} other files were left out ({', '.join(others[:3])})")
    return found


def holds_pictures(folder: Path) -> bool:
    """Whether there are files with one image each in a folder."""
    return any(path.suffix.lower() in _IMAGES and not _hidden(path, folder) for path in files_inside(folder))


def _split(found: Found, folder: Path, files: list[Path], depth: int) -> None:
    """Takes the part of each image from the folders above the classes, where there are any."""
    tops = [path.relative_to(folder).parts[0] for path in files]
    if depth == 3:
        unknown = sorted(set(tops) - set(PARTS))
        if unknown:
            raise InputError(f"expected only {', '.join(PARTS)} above the classes in {folder}, found {unknown[0]!r}")
        found.split = np.array(tops)
    elif depth == 2 and set(tops) <= set(PARTS):
        raise InputError(f"{folder} has parts of a split but no classes inside; expected {tops[0]}/CLASS/image.png")


def _classes(found: Found, folder: Path, files: list[Path], options: Options) -> None:
    parents = [path.relative_to(folder).parts[:-1] for path in files]
    if not parents[0]:
        found.notes.append("labels: none, because the images lie in one folder; put each class into its own")
        return
    found.labels = np.array([parent[-1] for parent in parents])
    found.class_names = tuple(sorted({parent[-1] for parent in parents}))
    found.notes.append("labels: the names of the folders")
    if options.class_names is None:
        found.notes.append(f"class names: {', '.join(found.class_names)}, in sorted order, from the folders")
    if all(name.isascii() and name.isdigit() for name in found.class_names):
        by_number = tuple(sorted(found.class_names, key=int))
        if by_number != found.class_names:
            found.notes.append(
                f"{WARNING}the folders are numbers and stand in the order of text, {', '.join(found.class_names[:4])} "
                f"..., as in torchvision's ImageFolder; for a network of the order of numbers say --classes "
                f"{','.join(by_number)}"
            )


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
