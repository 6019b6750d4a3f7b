"""Being told to stop: what is finished is kept, and the exit status says that the run can go on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

from robustkit.errors import RunInterrupted

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")


@contextmanager
def interruptible(advice: str = "finished work is kept, continue with --resume") -> Generator[None]:
    """Turns Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 into `RunInterrupted` while the block runs.

    The error is raised at once rather than at the end of a unit: a scheduler gives a few seconds, a unit may take
    minutes, and the journal is whole at every moment. It may stand inside another, whose advice is not given then. Only
    the main thread is told of signals, so in any other this does nothing.

    Args:
        advice: What to do next, for the message.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)  # a second one must not break the clean-up
        raise RunInterrupted(f"stopped by {signal.Signals(number).name}; {advice}")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    known = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    # What the parent had ignored stays ignored: `nohup` wants a run to outlive its terminal.
    numbers = [one for one in known if one == signal.SIGINT or signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
