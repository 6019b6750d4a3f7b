"""The zip archive that torch.save writes, checked before PyTorch reads it: plain, whole, and no bomb."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from robustkit.data.guard import reading
from robustkit.errors import InputError, SecurityError

MOST_MEMBERS = 100_000
MOST_PICKLE_BYTES = 64 << 20
_ENCRYPTED = 0x1


def check_archive(path: Path) -> bytes:
    """Checks every member of a PyTorch archive, and returns its one pickle unopened.

    Returns:
        The bytes of data.pkl.

    Raises:
        SecurityError: If a member is compressed, encrypted, badly named or too large, or the archive is no plain one.
        InputError: If the archive is damaged.
    """
    with reading(path, "a PyTorch file"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check_members(path, members)
        pickles = [member for member in members if PurePosixPath(member.filename).name == "data.pkl"]
        if len(pickles) != 1 or pickles[0].file_size > MOST_PICKLE_BYTES:
            raise SecurityError(
                f"{path} has {len(pickles)} pickles where PyTorch writes one of at most 64 MiB; it was not written by "
                "torch.save, so do not use it"
            )
        _check_sums(path, archive, members)
        return archive.read(pickles[0])


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MOST_MEMBERS:
        raise SecurityError(f"{path} has {len(members)} members, more than any checkpoint; do not use it")
    names = [member.filename for member in members]
    for member in members:
        parts = PurePosixPath(member.filename).parts
        if member.filename.startswith("/") or ".." in parts or "\\" in member.filename or ":" in member.filename:
            raise SecurityError(f"{path} has a member named {member.filename!r} that points outside; do not use it")
        if member.flag_bits & _ENCRYPTED or member.compress_type != zipfile.ZIP_STORED:
            raise SecurityError(
                f"{path} has compressed members and torch.save writes none, so it may be a zip bomb; ask for the file "
                "as torch.save wrote it"
            )
    if len(set(names)) < len(names) or len({PurePosixPath(name).parts[0] for name in names}) != 1:
        raise SecurityError(f"{path} has members twice, or outside of one folder; torch.save did not write it")
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < end or member.file_size != member.compress_size:
            raise SecurityError(f"{path} has members that overlap or lie about their size; do not use it")
        end = member.header_offset + member.file_size
    if end > path.stat().st_size:
        raise InputError(f"{path} is truncated: its members need {end:,} bytes; fetch it again")


def _check_sums(path: Path, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
    """Reads every member once: PyTorch itself does not notice a flipped bit in the weights."""
    wrong, block = [], 1 << 20
    for member in members:
        try:
            with archive.open(member) as file:
                while file.read(block):
                    pass
        except zipfile.BadZipFile as error:
            if "CRC" not in str(error):
                raise
            wrong.append(member.filename)
    # PyTorch can be told to write no checksums; then all of them are wrong.
    if wrong and len(wrong) < len([member for member in members if member.file_size]):
        raise InputError(f"{path} is damaged: the checksum of {wrong[0]} is wrong; fetch it again")
