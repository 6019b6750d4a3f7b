"""How many images a device takes at once: found by itself, halved when memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robustkit.errors import OutOfMemory
from robustkit.models.memory import free_memory, is_out_of_memory


class Batches:
    """Calls a function on slices of N rows; the slice halves when memory runs out and stays so.

    Args:
        size: The slice to begin with.
    """

    def __init__(self, size: int) -> None:
        self.size = max(1, size)

    def run(self, function: Callable[[int, int], Tensor], n: int) -> Tensor:
        """Joins function(start, stop) over all of 0..n.

        Args:
            function: Returns a tensor of stop - start rows.
            n: How many rows there are, at least 1.

        Raises:
            OutOfMemory: If memory runs out even for one row.
        """
        parts: list[Tensor] = []
        start = 0
        while start < n:
            stop = min(n, start + self.size)
            failed = False
            try:
                parts.append(function(start, stop))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                failed = True
            # Outside the except block, so that the traceback no longer holds the tensors of the failed try.
            if failed:
                if stop - start == 1:
                    raise OutOfMemory("memory ran out for a single image; use a device with more, or smaller images")
                self.size = (stop - start) // 2
                free_memory()
                continue
            start = stop
        return torch.cat(parts)
