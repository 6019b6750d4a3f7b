"""A fault of the user's own, as a file of theirs holds it."""

_SOURCE = '''
from dataclasses import dataclass
from robustkit.perturb.perturbation import Perturbation, Stage

@dataclass(frozen=True)
class Corner(Perturbation):
    """Charge in a square at a corner that each image draws."""
    name, unit, stage = "corner", "electrons", Stage.DETECTOR
    levels, valid = (10.0, 100.0, 1e3, 1e4, 1e5), (0.0, 1e6)
    ranges, draws = {"width": RANGE}, DRAWS
    width: int = 2

    def apply(self, images, conditions, streams):
        which, made = streams.integers(4, 1)[:, 0], images.clone()
        for i, corner in enumerate(which):
            rows = slice(0, self.width) if corner < 2 else slice(-self.width, None)
            columns = slice(0, self.width) if corner % 2 else slice(-self.width, None)
            made[i, :, rows, columns] += self.level
        return made
'''


def own_fault(ends: str, draws: tuple[str, ...] = ()) -> str:
    """The code of a fault with a field that has a range.

    Args:
        ends: The range, as code.
        draws: What its random draws are called.
    """
    return _SOURCE.replace("RANGE", ends).replace("DRAWS", repr(draws))
