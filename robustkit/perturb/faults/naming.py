"""Perturbations by name: `exposure`, `psf,restore_noise=false`, `mypkg.module:Class`."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from robustkit.code_gate import import_named
from robustkit.errors import InputError
from robustkit.perturb.faults.registry import OWN, PERTURBATIONS
from robustkit.perturb.perturbation import LEVEL_NAMES, Perturbation
from robustkit.words import no_such


@dataclass(frozen=True)
class Named:
    """A perturbation without a level.

    Attributes:
        kind: The class.
        options: Values of its fields other than the level.
    """

    kind: type[Perturbation]
    options: dict[str, Any]

    def at(self, level: float | str) -> Perturbation:
        """The perturbation at a level in its own unit, or at one of `s1` to `s5`."""
        if isinstance(level, str):
            if level not in LEVEL_NAMES:
                raise InputError(f"unknown level {level!r}; expected a number or one of {', '.join(LEVEL_NAMES)}")
            level = self.kind.levels[LEVEL_NAMES.index(level)]
        return self.kind(float(level), **self.options)

    def source_sha256(self) -> str | None:
        """The hash of the file that holds a user's own class; `None` for those of robustkit."""
        if self.kind in PERTURBATIONS.values():
            return None
        try:
            source = inspect.getsourcefile(self.kind)
            with open(source or "", "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, TypeError):  # made in an interpreter
            return None


def read_name(text: str) -> Named:
    """Reads a name with its options.

    Args:
        text: A name in `PERTURBATIONS` or `package.module:Class`, which is then imported; after it any number of
            `,option=value`. Modules in the current folder are found, as `python -m` finds them.

    Raises:
        InputError: If a name or a value is not known, or the class is not a perturbation.

    Examples:
        >>> read_name("hot-pixel,visits=3,band=r").at(20)
        HotPixel(level=20.0, visits=3.0, band='r', missing=False)
    """
    name, *pairs = text.split(",")
    kind = perturbation_kind(name)
    known = {field.name: field for field in fields(kind)[1:]}
    options = {}
    for pair in pairs:
        option, equals, value = pair.partition("=")
        if not equals or option not in known:
            raise InputError(
                f"{name} has no option {pair!r}; its options are "
                f"{', '.join(f'{one}=...' for one in known) or 'none, only a level'}"
            )
        options[option] = _value(name, known[option], value)
    return Named(kind, options)


def perturbation_kind(name: str) -> type[Perturbation]:
    """The perturbation of this name, or the class `package.module:Class` that the user names, which is then imported.

    Raises:
        InputError: If there is no such perturbation, or the class is not one.
    """
    if name in PERTURBATIONS:
        return PERTURBATIONS[name]
    if ":" not in name:
        raise InputError(no_such("perturbation", name, PERTURBATIONS, more=OWN))
    kind = import_named(name, "--perturb")
    if not (isinstance(kind, type) and issubclass(kind, Perturbation)):
        raise InputError(f"{name} is not a subclass of robustkit.perturb.perturbation.Perturbation")
    missing = [what for what in ("name", "unit", "stage", "levels", "valid") if not hasattr(kind, what)]
    if missing:
        raise InputError(f"{name} does not define {', '.join(missing)}; see robustkit.perturb.perturbation")
    return kind


def make_perturbation(name: str, level: float | str) -> Perturbation:
    """A perturbation at a level, in its own unit or by the name of the level.

    Args:
        name: As for `read_name`.
        level: A number, or `s1` to `s5`.

    Raises:
        InputError: If one of them is not known, or the level is out of range.

    Examples:
        >>> make_perturbation("exposure", "s3")
        Exposure(level=0.1)
    """
    return read_name(name).at(level)


def _value(name: str, field: Field[Any], text: str) -> Any:
    """A value of the kind of the option's default."""
    if field.default is MISSING:
        return text
    lowered = text.lower()
    try:
        if isinstance(field.default, bool):
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[lowered]
        if lowered == "all" and "None" in str(field.type):
            return None
        if isinstance(field.default, int | float):
            number = float(text)
            return int(number) if "float" not in str(field.type) and number.is_integer() else number
    except (KeyError, ValueError):
        kind = "true or false" if isinstance(field.default, bool) else "a number"
        raise InputError(f"expected {kind} for {field.name} of {name}, got {text!r}") from None
    return text
