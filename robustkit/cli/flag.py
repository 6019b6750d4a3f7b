"""`robustkit flag`."""

from __future__ import annotations

from robustkit.catalogues.flag_request import FlagRequest
from robustkit.cli.objects_command import objects_command

command = objects_command(
    "flag",
    FlagRequest,
    "robustkit.catalogues.flag:run_flag",
    "Ranks every object of a survey by how far its class is to be trusted, in FITS, Parquet or CSV.\n\n"
    "No labels are needed. Rank 1 is the least trustworthy. A run that was stopped continues with the same command.",
)
