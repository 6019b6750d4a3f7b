"""`train`: from image sets to a checkpoint that can be audited with no other option."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustkit.devices import choose_device
from robustkit.errors import InputError
from robustkit.files import reading
from robustkit.models import Card, open_checkpoint, save_checkpoint
from robustkit.training.curves import save_curves
from robustkit.training.distributed import World, open_world, share_batch_norm
from robustkit.training.domains import Targets, Where
from robustkit.training.keeping import Keeper, signals_to
from robustkit.training.loop import run_epochs
from robustkit.training.machinery import make_run
from robustkit.training.network import Trainee, adapt_statistics, predict
from robustkit.training.objective import class_weights
from robustkit.training.repeatable import repeatable
from robustkit.training.settings import Settings
from robustkit.training.setup import Setup, make_setup

# Caveats printed next to a score.
_REMARKS = {
    "oracle": " (ORACLE: trained on target labels)",
    "adabn": ", with the statistics of the target in its batch norm",
}


@dataclass(frozen=True, eq=False)
class Trained:
    """What `train` returns.

    Attributes:
        checkpoint: The file that was written.
        card: Card of the network, as in the file.
        network: The trained network, in evaluation mode.
        history: One dict for each epoch, as in the log beside the checkpoint.
    """

    checkpoint: Path
    card: Card
    network: nn.Module
    history: list[dict[str, Any]]

    def __str__(self) -> str:
        training, method = self.card.training, self.card.training["settings"]["method"]
        figures = training["figures"]
        where = "target" if method == "oracle" else "source"
        text = (
            f"{self.checkpoint}: {method}, epoch {figures['epoch']} of {training['epochs_run']}, "
            f"balanced accuracy {figures['valid_balanced_accuracy']:.3f} on {where} validation images"
        )
        ends = (".csv", ".jsonl", ".curves.png", ".tensorboard")
        beside = [path.name for end in ends if (path := self.checkpoint.with_suffix(end)).exists()]
        return text + _REMARKS.get(method, "") + (f"; beside it {', '.join(beside)}" if beside else "")


def train(
    source: Where,
    target: Targets = None,
    *,
    out: str | os.PathLike[str],
    settings: Settings | None = None,
    device: torch.device | str | None = None,
    resume: bool = False,
    report_oracle: bool = False,
    target_labels: str | os.PathLike[str] | None = None,
) -> Trained:
    """Trains a classifier and writes its checkpoint, with a log and a resumable state beside it.

    Target labels are dropped when the target is opened: neither the loss nor the choice of the epoch can see them.

    Args:
        source: The labelled image set, or its path; a set in memory leaves no path in the checkpoint.
        target: The images to be classified later, or a list of several sets. With `settings.method = "source"` nothing
            is learned from them; the checkpoint records where they are, for `evaluate`.
        out: The checkpoint to write.
        settings: The settings; by default those of `Settings()`.
        device: Device to train on; by default CUDA if available.
        resume: Whether to resume a run that was stopped, or return one that is complete.
        report_oracle: Whether the log shows target accuracy too, from labels that nothing else reads.
        target_labels: A table (id, class) of the few target images whose classes may be learned; they are in no
            validation or test part.

    Returns:
        The checkpoint and its contents.

    Raises:
        InputError: If the images or the settings cannot be used.
        RunInterrupted: After Ctrl-C or SIGTERM, when the state is saved.
        RobustkitError: If the loss stops being a number.
    """
    out = Path(out)
    setup = make_setup(source, target, settings or Settings(), report_oracle=report_oracle, target_labels=target_labels)
    with open_world(device or choose_device(None)) as world:
        assert setup.settings.batch is not None
        world.check_batch(setup.settings.batch)
        keeper = Keeper(out, setup.settings, setup.hashes, world)
        found = keeper.found()
        if found and not resume:
            raise InputError(f"{found} already exists; add --resume to continue that run, or name another --out")
        world.barrier()
        if found == out and _opened(out, setup.settings).card.training.get("complete"):
            trained = _opened(out, setup.settings)
            keeper.check_same(trained.card.training["settings"], trained.card.training["data"], out)
            return trained
        return _train(setup, keeper, world)


def _train(setup: Setup, keeper: Keeper, world: World) -> Trained:
    settings, device, out = setup.settings, world.device, keeper.out
    feed, judge = setup.feed(device), setup.judge(device)
    world.check_batch(feed.known_batch, "labelled target images")
    if world.first:
        out.parent.mkdir(parents=True, exist_ok=True)
    with repeatable(settings.seed), signals_to(keeper):
        module = share_batch_norm(setup.network(), world)
        module = module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        weights = class_weights(feed.labels, len(setup.source.images.class_names))
        latent, output = setup.split(module)
        network = Trainee(module, settings.batch_norm, latent=latent, output=output)
        width = predict(network, feed.source.images[:1]).latents.shape[1]
        run = make_run(network, weights, settings, width=width, steps=feed.steps)
        card = _with_training(setup.card(out, feed, latent), {"class_weights": weights.tolist()})
        keeper.resume(run)

        def keep(complete: bool = False, measured: dict[str, Any] | None = None) -> None:
            row = run.history[run.selector.best.epoch] | (measured or {})
            if world.first:
                more = {"figures": row, "epochs_run": len(run.history), "complete": complete}
                save_checkpoint(out, module, _with_training(card, more))

        pixels = setup.pixels(card.input_range)
        run_epochs(run, feed, settings, world, judge=judge, keep=keep, keeper=keeper, pixels=pixels)
        module.load_state_dict(run.selector.best.weights)
        measured = None
        if settings.method == "adabn":
            adapt_statistics(run.network, setup.part(setup.targets, "train", device).images)
            # It is another network now. Gate and score stay those that the epoch was chosen by.
            measured = {name: value for name, value in judge(run).items() if name not in ("gate", "score")}
        keep(complete=True, measured=measured)
        if world.first:
            save_curves(out, run.history, run.selector.best.epoch)
        keeper.complete()
    run.network.release()
    return _opened(out, settings)


def _with_training(card: Card, more: dict[str, Any]) -> Card:
    return replace(card, training=card.training | more)


def _opened(out: Path, settings: Settings) -> Trained:
    """The result of a complete run, read from its files."""
    checkpoint = open_checkpoint(out, arch=settings.network if settings.own_network else None)
    log = out.with_suffix(".jsonl")
    with reading(log, "the log of a training"):
        history = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    return Trained(out, checkpoint.card, checkpoint.classifier.module, history)
