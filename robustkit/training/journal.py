"""The log of a training run: one line of JSON for each epoch, and the same as a table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from robustkit.files import write_text


class Journal:
    """The epochs so far, in `<name>.jsonl` and `<name>.csv` beside the checkpoint.

    Args:
        path: The checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.jsonl, self.csv = path.with_suffix(".jsonl"), path.with_suffix(".csv")
        self.rows: list[dict[str, Any]] = []

    def write(self, row: dict[str, Any]) -> None:
        """Adds an epoch and rewrites both files, so that a reader never sees half a line."""
        self.rows.append(row)
        write_text(self.jsonl, "".join(json.dumps(row) + "\n" for row in self.rows))
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=list(dict.fromkeys(key for row in self.rows for key in row)))
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.csv, table.getvalue())
