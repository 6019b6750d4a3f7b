"""Run folders that survive being killed: manifest, journal, lock, what signals do; units, shards and executors."""

from robustkit.runs.folder import AGAIN, JOURNAL, MANIFEST, Run, differences, open_run
from robustkit.runs.journal import Journal, read_journal
from robustkit.runs.lock import only_writer
from robustkit.runs.shards import Shard, units_of
from robustkit.runs.signals import interruptible
from robustkit.runs.trouble import trouble_in_words
from robustkit.runs.units import FinishedUnits, StartExecutor, make_units

__all__ = [
    "AGAIN",
    "JOURNAL",
    "MANIFEST",
    "FinishedUnits",
    "Journal",
    "Run",
    "Shard",
    "StartExecutor",
    "differences",
    "interruptible",
    "make_units",
    "only_writer",
    "open_run",
    "read_journal",
    "trouble_in_words",
    "units_of",
]
