"""Signs that a training run is going wrong."""

from __future__ import annotations

import logging
import math
from typing import Any

from torch import Tensor

from robustkit.errors import RobustkitError
from robustkit.training.feed import Batch
from robustkit.training.machinery import Run
from robustkit.training.settings import Settings

_log = logging.getLogger("robustkit.training")
# Share of the images by which the predicted classes may differ between the domains, and how sure that must be.
_MUCH_SHIFT = 0.15
_SURE = 0.001


def check_finite(loss: Tensor, terms: dict[str, float], run: Run, batch: Batch) -> None:
    """Stops a run whose loss is not a number, before the weights are updated.

    Args:
        loss: Total loss of the step.
        terms: Terms of the loss.
        run: The run, for the step number.
        batch: The images of the step.

    Raises:
        RobustkitError: Names the step, the terms and the images.
    """
    if math.isfinite(loss.item()):
        return
    images = ", ".join(batch.ids)
    if batch.target_ids is not None:
        images += f" in the source and {', '.join(batch.target_ids)} in the target"
    shown = ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
    raise RobustkitError(
        f"the loss is not finite in epoch {run.epoch + 1}, step {run.step + 1} ({shown}); the weights were not changed "
        f"by it and the best checkpoint so far is kept; lower --learning-rate, or look at the images of this step: "
        f"{images}"
    )


def alarms(row: dict[str, Any], settings: Settings, classes: int) -> list[str]:
    """Warnings about an epoch, one sentence each.

    Args:
        row: The epoch's row of the log.
        settings: The settings of the run.
        classes: Number of classes K.
    """
    found = []
    if "source_told" in row and settings.ramp_at(row["epoch"] - 1) > 0.5:
        source, target = row["source_told"], row["target_told"]
        if min(source, target) > 0.98:
            found.append(
                f"the discriminator tells the domains apart without error ({source:.3f}, {target:.3f}), so the latents "
                "are not aligned; raise --weight"
            )
        if max(source, target) > 0.98 and min(source, target) < 0.02:
            found.append(
                f"the discriminator calls every image the same ({source:.3f}, {target:.3f}), so the network learns "
                "nothing from it; lower --weight or --learning-rate"
            )
    # In the warm-up nothing is learned from the target yet, so a lower weight would change nothing.
    learned = settings.ramp_at(row["epoch"] - 0.5) > 0
    if learned and row.get("target_most_common", 0.0) > 0.98 and row["gate"] > 1.5 / classes:
        found.append(
            f"{100 * row['target_most_common']:.0f} per cent of the target images are assigned to one class, which may "
            "be wrong; lower --weight, or choose another method"
        )
    if learned and row.get("class_shift", 0.0) > _MUCH_SHIFT and row["class_shift_p"] < _SURE:
        found.append(
            f"the predicted classes are distributed otherwise in the target than in the source, by "
            f"{100 * row['class_shift']:.0f} per cent of the images: either the target has other proportions, which a "
            "penalty on the latents works against, or the network loses a class there; look at some of its images, or "
            "give a few of its classes with --target-labels"
        )
    return found


def warn(run: Run, settings: Settings) -> None:
    """Writes the alarms of the last epoch into its row, and logs them when the epoch before had none."""
    row = run.history[-1]
    row["alarm"] = "; ".join(alarms(row, settings, len(run.objective.weights)))
    if row["alarm"] and not any(earlier["alarm"] for earlier in run.history[-2:-1]):
        _log.warning("%s, epoch %d: %s", settings.title, row["epoch"], row["alarm"])
