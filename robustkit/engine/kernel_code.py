"""What the compiled kernel's code depends on: a chain's shapes, and the processor. Never its weights."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from robustkit.engine.chain import Axis
from robustkit.engine.windows import Box
from robustkit.extras import require

# A function of one number as data: ("clamp", low, high), ("leaky", slope), or ("affine", row of its scale).
FunctionCode = tuple[Any, ...]


@dataclass(frozen=True)
class Processor:
    """What code is made for.

    Attributes:
        name: LLVM's name of the processor.
        features: Its features, as LLVM reads them.
        lanes: Float32 numbers in one vector.
        sums: Vectors of sums that stay in registers, with room for the operands.
    """

    name: str
    features: str
    lanes: int
    sums: int

    def lanes_for(self, channels: int) -> int:
        """Lanes of the vectors that hold a stage's channels: the fewest vectors, then the fewest idle lanes."""
        options = [lanes for lanes in (16, 8, 4) if lanes <= self.lanes]
        return min(options, key=lambda lanes: (-(-channels // lanes), lanes))


def llvm() -> ModuleType:
    """The compiler.

    Raises:
        MissingExtra: If llvmlite is not installed.
    """
    return require("llvmlite.binding", extra="fast", purpose="compile the fast kernel")


@functools.cache
def this_processor() -> Processor:
    """The processor of this machine.

    Raises:
        MissingExtra: If llvmlite is not installed.
    """
    binding = llvm()
    features = binding.get_host_cpu_features()
    widest = features.get("avx512f", False)
    lanes = 16 if widest else 8 if features.get("avx", False) else 4
    # 16 vector registers on x86 before AVX-512, 32 there and on Arm.
    few = features.get("sse2", False) and not widest
    # LLVM avoids the widest vectors on some processors; in long runs of products they are the faster ones.
    text = features.flatten() + (",-prefer-256-bit" if widest else "")
    return Processor(binding.get_host_cpu_name(), text, lanes, 12 if few else 24)


@dataclass(frozen=True)
class StageCode:
    """What the code depends on in one stage.

    Attributes:
        y: Window arithmetic down.
        x: Window arithmetic across.
        channels_in: Channels of the input; a multiple of the `lanes` of the stage before.
        channels: Channels of the output, a multiple of `lanes`.
        lanes: Channels in one vector.
        pool: As in `ConvStage`.
        before: Functions before the pool.
        after: Functions after it.
        sums: As in `Processor`.
    """

    y: Axis
    x: Axis
    channels_in: int
    channels: int
    lanes: int
    pool: Literal["max", "mean", "none"]
    before: tuple[FunctionCode, ...]
    after: tuple[FunctionCode, ...]
    sums: int

    @property
    def columns(self) -> int:
        """Columns of the convolution's outputs whose sums are held at a time."""
        return min(self.x.changed, self.sums)

    @property
    def tiles(self) -> list[tuple[range, int]]:
        """Those columns, tile after tile: the first of so many tiles that lie side by side, and how many they are.

        In a wide window all taps meet all columns but a few at either side, so that one code does for the rest.
        """
        width, edge = self.columns, self.x.kernel - 1
        inside = self.x.reach - edge
        if edge > width or inside < 2 * width:
            return [(range(at, min(at + width, self.x.changed)), 1) for at in range(0, self.x.changed, width)]
        rest = edge + inside // width * width
        tiles = [(range(edge), 1), (range(edge, edge + width), inside // width)]
        tiles += [(range(rest, self.x.reach), 1), (range(self.x.reach, self.x.changed), 1)]
        return [(columns, times) for columns, times in tiles if columns]

    @property
    def block(self) -> int:
        """Channels whose sums are held at a time, a divisor of all channels."""
        vectors = self.channels // self.lanes
        fitting = [n for n in range(1, vectors + 1) if vectors % n == 0 and n * self.columns <= self.sums]
        return max(fitting) * self.lanes

    @property
    def frame(self) -> int:
        """Numbers in the convolution's outputs over the window widened to whole pooling cells."""
        return _whole_lines(self.y.frame * self.x.frame * self.channels)

    @property
    def change(self) -> int:
        """Numbers in the change of the stage's outputs over the window."""
        return self.y.cells * self.x.cells * self.channels

    @property
    def cells(self) -> int:
        """The same, in whole lines."""
        return _whole_lines(self.change)


@dataclass(frozen=True)
class KernelCode:
    """What the code depends on altogether.

    Attributes:
        bands: C of the images.
        box: Height and width of the changed box of pixels.
        height: H of the images.
        width: W of the images.
        stages: The convolution stages.
        outputs: D, the size of the affine map of the last feature map; `None` where the code ends before it and
            gives out the change of the last feature map.
    """

    bands: int
    box: Box
    height: int
    width: int
    stages: tuple[StageCode, ...]
    outputs: int | None

    @property
    def pixel(self) -> int:
        """Numbers kept of the changed pixels."""
        return _whole_lines(self.box[0] * self.box[1] * self.bands)

    @property
    def scratch(self) -> int:
        """Numbers that a thread needs for its own: the changed pixels, and per stage a frame and two sets of cells."""
        return self.pixel + sum(stage.frame + 2 * stage.cells for stage in self.stages)


def _whole_lines(n: int) -> int:
    """A count of numbers rounded up to cache lines of 64 bytes, so that no vector lies across two."""
    return -(-n // 16) * 16
