"""Optional packages, asked for by name when they are missing."""

from __future__ import annotations

import importlib
import importlib.metadata
from types import ModuleType

from robustkit.errors import MissingExtra

# What pip calls us. The `robustkit` of PyPI is a project of others.
DISTRIBUTION = "robustkit-audit"


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def home_page() -> str:
    """The address of the project in the metadata of what is installed, or an empty text."""
    try:
        urls = importlib.metadata.metadata(DISTRIBUTION).get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:  # a checkout that is on the path and not installed
        return ""
    return urls[0].partition(",")[2].strip() if urls else ""


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
        raise MissingExtra(f"{package} is needed to {purpose} and is not installed; run: {install(extra)}") from error
