"""`robustkit predict`."""

from __future__ import annotations

from robustkit.catalogues.request import ObjectsRequest
from robustkit.cli.objects_command import objects_command

command = objects_command(
    "predict",
    ObjectsRequest,
    "robustkit.catalogues.predict:run_predict",
    "Writes the class of every object of a survey, with its probabilities, to FITS, Parquet or CSV.\n\n"
    "No labels are needed. A run that was stopped continues with the same command.",
)
