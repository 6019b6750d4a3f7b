"""The names of the perturbations, for those who only read names: the classes bring SciPy with them."""

from __future__ import annotations

from collections.abc import Sequence

from robustkit.code_gate import refuse_code
from robustkit.errors import InputError
from robustkit.words import brief, no_such

NAMES = (
    "exposure", "read-noise", "psf", "hot-pixel", "dead-pixel", "bad-column", "bad-row", "cosmic-ray", "satellite",
    "sky-offset", "sky-gradient", "flat", "zero-point", "saturation", "band-drop", "band-swap", "shift",
    "rotation", "distance", "cti", "ghost", "jpeg", "rice", "hcompress", "gaussian", "poisson",
)  # fmt: skip
OWN = "your own as package.module:Class"


def refuse_code_of_file(names: Sequence[object], *, file: object, allowed: Sequence[str] = ()) -> None:
    """Refuses the perturbations that a file names unless they are robustkit's own, or a person named them too.

    Args:
        names: What the file says, with options.
        file: Where it says it, for the message.
        allowed: What the person named, with options or without.

    Raises:
        InputError: If one is a misspelt name.
        SecurityError: If one is neither.
    """
    mine = {name.partition(",")[0] for name in allowed}
    for name in names:
        kind = name.partition(",")[0] if isinstance(name, str) else name
        if isinstance(kind, str) and ":" not in kind and kind not in {*NAMES, *mine}:
            raise InputError(f"{file}: {no_such('perturbation', kind, NAMES, more=OWN)}")
        refuse_code(kind, file=file, option=f"--perturb {brief(kind)}", provided={*NAMES, *mine})
