"""Run folders that survive being killed: manifest, journal, lock, and what signals do."""

from robustkit.runs.folder import JOURNAL, MANIFEST, Run, open_run
from robustkit.runs.journal import Journal, read_journal
from robustkit.runs.lock import only_writer
from robustkit.runs.signals import interruptible

__all__ = ["JOURNAL", "MANIFEST", "Journal", "Run", "interruptible", "only_writer", "open_run", "read_journal"]
