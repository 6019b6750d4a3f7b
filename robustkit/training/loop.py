"""The training loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from robustkit.progress import progress, without_terminal
from robustkit.training.distributed import World, is_first
from robustkit.training.feed import Feed, joined
from robustkit.training.keeping import Keeper
from robustkit.training.machinery import Run
from robustkit.training.network import parted, renew_statistics
from robustkit.training.pixels import BadPixels
from robustkit.training.settings import Settings
from robustkit.training.watch import check_finite, warn

Judge = Callable[[Run], dict[str, Any]]


def run_epochs(
    run: Run,
    feed: Feed,
    settings: Settings,
    world: World,
    *,
    judge: Judge,
    keep: Callable[[], None],
    keeper: Keeper,
    pixels: BadPixels | None = None,
) -> None:
    """Trains until the last epoch, or until the epochs stop improving.

    Args:
        run: The run to continue; changed in place.
        feed: The batches.
        settings: The settings of the run.
        world: The processes that share it.
        judge: Scores the network on validation images; the row must have `gate` and `score`.
        keep: Writes the checkpoint of an epoch that is the best so far.
        keeper: Saves the state.
        pixels: Writes bad pixels into the source images of each step, never into those that renew the batch norm.
    """
    network: Any = world.wrap(run.network)
    network = torch.compile(network) if settings.compiled else network
    bar = progress(total=settings.epochs * feed.steps, label="training", unit="step")
    bar.update(run.epoch * feed.steps + run.step)
    while run.epoch < settings.epochs and not exhausted(run, settings):
        run.network.train()
        run.objective.train()
        for step, batch in feed.epoch(run.epoch, first=run.step):
            images = batch.source if pixels is None else pixels(run.network, batch, run.epoch, step)
            shares = [world.share(rows) for rows in (images, batch.target, batch.known)]
            with torch.autocast(world.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
                outputs, beside = network(shares[0], joined(shares[1:]))
            found = [outputs, *parted(beside, shares[1:])]
            source, target, known = (world.gather(domain) for domain in found)
            ramp = settings.ramp_at(run.epoch + step / feed.steps)
            loss, terms = run.objective(source, batch.labels, target, ramp, (known, batch.known_labels))
            check_finite(loss, terms, run, batch)
            run.update(loss, terms)
            bar.set_postfix({"epoch": run.epoch + 1} | {k: f"{v:.3f}" for k, v in terms.items()}, refresh=False)
            bar.update()
            keeper.after_step(run)
        renew_statistics(run.network, (tuple(map(world.share, pair)) for pair in feed.sample(run.epoch)))
        scores = judge(run)
        if run.epoch >= settings.warm_up or not settings.uses_target:
            scores["best"] = run.selector.offer(run.epoch, scores["gate"], scores["score"], run.network.module)
        row = run.close_epoch(scores)
        warn(run, settings)
        if is_first():
            shown = ", ".join(f"{name} {row[name]:.3f}" for name in ("task", "gate", "score") if name in row)
            without_terminal(bar, f"{settings.title}, epoch {row['epoch']} of {settings.epochs}: {shown}")
        if row.get("best"):
            keep()
        keeper.after_epoch(run)
    bar.close()


def exhausted(run: Run, settings: Settings) -> bool:
    """Whether the epochs have stopped improving; the first half of the epochs is always trained."""
    if not run.selector.candidates or run.epoch < settings.epochs / 2:
        return False
    return run.epoch - 1 - run.selector.best.epoch >= settings.patience
