"""Names for what was read: the hash of a file, and one hash for many files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from robustkit.progress import progress

_CHUNK = 8 << 20
LISTED = 16  # up to so many files are named each; beyond, one manifest stands for them


def file_hash(path: Path) -> str:
    """SHA-256 of a file, with a progress bar where it is large."""
    digest = hashlib.sha256()
    with open(path, "rb") as file, progress(total=path.stat().st_size, label="hashing", unit="bytes") as bar:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest()


def manifest(hashes: Mapping[str, str], name: str) -> dict[str, str]:
    """The hashes by name, or for more than 16 files one hash of the sorted lines "HASH  NAME"."""
    if len(hashes) <= LISTED:
        return dict(hashes)
    lines = "".join(f"{digest}  {file}\n" for file, digest in sorted(hashes.items()))
    return {f"{name}: manifest of {len(hashes)} files": hashlib.sha256(lines.encode()).hexdigest()}
