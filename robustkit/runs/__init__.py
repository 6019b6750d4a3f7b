"""Runs: a sample opened once, units measured here or elsewhere, and folders that survive being killed.

A *sample* is a model with the images drawn for it. A *measurement* measures it in *units*, groups of images; a finished
unit is a *part* of the run folder. Several *shards* make one run. What needs torch is imported by its full name, so
that the command line starts quickly.
"""

from robustkit.runs.folder import AGAIN, MANIFEST, Run, differences, open_run
from robustkit.runs.lock import only_writer
from robustkit.runs.parts import Parts
from robustkit.runs.selection import Selection
from robustkit.runs.shards import Shard, units_of
from robustkit.runs.signals import interruptible
from robustkit.runs.trouble import trouble_in_words
from robustkit.runs.units import StartExecutor, make_units

__all__ = [
    "AGAIN",
    "MANIFEST",
    "Parts",
    "Run",
    "Selection",
    "Shard",
    "StartExecutor",
    "differences",
    "interruptible",
    "make_units",
    "only_writer",
    "open_run",
    "trouble_in_words",
    "units_of",
]
