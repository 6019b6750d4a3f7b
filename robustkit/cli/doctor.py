"""`robustkit doctor`."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import shutil
import sys
from typing import TYPE_CHECKING

import click

from robustkit.cli.options import Command
from robustkit.cli.saying import say
from robustkit.extras import DISTRIBUTION, install

if TYPE_CHECKING:
    from packaging.requirements import Requirement

# Extras for those who work on robustkit itself, and the one that is a sum of others.
_NOT_LISTED = ("all", "test", "docs")
# Packages with compiled parts for one version of torch, which may be installed and useless.
_BUILT_FOR_TORCH = ("torchvision", "timm")


@click.command(name="doctor", cls=Command)
@click.option("--attack", "check", is_flag=True, help="Attack networks whose answer is known.")
def command(check: bool) -> None:
    """Says what is installed; with --attack, whether the searches find what is known to exist.

    Exit status 1 when a package that robustkit needs is missing or too old, or when a search fails.
    """
    from robustkit import __version__

    _say("robustkit", __version__)
    if stranger := _version("robustkit"):
        _say(
            "",
            f"the distribution robustkit {stranger} is installed too. It is a project of others, or an old install "
            f"of this one, and its files lie in the same place: pip uninstall robustkit; then install {DISTRIBUTION}",
        )
    _say("python", f"{platform.python_version()}, {platform.platform()}")
    if _version(DISTRIBUTION) is None:
        _say(DISTRIBUTION, "not installed, so what it needs is not known; in a clone: pip install --editable .")
        sys.exit(1)
    needed, extras = _requirements()
    said = [_say_needed(requirement) for requirement in needed]
    if not all(said):
        sys.exit(1)
    for name in _devices():
        _say("device", name)
    _say("ffmpeg", shutil.which("ffmpeg") or "not found; maps turn as GIF and not as MP4 too")
    say("extras")
    for extra, requirements in extras.items():
        missing = not all(map(_version, (requirement.name for requirement in requirements)))
        found = ", ".join(_state(each.name) for each in requirements)
        _say(f"  {extra}", found + (f"; {install(extra)}" if missing else ""))
    if check and not _attack_is_well():
        sys.exit(1)


def _say(name: str, value: str) -> None:
    say(f"{name:14} {value}")


def _requirements() -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """What robustkit needs always, and for each extra, as its own metadata say."""
    from packaging.requirements import Requirement

    needed: list[Requirement] = []
    extras: dict[str, list[Requirement]] = {}
    listed = set(importlib.metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or ()) - {*_NOT_LISTED}
    for requirement in map(Requirement, importlib.metadata.requires(DISTRIBUTION) or ()):
        if requirement.marker is None:
            needed.append(requirement)
        for extra in sorted(listed):
            if requirement.marker is not None and requirement.marker.evaluate({"extra": extra}):
                extras.setdefault(extra, []).append(requirement)
    return needed, dict(sorted(extras.items()))


def _say_needed(requirement: Requirement) -> bool:
    version = _version(requirement.name)
    well = version is not None and requirement.specifier.contains(version, prereleases=True)
    lack = "" if well else f"; robustkit needs {requirement.specifier}: pip install --upgrade {DISTRIBUTION}"
    _say(requirement.name, f"{version or 'not installed'}{lack}")
    return well


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _state(name: str) -> str:
    """The version of an optional package, and why it cannot be used although it is installed."""
    version = _version(name)
    if version is None:
        return f"{name} not installed"
    if name not in _BUILT_FOR_TORCH:
        return f"{name} {version}"
    try:
        importlib.import_module(name)
    except Exception as error:  # a library that does not fit another raises anything
        from robustkit.errors import first_line

        advice = f"it does not fit torch {_version('torch')}: pip install --upgrade torch {name}"
        return f"{name} {version}, which cannot be imported ({first_line(error)}); {advice}"
    return f"{name} {version}"


def _devices() -> list[str]:
    import torch

    found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    cards = [f"{each.name}, {each.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}" for each in found]
    return cards or [f"cpu, {torch.get_num_threads()} threads"]


def _attack_is_well() -> bool:
    from robustkit.findings.doctor import check_attack

    well = True
    for finding in check_attack():
        say(f"{'ok' if finding.ok else 'FAILED':8} {finding.name}: {finding.detail}")
        well &= finding.ok
    return well
