"""Gives every bomb to `robustkit inspect` and prints what it took: seconds of a core, and the largest process.

python -m tests.security [NAME...]
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.audits import make_audit
from tests.security.bombs import BOMBS
from tests.security.image_bombs import IMAGE_BOMBS

GIB = 1 << 30


@dataclass(frozen=True)
class Outcome:
    """What became of a command.

    Attributes:
        status: Its exit status; negative for a signal.
        said: The end of what it said on standard error, and all of what it said there.
        seconds: Of a core, of it and what it started.
        wall: Seconds.
        memory: The most bytes that one process had.
    """

    status: int
    said: str
    seconds: float
    wall: float
    memory: int

    @property
    def refused(self) -> bool:
        """Whether it is one sentence and an exit status of ours."""
        one = self.said.startswith("robustkit: ") and self.said.count("\n") == 1
        return self.status in (2, 3) and one and "Traceback" not in self.said


def limited() -> None:
    """So that a bomb which goes off takes the machine with it no further than this."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    resource.setrlimit(resource.RLIMIT_AS, (6 * GIB, 6 * GIB))


def inspect(*arguments: str | Path, patience: float = 120) -> Outcome:
    """Runs `robustkit inspect` and measures it."""
    command = [sys.executable, "-m", "robustkit", "inspect", *map(str, arguments)]
    start = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, preexec_fn=limited)
        done = 0
        while not done:
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            if not done and time.monotonic() - start > patience:
                os.killpg(process.pid, 9)
            time.sleep(0 if done else 0.02)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode(errors="replace")
    seconds = usage.ru_utime + usage.ru_stime
    return Outcome(process.returncode, text, seconds, time.monotonic() - start, usage.ru_maxrss << 10)


def arguments_of(name: str, folder: Path, model: Path) -> tuple[str | Path, ...]:
    """What `inspect` is told for a bomb, which is made in the folder by another process.

    The memory that making it takes would count as that of the command: what a process had before it became another
    program belongs to its largest.
    """
    make = BOMBS[name] if name in BOMBS else IMAGE_BOMBS[name]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, os.fsencode(make(folder)))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as made:
        path = Path(os.fsdecode(made.read()))
    os.waitpid(child, 0)
    return ("--model", path) if name in BOMBS else ("--model", model, "--data", path)


def main(*wanted: str) -> None:
    """Prints a line for each bomb whose name holds one of these words, and how many are refused."""
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as made:
        model, _ = make_audit(Path(made) / "audit")
        for name in (*BOMBS, *IMAGE_BOMBS):
            if wanted and not any(word in name for word in wanted):
                continue
            with tempfile.TemporaryDirectory(dir=made) as folder:
                one = outcomes[name] = inspect(*arguments_of(name, Path(folder), model))
            last = one.said.strip().splitlines()[-1:] or ["(nothing said)"]
            verdict = "refused" if one.refused else f"STATUS {one.status}"
            print(f"{name:38} {verdict:10} {one.seconds:5.1f} s {one.memory >> 20:5} MiB  {last[0][:150]}", flush=True)
    refused = sum(one.refused for one in outcomes.values())
    seconds, memory = (max(values) for values in zip(*((o.seconds, o.memory) for o in outcomes.values()), strict=True))
    print(f"{refused} of {len(outcomes)} refused in words; at most {seconds:.1f} s of a core and {memory >> 20} MiB")


if __name__ == "__main__":
    main(*sys.argv[1:])
