"""The .npy format: a header that is checked before anything is allocated, images that stay on disk, never a pickle."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from robustkit.data.guard import reading
from robustkit.data.pixels import blocks
from robustkit.errors import InputError, SecurityError
from robustkit.files import atomic_write, check_plain

NUMBERS = "fiub"
TEXT = "US"


@dataclass(frozen=True)
class NpyHeader:
    """What a .npy file says about itself.

    Attributes:
        shape: The shape of the array.
        fortran: Whether the first index varies fastest.
        dtype: The type of its values.
        offset: Where the values begin, in bytes.
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    offset: int

    @property
    def size(self) -> int:
        """The whole file in bytes: header and values."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


def read_header(file: BinaryIO, name: object, size: int, *, kinds: str = NUMBERS) -> NpyHeader:
    """Reads the header and proves that it fits the size of the file, before anything is allocated.

    Args:
        file: Open at its first byte; left at the first value.
        name: What to call the file in an error.
        size: The size of the file in bytes.
        kinds: The kinds of dtype that are accepted, as NumPy's letters.

    Raises:
        SecurityError: If the values are Python objects.
        InputError: If it is not a .npy file, is truncated, or holds another kind of values.
    """
    with reading(name, "a .npy file"):
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise InputError(f"{name} is a .npy file of version {version}, which holds records; expected plain numbers")
        parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = parse(file)
        header = NpyHeader(shape, fortran, dtype, file.tell())
    if dtype.hasobject:
        raise SecurityError(f"{name} holds Python objects, and opening them could run code; save plain numbers instead")
    if dtype.kind not in kinds:
        raise InputError(f"{name} holds values of type {dtype}; expected plain numbers or, for names, strings")
    if any(length < 0 for length in shape) or header.size != size:
        raise InputError(
            f"{name} says it holds {shape} {dtype}, {header.size} bytes, but it has {size}; it is truncated or damaged"
        )
    return header


def map_npy(path: str | os.PathLike[str], *, kinds: str = NUMBERS) -> np.ndarray:
    """Maps a .npy file into memory, read-only.

    Raises:
        InputError: If it is missing, truncated, damaged, or holds Python objects.
    """
    path = Path(path)
    size = check_plain(path, "a .npy file")
    with reading(path, "a .npy file"):
        with open(path, "rb") as file:
            header = read_header(file, path, size, kinds=kinds)
        if 0 in header.shape:
            return np.empty(header.shape, header.dtype)
        order = "F" if header.fortran else "C"
        return np.memmap(path, header.dtype, mode="r", offset=header.offset, shape=header.shape, order=order)


def write_npy(path: str | os.PathLike[str], array: np.ndarray) -> str:
    """Writes an array to a .npy file, atomically and block by block.

    Returns:
        The SHA-256 of the file.
    """
    digest = hashlib.sha256()
    with atomic_write(path) as file:
        tee = cast(BinaryIO, _Tee(file, digest.update))
        header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(tee, header)
        for block in blocks(array):
            tee.write(np.ascontiguousarray(block).data)
    return digest.hexdigest()


class _Tee:
    """Hashes what is written."""

    def __init__(self, file: BinaryIO, hash_too: Callable[[bytes], object]) -> None:
        self.file, self.hash_too = file, hash_too

    def write(self, data: bytes) -> None:
        self.hash_too(data)
        self.file.write(data)
