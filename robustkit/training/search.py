"""`search`: finds better settings without target labels."""

from __future__ import annotations

import math
import os
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from robustkit.errors import InputError
from robustkit.extras import require
from robustkit.files import check_plain, reading, real_path
from robustkit.training.domains import Targets, Where
from robustkit.training.settings import LEARNED, Settings
from robustkit.training.train import Trained, train
from robustkit.words import brief

STUDY = "search.db"
SEARCHED = ("learning_rate", "weight_decay", "weight", "warm_up")
MOST_STUDY = 256 << 20
# Tables whose contents are computed when they are read.
_RUNS = re.compile(r"\bVIRTUAL\b|\bGENERATED\b|\bAS\s*\(", re.IGNORECASE)

# How far the source accuracy of a trial may lie below that of a network that was not adapted.
_TOLERANCE = 0.02


def search(
    source: Where,
    target: Targets = None,
    *,
    out: str | os.PathLike[str],
    settings: Settings,
    trials: int = 20,
    device: torch.device | str | None = None,
) -> Trained:
    """Trains with many settings and keeps those with the highest score on validation images.

    The score is the one that chooses the epoch of a run: information on target images, or the loss on source images
    for a method that does not look at the target. A trial that loses more than 0.02 of the balanced accuracy which a
    network of the method `source` has on the source is discarded, because collapsed networks score well.

    Args:
        source: The labelled images.
        target: The images to be classified later.
        out: A folder for `trial-000.pt` and so on, `base.pt` and `search.db`; a search that was stopped there resumes.
        settings: Fixed settings; learning rate, weight decay, weight and warm-up are searched.
        trials: Total number of settings to try.
        device: Device to train on.

    Returns:
        The best trial.

    Raises:
        InputError: If every trial was discarded.
        MissingExtra: If Optuna is not installed.
    """
    optuna = require("optuna", extra="search", purpose="search for settings")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    _check_study(real_path(folder) / STUDY)
    floor = -1.0
    if settings.judged_on_target:
        base = replace(settings, method="source", entropy=0.0)
        trained = train(source, target, out=folder / "base.pt", settings=base, device=device, resume=True)
        floor = trained.card.training["figures"]["gate"] - _TOLERANCE

    def objective(trial: Any) -> float:
        chosen = replace(settings, **suggest(trial, settings))
        path = folder / f"trial-{trial.number:03d}.pt"
        path.with_suffix(".state").unlink(missing_ok=True)  # of a trial that was killed; its number was already used
        figures = train(source, target, out=path, settings=chosen, device=device).card.training["figures"]
        trial.set_user_attr("gate", figures["gate"])
        if figures["gate"] < floor:
            raise optuna.TrialPruned(f"balanced accuracy {figures['gate']:.3f} on the source is below {floor:.3f}")
        return figures["score"]

    study = optuna.create_study(
        study_name="robustkit",
        direction="maximize",
        storage=f"sqlite:///{real_path(folder) / STUDY}",
        load_if_exists=True,
    )
    # Another seed after every stop, or the search would repeat its first guesses.
    study.sampler = optuna.samplers.TPESampler(seed=settings.seed + len(study.trials))
    done = sum(trial.state.is_finished() for trial in study.trials)
    study.optimize(objective, n_trials=max(0, trials - done))
    complete = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    if not complete:
        raise InputError(f"all {trials} trials lost too much accuracy on the source; raise --epochs or --trials")
    best = study.best_trial
    with reading(folder / STUDY, "the study of a search"):
        chosen = _chosen(settings, best.params, folder / STUDY)
    return train(
        source, target, out=folder / f"trial-{best.number:03d}.pt", settings=chosen, device=device, resume=True
    )


def _chosen(settings: Settings, params: dict[str, Any], study: Path) -> Settings:
    """The settings with those that a search tried; a study lies in a file, which chooses numbers and nothing else.

    Raises:
        InputError: If it holds others.
    """
    for name, value in params.items():
        if name not in SEARCHED or type(value) not in (int, float) or not math.isfinite(value):
            raise InputError(
                f"{study} tried {brief(name)} = {brief(repr(value), 40)}, which no search does; search in a new folder"
            )
    return replace(settings, **params)


def _check_study(path: Path) -> None:
    """Refuses a database in which something runs when its tables are read, as views and triggers do.

    Raises:
        InputError: If it is one, or no database.
    """
    if not path.exists():
        return
    check_plain(path, "the study of a search", most=MOST_STUDY)
    with reading(path, "the study of a search"), closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as base:
        kinds = base.execute("SELECT type, sql FROM sqlite_master").fetchall()
    odd = [kind for kind, sql in kinds if kind not in ("table", "index") or _RUNS.search(sql or "")]
    if odd:
        raise InputError(f"{path} holds more than tables, a {brief(odd[0])} that runs; search in a new folder")


def suggest(trial: Any, settings: Settings) -> dict[str, Any]:
    """The settings of a trial.

    Args:
        trial: An Optuna trial.
        settings: Fixed settings.
    """
    found = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
    }
    if settings.aligned and settings.weight != LEARNED:
        found["weight"] = trial.suggest_float("weight", 0.01, 10.0, log=True)
    if settings.uses_target:
        found["warm_up"] = trial.suggest_int("warm_up", 0, max(0, min(10, settings.epochs // 2)))
    return found
