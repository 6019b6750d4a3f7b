"""Steps of an audit: each is made once, kept with what it was made from, and made again only when that changes."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustkit.errors import InputError, RobustkitError, first_line
from robustkit.files import jsonable, read_json, write_json, write_text
from robustkit.runs.trouble import FileTrouble


@dataclass(frozen=True)
class Step:
    """A step that is done.

    Attributes:
        name: Its name.
        folder: Its files.
        seconds: How long it took when it was made.
        reused: Whether it was there already.
        refused: Why it could not be made; empty when it was.
    """

    name: str
    folder: Path
    seconds: float
    reused: bool
    refused: str = ""


class Steps:
    """The steps of one model, in folders beside each other.

    Args:
        folder: Where they are.
        say: Receives progress messages.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.done: dict[str, Step] = {}
        self._say = say

    def say(self, name: str, line: str) -> None:
        """Says something of a step under its name."""
        self._say(f"{self.folder.name}/{name}: {line}")

    def run(
        self,
        name: str,
        inputs: dict[str, Any],
        make: Callable[[Path, bool], object],
        read: Callable[[Path], object] = lambda folder: None,
        place: str = "",
    ) -> Step:
        """Makes a step unless it is there, made from the same inputs.

        Args:
            name: Its name and that of its folder.
            inputs: All that its answer depends on, JSON values: hashes of files, settings, version.
            make: Fills the folder that it is given; the second argument says whether to continue with what is there.
            read: Reads what is there, and raises if it cannot be read: then the step is made again.
            place: Which of how many steps it is, for the message.

        Returns:
            The step. One that refuses its input (`InputError`) is kept as refused, with the reason; one that fails
            in any other way is refused too, with its traceback beside it, and made again by the next audit. Only
            trouble with files, and interruptions, end the audit.
        """
        inputs = jsonable(inputs)  # as it is read back
        note, folder = self.folder / f"{name}.json", self.folder / name
        known = _known(note)
        same = known.get("inputs") == inputs
        finished = same and known.get("finished", False)
        if finished and not known.get("refused") and folder.is_dir() and (why := _why_unreadable(folder, read)):
            self._say(f"{self.folder.name}/{name}: made again, {why}")
            same = finished = False
        if finished and (known.get("refused") or folder.is_dir()):
            refused = known.get("refused", "")
            self.done[name] = Step(name, folder, known["seconds"], True, refused)
            self._say(f"{self.folder.name}/{name}: unchanged, {'refused before' if refused else 'reused'}")
            return self.done[name]
        resume = same and folder.is_dir()
        if not resume and folder.is_dir():
            if not note.is_file():
                raise RobustkitError(
                    f"{folder} holds files and no note says that a step of this audit made them; move them away, or "
                    "name another folder with --out"
                )
            shutil.rmtree(folder)
        spent = float(known.get("seconds", 0.0)) if resume else 0.0
        write_json(note, {"inputs": inputs, "finished": False, "seconds": spent})
        self._say(f"{self.folder.name}/{name}: {'going on' if resume else 'running'}{place and f', step {place}'}")
        began, refused, failed = time.monotonic(), "", self.folder / f"{name}-failed.txt"
        finished = True
        failed.unlink(missing_ok=True)
        try:
            make(folder, resume)
        except InputError as error:
            refused = " ".join(str(error).split())
        except (FileTrouble, OSError):
            raise  # a full disk would stop the next step and the page as well
        except Exception as error:  # of the network, of a library, of robustkit: the other steps and the page go on
            finished = False
            refused = f"it failed unexpectedly ({type(error).__name__}: {first_line(error)}); traceback in {failed}"
            write_text(failed, traceback.format_exc())
        if refused:
            self._say(f"{self.folder.name}/{name}: not run, {refused}")
        seconds = spent + time.monotonic() - began
        kept = {"inputs": inputs, "finished": finished, "seconds": round(seconds, 2), "refused": refused}
        write_json(note, kept)
        self.done[name] = Step(name, folder, seconds, False, refused)
        return self.done[name]

    def forget(self, name: str, inputs: dict[str, Any]) -> None:
        """Clears a step that is not asked for any more, where it was made of another model or of other images.

        Args:
            name: Its name.
            inputs: What every step depends on.
        """
        note, folder = self.folder / f"{name}.json", self.folder / name
        its = _known(note).get("inputs", {})
        if note.is_file() and any(its.get(key) != value for key, value in jsonable(inputs).items()):
            shutil.rmtree(folder, ignore_errors=True)
            note.unlink()


def is_finished(steps: Steps, name: str) -> bool:
    """Whether a step was made before, by an earlier audit in the same folder."""
    return bool(_known(steps.folder / f"{name}.json").get("finished", False))


def _why_unreadable(folder: Path, read: Callable[[Path], object]) -> str:
    """Why what a finished step left cannot be read: it was damaged, or made by another version; empty if it can."""
    try:
        read(folder)
    except (InputError, OSError) as error:
        return " ".join(str(error).split())
    return ""


def _known(note: Path) -> dict[str, Any]:
    if not note.is_file():
        return {}
    try:
        value = read_json(note)
    except InputError:
        return {}  # cut short by a crash: the step is made again
    return value if isinstance(value, dict) else {}
