"""One .npy file of images, with its labels in a twin file, such as images_test.npy and labels_test.npy."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from robustkit.data.npyfile import map_npy, read_header
from robustkit.data.readers.found import Found, Options, array_frames
from robustkit.data.readers.labels import read_label_file, stated_labels
from robustkit.data.readers.layout import image_layout, set_layout
from robustkit.data.readers.naming import twins
from robustkit.data.readers.provenance import file_hash
from robustkit.data.readers.published import Recognised, recognise
from robustkit.data.readers.single import SingleImage
from robustkit.errors import InputError


def read_npy(path: Path, options: Options) -> Found:
    """Finds the images of a .npy file; float32 images stay on disk.

    Raises:
        InputError: If the file is truncated, of another kind, or its axes cannot be told apart.
    """
    array = map_npy(path)
    notes: list[str] = []
    known = recognise(path.name)
    if known:
        notes.append(f"recognised by its name: {known.source}")
        if array.ndim != 4 or len(known.bands) not in (array.shape[1], array.shape[3]):
            notes.append(
                f"its shape {array.shape} does not have the {len(known.bands)} published bands, so none are named"
            )
            known = None
    provenance = {path.name: file_hash(path)}
    labels = stated_labels(options, notes, provenance)
    if labels is None:
        labels = _twin_labels(path, known, notes, provenance)
    layout = set_layout(array.shape, options, path.name, labelled=None if labels is None else len(labels))
    notes.append(layout.note)
    found = Found(
        frames=array_frames(layout.apply(array), path.name),
        labels=labels,
        notes=notes,
        provenance=provenance,
    )
    if known:
        found.ids = np.array([f"{known.part}-{row:06d}" for row in range(len(array))])
        found.bands, found.class_names = known.bands, known.class_names
        notes.append(
            f"bands {', '.join(known.bands)} and classes {', '.join(known.class_names)} are those of the publication; "
            "give --bands or --classes for others"
        )
    return found


def read_npy_image(data: bytes, name: str, options: Options) -> SingleImage:
    """One image from the bytes of a .npy file that holds one, shape (C, H, W).

    Raises:
        InputError: If it holds anything but one image.
    """
    file = io.BytesIO(data)
    header = read_header(file, name, len(data))
    values = np.frombuffer(data, header.dtype, offset=header.offset)
    values = values.reshape(header.shape, order="F" if header.fortran else "C")
    return SingleImage(image_layout(header.shape, options, name).apply(values)[0], None, None, None, "NumPy image")


def _twin_labels(
    path: Path, known: Recognised | None, notes: list[str], provenance: dict[str, str]
) -> np.ndarray | None:
    names = [known.labels] if known else [f"{stem}.npy" for stem in twins(path.stem)]
    present = [path.parent / name for name in names if (path.parent / name).is_file()]
    if len(present) > 1:
        raise InputError(
            f"{' and '.join(file.name for file in present)} could both hold the labels of {path.name}; "
            "name one with --labels"
        )
    if present:
        return read_label_file(present[0], notes, provenance)
    looked = f" (looked for {' and '.join(names)})" if names else ""
    notes.append(f"labels: none found beside the images{looked}; name a file with --labels")
    return None
