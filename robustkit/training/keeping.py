"""The files of a run: the best network so far, the exact state to resume from, and the log."""

from __future__ import annotations

import hashlib
import io
import json
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from robustkit.errors import InputError, RunInterrupted, first_line
from robustkit.files import atomic_write, check_plain, clear_beside, reading, write_text
from robustkit.models.checkpoint import as_bytes
from robustkit.tables import NamedWriter
from robustkit.training.distributed import World
from robustkit.training.machinery import Run
from robustkit.training.settings import Settings

FORMAT = "robustkit-training-2"
# Seconds between two saves within an epoch.
SAVE_EVERY = 120.0


class Keeper:
    """Writes the files of a run, so that it can be killed at any moment.

    `<name>.state` holds the exact state; it is rewritten after every epoch, every two minutes and on a signal, and
    removed when the run is complete. `<name>.jsonl` and `<name>.csv` hold one row for each epoch.

    Args:
        out: The checkpoint.
        settings: The settings of the run; a state made with others is refused.
        data: What else must be unchanged: the hash of each split.
        world: The processes of the run; only the first writes.
    """

    def __init__(self, out: Path, settings: Settings, data: dict[str, Any], world: World) -> None:
        self.state, self.out = out.with_suffix(".state"), out
        self.settings, self.data, self.world = settings, data, world
        self.signalled = False
        self._saved = time.monotonic()
        if world.first:
            for path in (self.state, *(out.with_suffix(end) for end in (".jsonl", ".csv"))):
                clear_beside(path)
        # Opened at the first row: a run that is refused, or complete already, leaves nothing behind.
        self._board: Any = None

    def found(self) -> Path | None:
        """A file left by a run with this checkpoint, if any."""
        return next((path for path in (self.state, self.out) if path.exists()), None)

    def resume(self, run: Run) -> None:
        """Resumes from the saved state, if there is one.

        Raises:
            InputError: If the state is of other settings or data, or damaged.
        """
        if not self.state.is_file():
            return
        content = read_state(self.state)
        with reading(self.state, "the state of a training"):
            self.check_same(content["settings"], content["data"], self.state)
            run.load_state_dict(content["run"])

    def check_same(self, settings: dict[str, Any], data: dict[str, Any], path: Path) -> None:
        """Refuses to resume a run of other settings or data.

        Raises:
            InputError: Lists every difference.
        """
        changed = self.settings.differences(settings)
        changed += [f"{name}: {data.get(name)} -> {new}" for name, new in self.data.items() if data.get(name) != new]
        if changed:
            raise InputError(
                f"{path} was made with other settings ({'; '.join(changed)}); give the same settings, or another --out "
                "to start afresh"
            )

    def after_step(self, run: Run) -> None:
        """Saves when it is time, or after a signal.

        Raises:
            RunInterrupted: After a signal, once the state is saved.
        """
        if self.world.any(self.signalled):
            self._write_state(run)
            raise RunInterrupted(
                f"training stopped in epoch {run.epoch + 1} after step {run.step}; give the same command with --resume "
                "to continue"
            )
        if time.monotonic() - self._saved > SAVE_EVERY:
            self._write_state(run)

    def after_epoch(self, run: Run) -> None:
        """Writes state and log."""
        self._write_state(run)
        if self.world.first:
            write_log(self.out, run.history)
            self._board = self._board or _tensorboard(self.out)
            if self._board is not None:
                for name, value in run.history[-1].items():
                    if isinstance(value, float):
                        self._board.add_scalar(name, value, run.epoch)

    def complete(self) -> None:
        """Removes the state; from now on the checkpoint is enough."""
        self.world.barrier()
        if self.world.first:
            self.state.unlink(missing_ok=True)
            if self._board is not None:
                self._board.close()

    def _write_state(self, run: Run) -> None:
        if self.world.first:
            content = {
                "format": FORMAT,
                "settings": self.settings.to_json(),
                "data": self.data,
                "run": run.state_dict(),
            }
            content["sha256"] = _digest(content)
            with atomic_write(self.state) as file:
                file.write(as_bytes(content))
        self._saved = time.monotonic()


def read_state(path: Path) -> dict[str, Any]:
    """Opens a state file without running code from it.

    Raises:
        InputError: If it is damaged or of another kind.
    """
    check_plain(path, "a training state")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on a file that is not its own
        raise InputError(
            f"{path} is not a readable training state ({first_line(error)}); delete it to start afresh"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is not a training state of this robustkit; delete it to start afresh")
    if content.pop("sha256", None) != _digest(content):
        raise InputError(f"{path} was changed after it was written; delete it to start afresh")
    return content


def _digest(value: Any) -> str:
    """SHA-256 of tensors and plain values in each other: a flipped bit would be trained on, and nobody would see it."""
    digest = hashlib.sha256()

    def visit(inside: Any) -> None:
        if isinstance(inside, dict):
            for key in sorted(inside, key=repr):
                digest.update(f"{key!r}:".encode())
                visit(inside[key])
        elif isinstance(inside, list | tuple):
            digest.update(f"[{len(inside)}".encode())
            for item in inside:
                visit(item)
        elif isinstance(inside, torch.Tensor):
            digest.update(f"{inside.dtype}{tuple(inside.shape)}".encode())
            digest.update(inside.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            digest.update(f"{inside!r};".encode())

    visit(value)
    return digest.hexdigest()


def write_log(out: Path, rows: list[dict[str, Any]]) -> None:
    """Writes the rows beside a checkpoint, as lines of JSON and as a table, so that no reader sees half a line."""
    write_text(out.with_suffix(".jsonl"), "".join(json.dumps(row) + "\n" for row in rows))
    table = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = NamedWriter(table, names)
    writer.writeheader()
    writer.writerows(rows)
    write_text(out.with_suffix(".csv"), table.getvalue())


@contextmanager
def signals_to(keeper: Keeper) -> Generator[None]:
    """Lets Ctrl-C and SIGTERM end a run after its current step instead of within it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: Any) -> None:
        keeper.signalled = True

    polite = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is not signal.SIG_IGN]  # by nohup
    before: dict[int, Any] = {number: signal.signal(number, note) for number in (signal.SIGINT, *polite)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tensorboard(out: Path) -> Any:
    """A TensorBoard writer beside the checkpoint, where TensorBoard is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    make: Callable[..., Any] = SummaryWriter
    return make(str(out.with_suffix(".tensorboard")))
