"""What made the parts of a run: versions, device and threads, on which the last digits of an answer depend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from robustkit.devices import device_name
from robustkit.errors import InputError
from robustkit.models.checkpoint import versions
from robustkit.runs.folder import differences
from robustkit.words import brief

# What must be the same for two processes to give the same bytes.
SAME_VERSIONS = ("robustkit", "torch")

Maker = dict[str, Any]


def this_maker(device: torch.device | str) -> Maker:
    """What makes parts in this process: versions, the kind of device, and threads, whose number decides how sums split.

    Args:
        device: Where the network is.
    """
    device = torch.device(device)
    on_gpu = device.type != "cpu"
    kind = device_name(device)
    made = {name: versions()[name] for name in SAME_VERSIONS}
    return {**made, "device": f"{device.type} ({kind})", "threads": None if on_gpu else torch.get_num_threads()}


class Makers:
    """Who made the parts of a run so far, in the order in which they were met.

    Args:
        mix: Whether parts of several makers are let in.
    """

    def __init__(self, mix: bool = False) -> None:
        self.mix = mix
        self.known: list[tuple[Maker, list[int]]] = []

    def admit(self, unit: int, note: Any) -> None:
        """Lets a finished part in.

        Args:
            unit: Its number.
            note: What is kept with it.

        Raises:
            InputError: If the note does not say what made it, or something else made it than the parts before, so that
                its bytes may differ.
        """
        known = note if isinstance(note, dict) else {}
        maker, sizes = known.get("maker"), known.get("sizes")
        counted = isinstance(sizes, list) and all(type(size) is int for size in sizes)
        if not isinstance(maker, dict) or not counted:
            raise InputError(
                f"group {unit} does not say what made it and in which pieces ({brief(repr(note), 60)}); delete its "
                "file among the parts and continue with --resume"
            )
        self.expect(unit, maker)
        units = next((units for known, units in self.known if known == maker), None)
        if units is None:
            self.known.append((maker, [unit]))
        else:
            units.append(unit)

    def expect(self, unit: int, maker: Maker) -> None:
        """Refuses what would make a part otherwise than those before it; raises as `admit` does."""
        if self.mix or not self.known or any(known == maker for known, _ in self.known):
            return
        first, units = self.known[0]
        raise InputError(
            f"group {units[0]} was made otherwise than group {unit}: {'; '.join(differences(first, maker))}; the last "
            "digits may differ, so make both alike (OMP_NUM_THREADS sets the threads), or allow it with --mix, which "
            "is recorded"
        )

    def to_json(self) -> list[dict[str, Any]]:
        """Each maker with the groups that it made, for the summary."""
        return [{**maker, "groups": _ranges(units)} for maker, units in self.known]


def _ranges(numbers: Iterable[int]) -> str:
    """`0-3, 7` of 0, 1, 2, 3 and 7."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in found)
