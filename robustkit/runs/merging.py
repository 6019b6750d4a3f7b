"""Shards of one run, found in their folders and proved to be all of it and nothing twice."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustkit.errors import InputError
from robustkit.runs.folder import MANIFEST, check_format, differences, read_manifest
from robustkit.runs.makers import SAME_VERSIONS
from robustkit.runs.shards import Shard

_MOST_NAMED = 12
MOST_UNITS = 1 << 27  # of a run; a manifest that claims more was written by something else


@dataclass(frozen=True)
class Shards:
    """All shards of one run.

    Attributes:
        manifest: Of the run that they make together.
        folders: Their folders by shard, in order.
    """

    manifest: dict[str, Any]
    folders: dict[Shard, Path]

    def units(self, shard: Shard) -> range:
        """The units of a shard."""
        return shard.units(int(self.manifest["inputs"]["units"]))


def find_shards(folders: Sequence[str | os.PathLike[str]], *, mix: bool = False) -> Shards:
    """Reads the manifests of shards.

    Args:
        folders: The run folders of the shards, in any order.
        mix: Whether they may be of other versions and devices than one another.

    Raises:
        InputError: If a folder holds no shard, two are of different runs or overlap, or some are missing.
    """
    if not folders:
        raise InputError("expected the folders of the shards to merge, got none")
    first: tuple[Path, dict[str, Any]] | None = None
    found: dict[Shard, Path] = {}
    for folder in map(Path, folders):
        if not (folder / MANIFEST).is_file():
            raise InputError(f"{folder} holds no run; give the folders of the shards alone")
        manifest = read_manifest(folder, inputs=dict, command=str, versions=dict, device=str, model=str, request=dict)
        check_format(folder, manifest)
        text, units = manifest["inputs"].get("shard"), manifest["inputs"].get("units")
        if text is None:
            raise InputError(f"the run in {folder} is not a shard of a larger run; omit it")
        if not isinstance(text, str) or type(units) is not int or not 0 < units <= MOST_UNITS:
            raise InputError(
                f"the manifest in {folder} does not say its shard and how many units there are; make it again"
            )
        shard = Shard.parse(text)
        shard.units(units)  # refuses more shards than units
        first = first or (folder, manifest)
        _same_run(first[0], first[1], folder, manifest, mix)
        if shard in found:
            raise InputError(f"{found[shard]} and {folder} overlap: both are shard {shard}; omit one of them")
        found[shard] = folder
    assert first is not None
    of = next(iter(found)).of
    missing = [f"{index}/{of}" for index in range(1, of + 1) if Shard(index, of) not in found]
    if missing:
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        raise InputError(
            f"{len(missing)} of {of} shards are missing: {', '.join(missing[:_MOST_NAMED])}{more}; run them, or give "
            "their folders too"
        )
    manifest = {**first[1], "inputs": {**first[1]["inputs"], "shard": None}}
    return Shards(manifest, {shard: found[shard] for shard in sorted(found, key=lambda shard: shard.index)})


def refuse_unfinished(shards: Shards, shard: Shard, finished: int) -> None:
    """Refuses a shard that has fewer finished units than it should."""
    wanted = len(shards.units(shard))
    if finished < wanted:
        raise InputError(
            f"shard {shard} in {shards.folders[shard]} is not finished, {finished} of {wanted} groups are; finish it "
            "with --resume first"
        )


def _same_run(one: Path, its: dict[str, Any], other: Path, others: dict[str, Any], mix: bool) -> None:
    found = list(differences(_answer(its, mix), _answer(others, mix)))
    if found:
        raise InputError(
            f"{one} and {other} are shards of different runs: {'; '.join(found)}; give the shards of one run, or "
            "allow other versions and devices with --mix"
        )


def _answer(manifest: dict[str, Any], mix: bool) -> dict[str, Any]:
    """What must agree for two shards to be of one run and to make the bytes of one run."""
    inputs = {name: value for name, value in manifest["inputs"].items() if name != "shard"}
    of = str(manifest["inputs"]["shard"]).partition("/")[2]
    what = {"command": manifest["command"], "shards": of}
    if not mix:
        versions = {name: manifest["versions"].get(name) for name in SAME_VERSIONS}
        what |= {"device": manifest["device"], "versions": versions}
    return {**inputs, **what}
