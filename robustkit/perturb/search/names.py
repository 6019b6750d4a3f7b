"""Names of the searches, and which of them a file may say; nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence

from robustkit.code_gate import refuse_code
from robustkit.words import brief

NAMES = ("auto", "de", "de-best1bin", "best-first", "gradient", "universal", "chains", "random", "complete")
OWN = "your own as path/to/file.py:Class"


def refuse_code_of_file(names: Sequence[object], *, file: object, allowed: Sequence[str] = ()) -> None:
    """Refuses the searches that a file names unless they are robustkit's own, or a person named them too.

    Args:
        names: What the file says.
        file: Where it says it, for the message.
        allowed: What the person named.

    Raises:
        SecurityError: If one is neither.
    """
    for name in names:
        if ":" in str(name):  # any other name is none of code, and is judged when it is used
            refuse_code(name, file=file, option=f"--search {brief(name)}", provided=allowed)
