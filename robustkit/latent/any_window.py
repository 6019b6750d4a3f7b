"""The church window of any head: exact where its weights are known, otherwise a grid, if one was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from robustkit.errors import InputError
from robustkit.latent.geometry import AffineHead
from robustkit.latent.relu_windows import ReLUWindow, relu_window
from robustkit.latent.sampled import SampledWindow, check_resolution, sample_window
from robustkit.latent.windows import ChurchWindow, church_window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    from robustkit.latent.heads import Head

AnyWindow = ChurchWindow | ReLUWindow | SampledWindow
EXACT_AFFINE, EXACT_RELU, SAMPLED = "exact, affine head", "exact, ReLU head", "sampled"


def window_method(head: Head | None, resolution: int | None) -> str:
    """How windows of a head are made, in words.

    Args:
        head: Its weights; `None` if they are not known.
        resolution: Cells along either axis of a grid; `None` for exact windows.

    Raises:
        InputError: If exact windows are asked for and cannot be had, or the resolution is not odd.
    """
    if resolution is not None:
        check_resolution(resolution)
        return f"{SAMPLED}, {resolution} x {resolution} cells"
    if head is None:
        raise InputError(
            "this head is neither affine nor dense layers with ReLU, so its windows can only be sampled on a grid; "
            "give the cells along an axis with --resolution, such as 221"
        )
    return EXACT_AFFINE if isinstance(head, AffineHead) else EXACT_RELU


def any_window(
    head: Head | None,
    function: Callable[[np.ndarray], np.ndarray] | None,
    base: ArrayLike,
    along: ArrayLike,
    across: ArrayLike,
    *,
    extent: float = 1.1,
    orthogonal: bool = False,
    resolution: int | None = None,
) -> AnyWindow:
    """The church window of one latent and two directions; see `church_window`.

    Args:
        head: The head's weights, or `None`.
        function: Logits (N, K) of latents (N, D), for a grid.
        base: Shape (D,).
        along: Shape (D,).
        across: Shape (D,).
        extent: Half the side of the window, in lengths of the directions.
        orthogonal: Whether to turn the second direction.
        resolution: Sample a grid of so many cells along an axis, whatever the head is.

    Raises:
        InputError: As `window_method` and `church_window`.
    """
    window_method(head, resolution)
    if resolution is not None:
        grid = function if function is not None else head
        assert grid is not None
        return sample_window(grid, base, along, across, extent=extent, resolution=resolution, orthogonal=orthogonal)
    if isinstance(head, AffineHead):
        return church_window(head, base, along, across, extent=extent, orthogonal=orthogonal)
    assert head is not None
    return relu_window(head, base, along, across, extent=extent, orthogonal=orthogonal)
