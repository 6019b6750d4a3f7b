"""From found images to float32 images: as they lie on disk if possible, else block by block in bounded memory."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator

import numpy as np

from robustkit.data.bounds import bounded_memory, check_unpacked
from robustkit.data.pixels import BLOCK_BYTES, release
from robustkit.data.preprocess import Bounds, Fit, acts, kept_area
from robustkit.data.readers.found import Frames, Options
from robustkit.errors import WARNING, InputError
from robustkit.files import take_room
from robustkit.progress import progress

IN_MEMORY_BYTES = 512 << 20  # converted images larger than this go to a temporary file
_MUCH = 0.5  # when less than this share of an image is left, that is a warning
EXACT_INTEGER = 1 << 24  # above it, float32 no longer holds every integer


def as_float32(
    frames: Frames,
    options: Options,
    notes: list[str],
    bounds: Bounds | None = None,
    *,
    stored: int | None = None,
) -> tuple[np.ndarray, np.dtype]:
    """The images as float32 (N, C, H, W), after the steps that were asked for, and the dtype they had.

    Float32 images in native byte order that no step changes are not copied. All others are converted block by block.

    Args:
        frames: The images.
        options: What the user said.
        notes: Receives what was done.
        bounds: The range of a pixel, where it is known.
        stored: How many bytes the files have; `None` for images that lie in memory.

    Raises:
        InputError: If the images differ in shape, do not fit float32, are too many for the disk, or unpack to far more
            than is stored.
    """
    view = frames.view
    if (
        view is not None
        and view.dtype == np.float32
        and all(isinstance(step, Fit) and step.size == view.shape[2:] for step in options.steps)
        and options.nan == "refuse"
    ):
        return view, view.dtype
    return _Gathering(frames, options, notes, bounds, stored).run()


class _Gathering:
    """One pass over frames that are converted."""

    def __init__(
        self, frames: Frames, options: Options, notes: list[str], bounds: Bounds | None, stored: int | None
    ) -> None:
        self.frames, self.options, self.notes, self.bounds, self.stored = frames, options, notes, bounds, stored
        self.filled_pixels = self.filled_images = self.cropped = self.padded = 0
        self.sizes: set[tuple[int, int]] = set()
        self.bands = 0
        self.idle = list(options.steps)  # those that left every image as it was
        self.size: tuple[int, int] = (0, 0)
        self.rounded = False

    def run(self) -> tuple[np.ndarray, np.dtype]:
        out: np.ndarray | None = None
        dtypes: set[np.dtype] = set()
        start = written = 0
        with progress(total=len(self.frames), label="reading images", unit="images") as bar:
            for block in self._blocks():
                dtypes.add(block.dtype)
                picture = bool(self.options.steps) and block.dtype == np.uint8
                block = self._stepped(block if picture else self._fill(self._cast(block, start), start))
                if out is None:
                    out = room_for((len(self.frames), *block.shape[1:]), self.notes)
                if block.shape[1:] != out.shape[1:]:
                    self._refuse_shape(out.shape[1:], block.shape[1:], start)
                out[start : start + len(block)] = block
                written += block.nbytes
                if written >= BLOCK_BYTES:
                    release(out)
                    written = 0
                start += len(block)
                bar.update(len(block))
        if out is None or start != len(self.frames):
            raise InputError(f"expected {len(self.frames)} images, got {start}; the file may be truncated")
        self._report(dtypes)
        return out, np.result_type(*dtypes)

    def _blocks(self) -> Iterator[np.ndarray]:
        """The blocks as they are stored; what the steps make of them is the user's own wish and not bounded."""
        if self.stored is None:
            yield from self.frames.blocks(None)
            return
        unread, name = self.frames.blocks(None), self.frames.names[0]
        while True:
            with bounded_memory(self.stored, name):
                block = next(unread, None)
            if block is None:
                return
            check_unpacked(len(self.frames) * math.prod(block.shape[1:]) * 4, self.stored, f"the set of {name}")
            yield block

    def _cast(self, block: np.ndarray, start: int) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):  # a NaN of another kind; it is seen below, or refused later
            values = block.astype(np.float32)
        if block.dtype.kind == "f" and block.dtype.itemsize > 4:
            lost = np.isfinite(block) & ~np.isfinite(values)
            if lost.any():
                first = start + int(np.argwhere(lost)[0][0])
                raise InputError(
                    f"{int(lost.sum())} pixels are too large for float32, the first in {self.frames.names[first]}; "
                    "rescale the images"
                )
        if block.dtype.kind in "iu" and block.dtype.itemsize > 2 and block.size:
            self.rounded |= bool(max(int(block.max()), -int(block.min())) > EXACT_INTEGER)
        return values

    def _fill(self, block: np.ndarray, start: int) -> np.ndarray:
        """Replaces NaN and infinity by the median of their image and band, where requested."""
        if self.options.nan == "refuse":
            return block
        bad = ~np.isfinite(block)
        for image, band in np.argwhere(bad.any((2, 3))):
            plane, hole = block[image, band], bad[image, band]
            if hole.all():
                raise InputError(
                    f"band {band} of {self.frames.names[start + int(image)]} has no finite pixel to fill from"
                )
            plane[hole] = np.median(plane[~hole])
        self.filled_pixels += int(bad.sum())
        self.filled_images += int(bad.any((1, 2, 3)).sum())
        return block

    def _stepped(self, block: np.ndarray) -> np.ndarray:
        """The block after all steps; pictures of 8 bits stay so until the last of them."""
        height, width = block.shape[2:]
        self.sizes.add((height, width))
        for step in self.options.steps:
            if isinstance(step, Fit) and block.shape[2:] != step.size:
                self.cropped += len(block) * (block.shape[2] > step.size[0] or block.shape[3] > step.size[1])
                self.padded += len(block) * (block.shape[2] < step.size[0] or block.shape[3] < step.size[1])
            before, block = block.shape, step(block, self.bounds)
            if step in self.idle and acts(step, before, block.shape):
                self.idle.remove(step)
        self.bands, self.size = block.shape[1], (block.shape[2], block.shape[3])
        return block.astype(np.float32, copy=False)

    def _refuse_shape(self, expected: tuple[int, ...], found: tuple[int, ...], start: int) -> None:
        first, other = self.frames.names[0], self.frames.names[start]
        if expected[0] != found[0]:
            advice = "expected the same in all"
            if {expected[0], found[0]} == {1, 3}:
                advice = "--rgb makes three bands of grey images, and --grey one band of colours"
            has, more = (f"{count} band{'s' * (count != 1)}" for count in (expected[0], found[0]))
            raise InputError(f"{first} has {has} and {other} has {more}; {advice}")
        advice = "--resize S alone keeps their shapes, so add --crop, or say --resize H W"
        if not self.options.steps:
            advice = "--resize H W brings all to one size, and --input-size H W cuts and pads them about their centre"
        sizes = f"{first} is {expected[1]}x{expected[2]} and {other} is {found[1]}x{found[2]}"
        raise InputError(f"{sizes}{' after these steps' if self.options.steps else ''}; {advice}")

    def _report(self, dtypes: set[np.dtype]) -> None:
        if dtypes != {np.dtype(np.float32)}:
            kinds = ", ".join(sorted(_dtype_words(dtype) for dtype in dtypes))
            rounded = "; values above 16777216 are rounded" if self.rounded else ""
            self.notes.append(f"values: {kinds} converted to float32{rounded}")
        if self.filled_pixels:
            self.notes.append(
                f"NaN: {self.filled_pixels} pixels of {self.filled_images} images were not finite and took the median "
                "of their image and band"
            )
        if self.options.nan == "fill" and not self.filled_pixels:
            self.notes.append("NaN: every pixel is finite, so --nan fill has no effect")
        self._report_steps()

    def _report_steps(self) -> None:
        steps = [step for step in self.options.steps if not isinstance(step, Fit)]
        if steps:
            words = "; ".join(step.words for step in steps)
            self.notes.append(f"preprocessing, in this order: {words}; then the stretch")
        for name in dict.fromkeys(type(step).__name__.lower() for step in self.idle if step in steps):
            name = name.replace("colour", "rgb")
            shape = f"{self.bands} band{'s' * (self.bands > 1)} of {self.size[0]}x{self.size[1]}"
            self.notes.append(f"size: the images have {shape} there already, so --{name} has no effect")
        if not self.options.steps or self.sizes == {self.size}:
            return
        low, high = min(self.sizes), max(self.sizes)
        span = f"{low[0]}x{low[1]}" + (f" to {high[0]}x{high[1]}" if high != low else "")
        how = ""
        if self.cropped or self.padded:
            how = f"; {self.cropped} cut, {self.padded} padded with the median of their border, about the centre"
        self.notes.append(f"size: {span} became {self.size[0]}x{self.size[1]}{how}")
        kept, size = min((kept_area(self.options.steps, size), size) for size in self.sizes)
        if kept < _MUCH:
            self.notes.append(
                f"{WARNING}{kept:.0%} of the area of {size[0]}x{size[1]} is left and the rest was cut away; "
                f"--resize {self.size[0]} {self.size[1]} keeps all of it"
            )


def room_for(shape: tuple[int, ...], notes: list[str]) -> np.ndarray:
    """Room for float32 images: in memory, or in a temporary file that vanishes with the array."""
    size = math.prod(shape) * 4
    if size <= IN_MEMORY_BYTES:
        return np.empty(shape, dtype=np.float32)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InputError(
            f"the images take {size / 1e9:.1f} GB as float32 and {folder} has {free / 1e9:.1f} GB; set TMPDIR to a "
            "folder with more room, or store them as float32 with the bands first, which needs no copy"
        )
    notes.append(f"memory: the converted images lie in a temporary file of {size / 1e9:.1f} GB in {folder}")
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        take_room(file)
        return np.memmap(file, dtype=np.float32, mode="r+", shape=shape)


def _dtype_words(dtype: np.dtype) -> str:
    return dtype.name + ("" if dtype.isnative else " in foreign byte order")
