"""What a run says when the file system fails it: one sentence that names the file, and what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager

from robustkit.errors import RobustkitError, first_line

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FileTrouble(RobustkitError):
    """A file could not be read or written.

    Attributes:
        what: Which, why, and what to do about it; the message says besides how to go on then.
    """

    what: str = ""

    @classmethod
    def say(cls, what: str, advice: str) -> FileTrouble:
        """The error whose message ends in how to go on."""
        made = cls(f"{what} and {advice}")  # built by its message alone, as an error is that comes from another process
        made.what = what
        return made


@contextmanager
def trouble_in_words(
    folder: str | os.PathLike[str], advice: str = "continue with --resume, finished work is kept"
) -> Generator[None]:
    """Turns errors of the file system into one sentence while the block runs; of several blocks the outermost advises.

    Args:
        folder: Named where an error names no file.
        advice: How to go on when that is put right, for the message.

    Raises:
        FileTrouble: If the disk is full, the quota is spent, or a file cannot be read or written.
    """
    try:
        yield
    except FileTrouble as error:
        raise FileTrouble.say(error.what, advice) from error
    except ConnectionError:
        raise  # nobody reads what is said, or a scheduler is gone: no file is to blame
    except OSError as error:
        why = error.strerror or first_line(error)
        where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else os.fspath(folder)
        full = error.errno in _NO_ROOM
        what = f"cannot write {where}: {why}; make room" if full else f"stopped at {where}: {why}; put that right"
        raise FileTrouble.say(what, advice) from error
