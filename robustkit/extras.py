"""Optional packages, asked for by name when they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from robustkit.errors import MissingExtra


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Imports an optional package, or says which extra brings it.

    Args:
        module: The module to import, such as `"astropy.io.fits"`.
        extra: The robustkit extra that installs it.
        purpose: What it is needed for, to complete "... is needed to ...".

    Raises:
        MissingExtra: If the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtra(
            f"{package} is needed to {purpose} and is not installed; run: pip install 'robustkit[{extra}]'"
        ) from error
