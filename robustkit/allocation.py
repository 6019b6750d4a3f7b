"""Memory of a process that trains on the CPU: freed blocks are kept for reuse."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tells glibc to keep large blocks that are freed, for the whole process; for commands, not for libraries.

    Otherwise every feature map of every step is a fresh mapping whose pages the kernel clears again: a quarter of the
    processor time of a small network.

    Returns:
        Whether the C library accepted the setting; False where it is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _MOST))
